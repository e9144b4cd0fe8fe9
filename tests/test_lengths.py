"""Curves against length: bins are read from the names of metrics, seeds become a mean and a band."""

import importlib.util
import sys

import lengths
import pytest
from ledger import lines
from ledger.curves import Curve, Point, draw

from lstm_research import catalogue


def line(cell, seed, near, far, task="parity"):
    test = {"accuracy": 0.7, "accuracy@length=1-4": near, "accuracy@length=5": far, "nll": 1.0}
    result = {"test": test, "metric": "accuracy", "chance": {"accuracy": 0.5}, "train_s": 1.0}
    result |= {"compile_s": 0.5, "status": "finished"}
    around = {"commit": "c" * 40, "dirty": False, "versions": {"jax": "1"}, "cores": 2}
    told = {"task": task, "cell": cell, "trained": 4, "setting": "task.length=4"}
    told |= {"environment": around, "processor": "P", "load": 2.0}
    return told | {"spec": {"seed": seed}, "result": result}


FOUND = [line("lstm", 0, 1.0, 0.5), line("lstm", 1, 0.8, 0.7), line("gru", 0, 0.9, float("nan"))]


def test_seeds_become_a_mean_and_a_band_in_every_bin():
    first, second = lengths.curves(FOUND)
    assert first[:6] == ("parity", "LSTM", "accuracy", "length", 4, 0.5)
    assert first.points == (Point(1, 4, 0.9, 0.8, 1.0), Point(5, 5, 0.6, 0.5, 0.7))
    assert [point.low for point in second.points] == [1]  # a bin without predictions is no point


def test_the_table_has_a_row_a_cell_and_a_column_a_bin():
    title, said, body, picture = lengths.table([*lengths.curves(FOUND)], "task.length=4", 2)
    assert title == "## parity" and "trained up to 4; chance 0.5; 2 seeds" in said
    assert picture == "![parity](lengths/parity.png)"
    assert body.splitlines()[0] == "| accuracy at length | 1-4 | 5 |"
    assert body.splitlines()[2:] == ["| LSTM | 0.9 | 0.6 |", "| GRU | 0.9 |  |"]


def test_a_line_keeps_the_test_metrics_and_not_the_validation():
    kept = dict.fromkeys(("status", "steps", "best_step", "metric", "goal", "chance"), 1)
    kept |= dict.fromkeys(("parameters", "step_ms", "train_s", "compile_s"), 2)
    full = kept | {"metrics": {"valid": {"a": 1}, "test": {"a": 2}}, "recurrent_parameters": 3}
    assert lengths.brief({"result": full})["result"] == kept | {"test": {"a": 2}}
    assert lengths.brief({"result": kept | {"metrics": {}}})["result"]["test"] == {}


def test_every_task_and_cell_of_the_curves_exists():
    assert {lengths.setting(task, "lstm")["task"] for task in lengths.TASKS} <= set(
        catalogue.names("task")
    )
    assert set(lengths.CELLS) <= set(catalogue.names("cell"))


def test_runs_become_lines_a_table_and_are_not_run_twice(tmp_path, monkeypatch, inline):
    own = "task.length=4 task.held_out=16 network.hidden=2 budget.steps=2 budget.evaluate_every=1"
    monkeypatch.setattr(lengths, "TASKS", {"parity": lengths.Panel(own, 4)})
    monkeypatch.setattr(lengths, "CELLS", {"elman": "Elman"})
    monkeypatch.setattr(lengths, "SEEDS", 1)
    monkeypatch.setattr(lengths, "LINES", tmp_path / "lengths.jsonl")
    monkeypatch.setattr(lengths, "draw", lambda curves, folder: [])
    monkeypatch.setattr(sys, "argv", ["lengths.py", "--runs", str(tmp_path / "runs")])
    assert lengths.main() == 0
    (kept,) = lines.read(lengths.LINES)
    (curve,) = lengths.curves([kept])
    assert [(point.low, point.high) for point in curve.points] == [(4, 4)]  # all are of length 4
    assert (tmp_path / "lengths.md").read_text() == lengths.rendered(lengths.LINES)
    monkeypatch.setattr(lengths, "launch", lambda *given: pytest.fail("a run twice"))
    monkeypatch.setattr(sys, "argv", ["lengths.py", "--runs", str(tmp_path / "elsewhere")])
    assert lengths.main() == 0 and lines.read(lengths.LINES) == [kept]


@pytest.mark.skipif(
    importlib.util.find_spec("altair") is None or importlib.util.find_spec("vl_convert") is None,
    reason="the picture needs altair and vl-convert: pip install -e '.[report]'",
)
def test_the_picture_is_a_small_png(tmp_path):
    (path,) = draw([*lengths.curves(FOUND)], tmp_path / "lengths")
    assert path == tmp_path / "lengths/parity.png"
    drawn = path.read_bytes()
    assert drawn.startswith(b"\x89PNG") and len(drawn) < 300_000


def test_no_picture_is_drawn_without_altair(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    curve = Curve("parity", "LSTM", "accuracy", "length", None, None, ())
    assert draw([curve], tmp_path) == []
