"""What is recorded of where a run happened, and what is not."""

import json
import subprocess
import sys

from lstm_research import environment


def test_the_environment_names_versions_and_device_and_nothing_private(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "s3cret-key")
    monkeypatch.setattr(sys, "argv", ["run", "--token=s3cret-argument"])
    facts = environment.environment()
    expected = ("commit", "dirty", "versions", "system", "platform", "device", "devices", "cores")
    assert set(facts) == {*expected, "started"}
    assert facts["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["versions"]["jax"] and facts["cores"] >= 1 and facts["started"].endswith("+00:00")
    assert "s3cret" not in json.dumps(facts)


def test_an_installed_copy_inside_another_repository_has_no_commit(monkeypatch, tmp_path):
    package = tmp_path / "venv" / "lstm_research"
    package.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(environment, "PACKAGE", package)
    assert environment._commit.__wrapped__() == {"commit": None, "dirty": None}


def test_the_commit_and_whether_the_package_differs_from_it_are_recorded(monkeypatch, tmp_path):
    package = tmp_path / "lstm_research"
    package.mkdir()
    (package / "cell.py").write_text("one = 1\n")
    git = ["git", "-C", tmp_path, "-c", "user.name=n", "-c", "user.email=e@e"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    monkeypatch.setattr(environment, "PACKAGE", package.resolve())
    clean = environment._commit.__wrapped__()
    (package / "gate.py").write_text("two = 2\n")
    assert len(clean["commit"]) == 40 and clean["dirty"] is False
    assert environment._commit.__wrapped__() == {"commit": clean["commit"], "dirty": True}
