"""No secret enters a file: planted in every place that one has been seen to leak from, then looked for."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from lstm_research import store
from lstm_research.config import ConfigError, build

PLANTED = b"s3cret"
SCRIPT = """
import json, sys
from pathlib import Path
from lstm_research import store
from lstm_research.trackers import dashboard, wandb
from lstm_research.trackers.mirror import replay
store.environment = lambda: {}  # `test_environment.py` has it
root, spec, result, targets = Path(sys.argv[1]), *map(json.loads, sys.argv[2:5])
child = wandb.tracker(root, "project", "offline")
with store.open_run(root, spec, listeners=[child]) as run:
    run.log({"step": 1, "split": "train", "loss": 0.5})
    run.finish(result)
child.close(60)
for target in targets:
    for each in replay(store.load_runs(root), dashboard(target, root, "project"), again=True):
        print(target, each.verdict, each.fault or "")
"""
SPEC = {
    "study": "gates",
    "cell": {"kind": "gated"},
    "task": {"kind": "adding", "url": "https://me:s3cret-url@example.org/data"},
    "optimizer": {"api_key": "s3cret-config", "hub_token": "s3cret-token"},
}
RESULT = dict.fromkeys(store.RESULT_KEYS) | {
    "status": "failed", "metrics": {}, "error": "GET https://me:s3cret-url@example.org: 403",
}  # fmt: skip


@pytest.mark.parametrize("name", ["api_key", "token"])
def test_a_run_has_no_field_for_a_secret(name):
    spec = {"cell": {"kind": "gated"}, "task": {"kind": "adding"}, "seed": 0}
    with pytest.raises(ConfigError, match=name):
        build(spec | {name: "s3cret"})


def test_no_tracker_writes_a_secret_of_the_command_line_config_remote_or_environment(tmp_path):
    pytest.importorskip("wandb")
    (repository := tmp_path / "work").mkdir()
    git = ["git", "-C", str(repository)]
    subprocess.run([*git, "init", "-q"], check=True)
    remote = "https://user:s3cret-git@example.org/x.git"
    subprocess.run([*git, "remote", "add", "origin", remote], check=True)
    (home := tmp_path / "home").mkdir()
    code = str(Path(store.__file__).parents[1])
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), code]))
    places = {
        name: str(home) for name in ("HOME", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "TRACKIO_DIR")
    }
    secrets = {
        name: f"s3cret-{name}" for name in ("WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY")
    }
    targets = [name for name in ("tensorboard", "trackio") if find_spec(name)]
    runs = tmp_path / "runs"
    arguments = [runs, *map(json.dumps, (SPEC, RESULT, targets)), "--token=s3cret-argument"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=repository, capture_output=True, text=True, timeout=120,
        env={**os.environ, **places, **secrets, "PYTHONPATH": path, "WANDB_MODE": "offline",
             "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{target} sent " for target in targets]
    (run,) = (record.path for record in store.load_runs(runs))
    theirs = {run / "spec.yaml", run / "result.json"}  # what was planted with the store's own hand
    written = [
        file for file in tmp_path.rglob("*")
        if file.is_file() and ".git" not in file.parts and file not in theirs
    ]  # fmt: skip
    assert any(file.suffix == ".wandb" for file in written)
    for file in written:
        assert PLANTED not in file.read_bytes(), file
        assert "s3cret" not in file.name
