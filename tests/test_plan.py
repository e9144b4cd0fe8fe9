"""The plan: what becomes one program, which of two ways is cheaper, and how it is told."""

import pytest
from small import small

from lstm_research import sweep
from lstm_research.config import build
from lstm_research.plan import COMPILE, FORWARD, QUICKLY, RUN, plan, told, whole
from lstm_research.superset import Superset

ROWS = ({}, {"coupled": True}, {"forget_gate": False})


def specs(seeds: int):
    return [small(seed=seed, **row) for row in ROWS for seed in range(seeds)]


def groups(seeds: int, choice="auto", row_s=1.0, superset_s=1.5, cores=2):
    cost = lambda static: superset_s if isinstance(static.cell, Superset) else row_s
    return plan(specs(seeds), cores, choice, cost)


def test_few_runs_share_a_superset_and_many_long_ones_have_a_program_a_row():
    few, many = groups(2, row_s=1e-3, superset_s=2e-3), groups(50)
    assert [len(group.which) for group in few] == [6] and few[0].over is not None
    assert [len(group.which) for group in many] == [50] * 3
    assert all(group.over is None for group in many)
    assert "as one superset" in few[0].why and "as 3 programs" in many[0].why


def test_the_planner_can_be_told():
    assert len(groups(50, "superset")) == 1 and len(groups(2, "rows", row_s=1e-3)) == 3


def test_every_run_is_in_one_group_and_kinds_that_are_no_row_have_their_own():
    mixed = [*specs(2), *(small("elman", seed) for seed in range(3))]
    found = plan(mixed, 2, cost=lambda static: 1e-4)
    assert sorted(k for group in found for k in group.which) == list(range(9))
    assert sorted(len(group.which) for group in found) == [3, 6]


def test_the_plan_in_words():
    found = groups(2, "rows")
    lines = told(found, jobs=9, before=3, cores=2)
    steps = (
        4 + 3 * FORWARD * 10 / 2
    )  # two validations and a test of ten sequences, in batches of two
    seconds = (3 * QUICKLY + 6 * (RUN + steps * 1.0)) / 2
    assert lines[0] == f"9 jobs, 3 there already: 6 runs in 3 programs, about {seconds:.0f} s"
    assert len(lines) == 4 and "2 runs of gated" in lines[1]


def test_what_trains_for_long_is_given_longer_to_compile():
    few, many = (plan(specs(1)[:1], 1, cost=lambda static, s=s: s)[0] for s in (1e-3, 1e3))
    assert whole(few) - few.seconds == QUICKLY < whole(many) - many.seconds == COMPILE


@pytest.mark.parametrize(("cell", "heavier"), [("gated", "mogrifier"), ("elman", "gated")])
def test_the_estimate_knows_which_cell_costs_more(cell, heavier):
    seconds = [plan([small(kind)], 1)[0].seconds for kind in (cell, heavier)]
    assert 0 < seconds[0] < seconds[1]


def test_the_estimate_knows_which_engine_runs_a_program():
    """A loop of XLA takes longer than a kernel, and half as long again for a superset."""
    kernel, loop = (
        [plan([build(tiny(row, engine))], 1)[0].seconds for row in ({}, {"coupled": True})]
        for engine in ("native", "fused")
    )
    assert all(0 < one < other for one, other in zip(kernel, loop, strict=True))
    both = {
        engine: plan([build(tiny(row, engine)) for row in ({}, {"coupled": True})], 1, "superset")
        for engine in ("native", "fused")
    }
    share = {engine: (groups[0].seconds / 2 - RUN) for engine, groups in both.items()}
    assert share["native"] < 1.1 * (kernel[0] - RUN) and share["fused"] > 1.4 * (loop[0] - RUN)


def tiny(row, engine):
    return {
        "cell": {"kind": "gated", **row}, "task": {"kind": "adding"},
        "network": {"hidden": 16, "engine": engine},
    }  # fmt: skip


def test_a_sweep_that_was_timed_is_announced_within_a_fifth():
    """36 runs of Greff's nine cells on a quiet machine of two cores: 218 s, seven of them before the plan."""
    words = ["cell=" + ",".join(f"greff/{n}" for n in ROW_NAMES), "task=adding", "seed=range(4)"]
    words += ["network.hidden=64", "budget.steps=1000", "budget.evaluate_every=334"]
    groups = plan(sweep.specs(words, True), 2)
    seconds = sum(map(whole, groups)) / 2
    assert seconds == pytest.approx(211, rel=0.2)


ROW_NAMES = ["v", "nig", "nfg", "nog", "niaf", "noaf", "np", "cifg", "fgr"]
