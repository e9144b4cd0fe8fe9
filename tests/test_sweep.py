"""From a command line to specs: expansion, forced keys, and every mistake before the first run."""

import pytest

from lstm_research import compose, sweep
from lstm_research.config import ConfigError


def test_the_defaults_are_one_run():
    (spec,) = sweep.specs([])
    assert spec.cell.kind == "gated" and spec.task.kind == "adding" and spec.seed == 0


def test_a_key_that_no_yaml_spells_out_can_be_set():
    (spec,) = sweep.specs(["cell=gru", "cell.forget_bias=0.5", "task.length=7", "network.layers=2"])
    assert (spec.cell.forget_bias, spec.task.length, spec.network.layers) == (0.5, 7, 2)


def test_a_sweep_is_the_product_and_the_last_key_walks_fastest():
    specs = sweep.specs(
        ["cell=lstm,greff/v", "optimizer.rate=1e-3,1e-2", "seed=range(3)"], sweep=True
    )
    assert len(specs) == 12
    assert [spec.seed for spec in specs[:4]] == [0, 1, 2, 0]
    assert [spec.cell.peephole for spec in specs[::6]] == ["", "ifo"]


def test_off_is_null():
    (spec,) = sweep.specs(["optimizer.clip_norm=null"])
    assert spec.optimizer.clip_norm is None


@pytest.mark.parametrize(("line", "parts"), [
    ("cell=lstn", ["cell", "'lstn'", "'lstm'", "greff/v"]),
    ("task=addin", ["task", "'addin'", "'adding'"]),
    ("budget=shrt", ["budget", "'short'"]),
    ("sed=3", ["sed", "'seed'"]),
    ("optimizer.rte=1", ["optimizer.rte", "'rate'"]),
    ("network.hiden=3", ["network.hiden", "'hidden'"]),
    ("cell=[", ["command line"]),
    ("seed=1,2", ["command line", "seed=1,2", "-m"]),
    ("+foo=1", ["foo", "'foo'"]),
    ("task.length=x", ["task.length", "'x'", "integer"]),
])  # fmt: skip
def test_a_mistake_is_one_line(line, parts):
    with pytest.raises(ConfigError) as caught:
        sweep.specs([line])
    (said,) = str(caught.value).splitlines()
    assert all(part in said for part in parts), said


def test_the_mistake_of_a_later_job_is_told_once_and_before_any_run():
    with pytest.raises(ConfigError) as caught:
        sweep.specs(["cell=lstm,greff/nfg", "cell.forget_bias=1.0", "seed=range(3)"], sweep=True)
    assert len(str(caught.value).splitlines()) == 1


def test_runs_that_differ_in_their_seed_alone_are_composed_once(monkeypatch):
    asked, real = [], compose.composed
    monkeypatch.setattr(compose, "composed", lambda job: asked.append(job) or real(job))
    specs = sweep.specs(["cell=gru,lstm", "task=adding", "seed=0,1"], sweep=True)
    assert [each.seed for each in specs] == [0, 1, 0, 1] and len(asked) == 2


def test_a_line_that_was_composed_is_not_composed_again(monkeypatch):
    words = ["cell=gru", "task=adding", "seed=0,1"]
    known = sweep.composed(words, sweep=True)
    monkeypatch.setattr(compose, "composed", lambda job: pytest.fail(f"{job} composed again"))
    assert [each.seed for each in sweep.specs(words, True, known)] == [0, 1]
