"""Committed tables come from their committed runs, and an experiment builds every run it names."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "experiments"
RESULTS = sorted((ROOT / "results").glob("*.jsonl"))


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"experiments_{name}", ROOT / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_experiment_says_what_it_asks_and_how_it_is_run():
    for path in ROOT.glob("*.py"):
        said = load(path.stem).__doc__
        assert f"python experiments/{path.name}" in said


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_committed_table_is_what_its_lines_render_to(path):
    experiment = load(path.stem.removesuffix("_gpu"))
    assert experiment.rendered(path) == path.with_suffix(".md").read_text()


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_committed_line_names_its_commit_and_comes_from_one(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    measured = [line for line in lines if "baselines" not in line]
    assert measured
    for line in measured:
        assert len(line["environment"]["commit"]) == 40 and not line["environment"]["dirty"]


def test_every_committed_run_of_music_has_a_status():
    _, *records = [
        json.loads(line) for line in (ROOT / "results/music.jsonl").read_text().splitlines()
    ]
    assert {record["result"]["status"] for record in records} <= {"finished", "solved", "diverged"}


def test_music_fits_its_budgets_as_closely_as_whole_units_allow():
    music = load("music")
    widths = {
        (cell, size.name): music.hidden(cell, size)
        for size in music.SIZES
        for cell in ("lstm", "gru")
    }
    assert widths == {
        ("lstm", "20K"): 39,
        ("gru", "20K"): 48,
        ("lstm", "300K"): 223,
        ("gru", "300K"): 262,
    }
    count = lambda h: 4 * (88 * h + h * h + h)
    assert count(39) <= 20_000 < count(40)


def test_music_names_runs_that_differ_in_what_they_should():
    music = load("music")
    small, large = music.SIZES
    spec = music.spec("gru", small, 48, (0.003, 0.075), 2)
    assert (spec.optimizer.weight_noise, spec.network.dropout, spec.seed) == (0.075, 0.0, 2)
    assert music.spec("gru", large, 262, (0.003, 0.0), 2).network.dropout == 0.5


def test_music_lets_validation_choose_among_settings_that_both_seeds_have():
    music = load("music")

    def record(setting, seed, nll):
        spec = {"seed": seed, "optimizer": {"rate": setting[0], "weight_noise": setting[1]}}
        return {"spec": spec, "result": {"metrics": {"valid": {"nll": nll}}}}

    quiet, noisy = (0.003, 0.0), (0.003, 0.075)
    records = [record(quiet, 0, 8.4), record(quiet, 1, 8.6), record(noisy, 0, 8.45)]
    assert music.best([*records, record(noisy, 1, 8.5), record(quiet, 2, 1.0)]) == noisy
    assert music.best([*records, record(noisy, 1, 8.6)]) == quiet


def test_parity_sees_a_difference_and_says_what_is_absent(monkeypatch):
    parity = load("parity")
    assert parity.apart([3.0, 4.0], [3.0, 5.0]) == 0.2 and parity.apart([0.5], [0.25]) == 0.25
    monkeypatch.setattr(parity, "SHAPES", 1)
    title, dtype, figure = next(parity.with_flax())
    assert (title, dtype) == ("flax.linen.LSTMCell", "float32") and figure < 1e-6
    monkeypatch.setitem(parity.LIBRARIES, "torch", (("no_such_package",), parity.with_torch))
    assert list(parity.compare("torch")) == ["| torch | not installed | |"]
