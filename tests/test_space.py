"""Ranges in Hydra's grammar become distributions, and every mistake is seen before the first run."""

import pytest

pytest.importorskip("optuna", reason="the extra `search` is not installed")
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from lstm_research import compose, space, sweep
from lstm_research.config import ConfigError


@pytest.mark.parametrize(("line", "expected"), [
    ("optimizer.rate=interval(0.001,0.1)", FloatDistribution(0.001, 0.1)),
    ("optimizer.rate=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
    ("network.hidden=int(interval(8,64))", IntDistribution(8, 64)),
    ("network.hidden=int(tag(log,interval(8,64)))", IntDistribution(8, 64, log=True)),
    ("network.hidden=range(16,65,16)", IntDistribution(16, 64, step=16)),
    ("network.hidden=range(1,5)", IntDistribution(1, 4)),
    ("network.hidden=choice(20,40)", CategoricalDistribution(["20", "40"])),
    ("optimizer.clip_norm=1.0,null", CategoricalDistribution(["1.0", "null"])),
    ("cell=lstm,greff/v", CategoricalDistribution(["lstm", "greff/v"])),
    ("cell=glob(greff/n*g)", CategoricalDistribution(["greff/nfg", "greff/nig", "greff/nog"])),
])  # fmt: skip
def test_a_range_of_hydra_is_a_distribution_of_optuna(line, expected):
    assert space.space(compose.parse([line])) == {line.partition("=")[0]: expected}


@pytest.mark.parametrize(("line", "part"), [
    ("optimizer.rate=tag(lgo,interval(1e-4,1e-2))", "Did you mean 'log'?"),
    ("optimizer.rate=tag(log,interval(0,1))", "low > 0"),
    ("optimizer.rate=interval(2,1)", "low <= high"),
    ("network.hidden=tag(log,choice(2,4))", "no logarithm"),
    ("network.hidden=tag(log,range(2,9,2))", "steps of 1"),
    ("network.hidden=range(9,2)", "empty"),
    ("optimizer.rate=range(0.1,0.9,0.1)", "whole numbers"),
    ("cell=glob(nothing*)", "no name of cell"),
])  # fmt: skip
def test_a_range_that_cannot_be_searched_is_refused_by_name(line, part):
    with pytest.raises(ConfigError) as caught:
        space.space(compose.parse([line]))
    (said,) = str(caught.value).splitlines()
    assert said.startswith(f"{line}: ") and part in said, said


def test_corners_meet_every_end_and_every_choice():
    over = space.space(compose.parse(["network.hidden=2,3,4", "optimizer.rate=interval(0.1,0.2)"]))
    corners = space.corners(over)
    assert len(corners) == 4 and corners[0] == {"network.hidden": "2", "optimizer.rate": 0.1}
    assert {each["network.hidden"] for each in corners} == {"2", "3", "4"}
    assert {each["optimizer.rate"] for each in corners} == {0.1, 0.2}


def test_a_draw_becomes_overrides_that_compose():
    words = space.words({"cell": "greff/v", "optimizer.rate": 1e-05, "network.hidden": 3})
    (spec,) = sweep.specs(words)
    assert (spec.cell.peephole, spec.optimizer.rate, spec.network.hidden) == ("ifo", 1e-5, 3)


def test_a_fault_of_one_end_is_told_once_and_by_name():
    over = space.space(compose.parse(["optimizer.rate=interval(-1,1)", "network.hidden=2,x"]))
    with pytest.raises(ConfigError) as caught:
        space.check(["cell=lstm"], over)
    told = str(caught.value).splitlines()
    assert any("rate=-1.0" in line for line in told) and any("'x'" in line for line in told)
    assert len(told) == len(set(told))
