"""Trackio's database holds what the store holds, once; it is read with sqlite3, not with Trackio."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import mirrored
import pytest
from mirrored import POINT, SPEC, trained

from lstm_research import store

pytest.importorskip("trackio", reason="the extra `trackio` is not installed")
SEND = """
import sys
from pathlib import Path
from lstm_research import store
from lstm_research.trackers.mirror import replay
from lstm_research.trackers.trackio import Trackio
root, picture, point = Path(sys.argv[1]), Path(sys.argv[2]), bytes.fromhex(sys.argv[3])
for turn in range(3):
    board = Trackio("gates-project")
    for each in replay(store.load_runs(root), board):
        print(each.verdict, each.fault or "")
    board.table("gates", ["variant", "mean"], [["lstm", 0.25]])
    if turn == 1:  # news for the third
        picture.parent.mkdir()
        picture.write_bytes(point)
"""


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    mirrored.at_home(monkeypatch, tmp_path)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def send(root: Path, picture: Path) -> list[str]:
    code = str(Path(store.__file__).parents[1])
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), code]))
    done = subprocess.run(
        [sys.executable, "-c", SEND, root, picture, POINT.hex()],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def rows(folder: Path) -> dict[str, list[tuple[int, dict]]]:
    found: dict[str, list[tuple[int, dict]]] = {}
    with sqlite3.connect(folder / "gates-project.db") as base:
        query = "select run_name, step, metrics from metrics order by id"
        for name, step, metrics in base.execute(query):
            found.setdefault(name, []).append((step, json.loads(metrics)))
    base.close()
    return found


def test_a_run_reads_back_once_however_often_it_is_sent(tmp_path):
    path = trained(tmp_path / "runs", SPEC)
    sent = send(tmp_path / "runs", path / "inspect" / "gates.png")
    assert sent == ["sent", "there", "sent"]
    found = rows(tmp_path / "trackio")
    (name,) = set(found) - {"gates table"}
    assert name.startswith("gated-s3-")
    *train, valid, (step, final) = found[name]
    assert train == [(1, {"train/loss": 1.0}), (2, {"train/loss": 0.5}), (3, {"train/loss": 1 / 3})]
    assert valid == (3, {"valid/mse": "NaN"}) and step == 3
    assert final["test/mse"] == 0.25 and final["inspect/gates"]["_type"] == "trackio.image"
    ((_, table),) = found["gates table"]
    assert table["table"]["_value"] == [{"variant": "lstm", "mean": 0.25}]
    with sqlite3.connect(tmp_path / "trackio" / "gates-project.db") as base:
        query = "select config from configs where run_name = ?"
        ((config,),) = base.execute(query, (name,)).fetchall()
    base.close()
    told = json.loads(config)
    assert told["cell"] == SPEC["cell"] and told["result"]["status"] == "solved"
    assert told["_Group"] == "gates" and told["optimizer"]["api_key"] == "[redacted]"
