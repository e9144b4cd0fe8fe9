"""The W&B tracker: what it writes and what it never writes.

No test reaches the network: W&B is real in offline mode, and a fake module everywhere else.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import mirrored
import pytest
from mirrored import RESULT, SPEC, eventually, pictured, trained

from lstm_research import store, trackers
from lstm_research.trackers import content, mirror, wandb

pytest.importorskip("wandb")


@pytest.fixture(autouse=True)
def offline_home(monkeypatch, tmp_path):
    mirrored.at_home(monkeypatch, tmp_path)


@pytest.fixture
def fake(monkeypatch, tmp_path):
    return mirrored.faked(monkeypatch, tmp_path)


def inspected(folder: Path) -> list[dict]:
    tool = Path(sys.executable).with_name("wandb")
    command = [tool, "leet", "inspect", "--json", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_offline_run_reads_back_as_the_store_has_it_and_holds_no_secret(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("WANDB_API_KEY", "s3cret" * 7)
    repository = tmp_path / "repository"
    git = ["git", "-C", str(repository)]
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    remote = "https://user:s3cret-git@example.org/x.git"
    subprocess.run([*git, "remote", "add", "origin", remote], check=True)
    monkeypatch.chdir(repository)
    monkeypatch.setattr(sys, "argv", ["run", "--token=s3cret-argument"])
    child = wandb.tracker(tmp_path, "gates-project", "offline", label=lambda spec: "lstm")
    path = trained(tmp_path / "runs", SPEC, child)
    child.close(60)
    assert capsys.readouterr().err == ""

    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    id = content.told(store.load_run(path)).id
    assert folder.name.endswith(id)
    records = inspected(folder)
    (run,) = [record["run"] for record in records if record["type"] == "run"]
    named = ("project", "run_id", "run_group", "job_type", "display_name")
    assert [run[key] for key in named] == ["gates-project", id, "gates", "train", "lstm-s3"]
    config = run["config"]["update"]
    assert config["cell"] == SPEC["cell"] and config["seed"] == 3 and config["commit"] == "c0ffee"
    assert config["versions"] == {"jax": "0.10.1"} and not run.get("host")
    rows = [record["history"]["item"] for record in records if record["type"] == "history"]
    kept = [{key: row[key] for key in row if not key.startswith("_")} for row in rows]
    losses = [{"step": step, "train/loss": 1 / step} for step in (1, 2, 3)]
    assert kept == [*losses, {"step": 3, "valid/mse": "NaN"}]
    final: dict = {}
    for record in records:
        final |= record.get("summary", {}).get("update", {})
    assert (final["status"], final["test/mse"], final["valid/mse"]) == ("solved", 0.25, 0.5)
    assert {"name": "step", "options": {"defined": True}} in [r.get("metric") for r in records]
    assert records[-1]["exit"]["exit_code"] == 0
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    mine = [file for file in written if ".git" not in file.parts and path not in file.parents]
    assert len(mine) > 1
    for file in mine:
        assert b"s3cret" not in file.read_bytes(), file


def test_a_run_is_told_to_wandb_whole_and_once(tmp_path, fake, capsys):
    child = wandb.tracker(tmp_path / "here", "project", "online")
    path = trained(tmp_path, SPEC, child)
    child.close()
    (told,) = fake("init")
    assert told["id"] == content.told(store.load_run(path)).id
    assert told["group"] == "gates" and told["job_type"] == "train"
    assert told["name"] == "gated-s3" and told["mode"] == "online"
    assert told["project"] == "project" and told["dir"] == str(tmp_path / "here")
    assert told["reinit"] == "create_new"  # a pack has many runs open at once
    assert told["config"]["cell"] == SPEC["cell"] and told["config"]["seed"] == 3
    assert told["config"]["commit"] == "c0ffee" and told["config"]["versions"]["jax"] == "0.10.1"
    *train, valid = fake("log")
    assert [row["train/loss"] for row in train] == [1.0, 0.5, 1 / 3]
    assert valid["step"] == 3 and valid["valid/mse"] != valid["valid/mse"]
    (summary,) = fake("summary")
    assert summary["test/mse"] == 0.25 and summary["valid/mse"] == 0.5
    assert summary["status"] == "solved" and summary["parameters"] == 17281
    assert fake("finish") == [0]
    (settings,) = fake("settings")
    assert settings["x_disable_meta"] and settings["disable_git"] and settings["console"] == "off"
    assert capsys.readouterr().err == ""


def test_text_under_a_secrets_name_is_left_out_of_the_config(tmp_path, fake):
    child = wandb.tracker(tmp_path, "project", "online")
    trained(tmp_path, SPEC, child)
    child.close()
    optimizer = fake("init")[0]["config"]["optimizer"]
    assert optimizer == {"name": "adam", "api_key": "[redacted]", "tokens": "bpe"}


def test_the_curve_is_followed_while_the_run_goes_on(tmp_path, fake):
    child = wandb.tracker(tmp_path, "project", "online")
    run = store.open_run(tmp_path, SPEC, listeners=[child])
    run.log({"step": 1, "split": "train", "loss": 0.5})
    assert eventually(lambda: fake("log") == [{"step": 1, "train/loss": 0.5}])
    run.log({"step": 2, "split": "train", "loss": 0.4})
    assert eventually(lambda: len(fake("log")) == 2)
    run.finish(RESULT)
    child.close()
    assert len(fake("log")) == 2 and fake("finish") == [0]


def test_runs_of_a_pack_are_open_side_by_side(tmp_path, fake):
    child = wandb.tracker(tmp_path, "project", "online")
    runs = [store.open_run(tmp_path, SPEC | {"seed": s}, listeners=[child]) for s in range(3)]
    for run in runs:
        run.log({"step": 1, "split": "train", "loss": 0.5})
    for run in runs:
        run.finish(RESULT)
    child.close()
    assert [told["name"] for told in fake("init")] == ["gated-s0", "gated-s1", "gated-s2"]
    assert len(fake("log")) == len(fake("finish")) == 3


def test_a_killed_parent_loses_no_line_and_its_run_ends_as_crashed(tmp_path, fake):
    script = f"""
import json, os, signal
from lstm_research import store
from lstm_research.trackers import wandb
from lstm_research.trackers.child import Child
store.environment = lambda: {{}}
child = wandb.tracker({str(tmp_path)!r}, "project", "offline")
run = store.open_run({str(tmp_path)!r}, json.loads({json.dumps(SPEC)!r}), listeners=[child])
for step in range(50):
    run.log({{"step": step, "split": "train", "loss": 0.5}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = str(Path(store.__file__).parents[1])
    path = os.pathsep.join([os.environ["PYTHONPATH"], root])
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path})
    assert eventually(lambda: fake("finish") == [1])
    assert [row["step"] for row in fake("log")] == list(range(50))


def test_a_failed_run_ends_as_failed_and_a_diverged_one_does_not(tmp_path, fake):
    child = wandb.tracker(tmp_path, "project", "online")
    for seed, status in enumerate(("failed", "diverged", "finished")):
        run = store.open_run(tmp_path, SPEC | {"seed": seed}, listeners=[child])
        run.finish(RESULT | {"status": status})
    child.close()
    assert fake("finish") == [1, 0, 0]
    assert [told["status"] for told in fake("summary")] == ["failed", "diverged", "finished"]


def test_pictures_of_a_run_and_the_table_of_a_study_are_media_that_read_back(tmp_path):
    board = wandb.Wandb(tmp_path, "gates-project", "offline")
    path = trained(tmp_path, SPEC)
    point = pictured(path)
    for again in (False, True):  # the second replaces the first
        (each,) = mirror.replay(store.load_runs(tmp_path), board, again=again)
        assert each.verdict == "sent"
        board.table("gates", ["variant", "mean"], [["lstm", 0.25]])
    folders = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert len(folders) == 2
    (image,) = (tmp_path / "wandb").glob("offline-run-*/files/media/images/inspect/*.png")
    assert image.read_bytes() == point
    (table,) = (tmp_path / "wandb").glob("offline-run-*/files/media/table/*.json")
    shown = json.loads(table.read_text())
    assert shown == {"columns": ["variant", "mean"], "data": [["lstm", 0.25]]}
    id = content.told(store.load_run(path)).id
    records = [each for folder in folders if id in folder.name for each in inspected(folder)]
    items = [each["history"]["item"] for each in records if each["type"] == "history"]
    assert items[-1]["inspect/gates._type"] == "image-file" and len(items) == 5


def test_without_a_login_auto_is_nothing_and_wandb_is_offline():
    assert (wandb.mode("auto"), wandb.mode("wandb"), wandb.mode("none")) == (None, "offline", None)


def test_with_a_key_auto_and_wandb_are_online(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert (wandb.mode("auto"), wandb.mode("wandb"), wandb.mode("none")) == (
        "online",
        "online",
        None,
    )


def test_a_netrc_entry_counts_only_for_the_host_of_the_api(monkeypatch, tmp_path):
    entry = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(entry))
    entry.write_text("machine api.wandb.ai\n  login user\n  password abc\n")
    entry.chmod(0o600)
    assert wandb.login()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8443")
    assert not wandb.login()
    entry.write_text("machine wandb.example.org login user password abc\n")
    assert wandb.login()
    for broken in ("machine", "default login user password abc\n", "\x00\xff"):
        entry.write_text(broken)
        assert not wandb.login()


@pytest.mark.parametrize(
    ("wish", "auto", "wandb_"),
    [("offline", "offline", "offline"), ("disabled", None, None), ("online", "online", "online")],
)
def test_wandb_mode_of_the_environment_is_obeyed(monkeypatch, wish, auto, wandb_):
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_MODE", wish)
    assert (wandb.mode("auto"), wandb.mode("wandb")) == (auto, wandb_)


def test_a_tracker_that_does_not_exist_is_named_with_the_nearest(tmp_path):
    assert trackers.start("none", tmp_path) == () == trackers.start("auto", tmp_path)
    with pytest.raises(ValueError, match=r"tracker: 'wanbd'.*'wandb'.*auto, none, wandb"):
        trackers.start("wanbd", tmp_path)


def test_the_training_process_never_imports_wandb():
    script = (
        "import sys; from lstm_research import trackers; import lstm_research.trackers.wandb;"
        "trackers.start('auto', '.'); sys.exit('wandb' in sys.modules)"
    )
    root = str(Path(store.__file__).parents[1])
    assert subprocess.run([sys.executable, "-c", script], cwd=root).returncode == 0
