"""Every YAML is composed, built and stepped: composing alone has hidden lost ablations before."""

import jax
import jax.numpy as jnp
import pytest
from contract import FAST
from sampled import KEEN

from lstm_research import catalogue, check, sweep
from lstm_research.line import GROUPS
from lstm_research.program import Program
from lstm_research.signature import signature, task
from lstm_research.tasks.data import DataError

SMALL = ("network.hidden=4", "budget.steps=2", "budget.batch=2", "budget.evaluate_every=1")
QUICK = {
    "cell": ("task.length=6",),
    "optimizer": ("task.length=6",),
    "task": (),
    "budget": ("task.length=6",),
    "wrap": ("task.length=6",),
}


TASKS = {"jsb"}
WRAPS = {"recurrent_batch_norm"}


def quick(group: str, name: str) -> bool:
    """Say whether to compile it each time; `lstm-research check` traces them all."""
    keen = {"cell": KEEN, "task": TASKS, "wrap": WRAPS, "optimizer": {"adam", "momentum"}}
    return group not in keen or name in keen[group]


NAMES = [
    pytest.param(group, name, marks=() if quick(group, name) else pytest.mark.slow)
    for group in QUICK
    for name in catalogue.names(group)
]


@pytest.mark.parametrize(("group", "name"), NAMES)
def test_every_yaml_is_composed_built_and_stepped(group, name, request):
    small = SMALL if group != "budget" else SMALL[:1] + SMALL[2:3]
    (spec,) = sweep.specs([f"{group}={name}", *small, *QUICK[group]])
    try:
        static = signature(spec)
        made = Program(
            static.cell, static.network, task(static.task), static.optimizer, static.budget
        )
    except DataError as error:
        pytest.skip(f"its data are not public at a fixed checksum: {error}")
    state = made.begin(jnp.int32(0))
    after, (value, norm) = jax.jit(made.step, compiler_options=FAST)(
        state, made.task.data, jax.random.key(0)
    )
    assert jnp.isfinite(value) and jnp.isfinite(norm)
    before, moved = (jax.tree.leaves(each.params) for each in (state, after))
    assert all(jnp.isfinite(leaf).all() for leaf in moved)
    assert any(bool((a != b).any()) for a, b in zip(before, moved, strict=True))


def test_check_finds_every_yaml_sound():
    findings = [check.examine(f"{group}/{name}", [f"{group}={name}"])
                for group, name in (("cell", "lstm"), ("task", "reber"), ("optimizer", "sgd"))]  # fmt: skip
    assert {finding.verdict for finding in findings} == {"ok"}
    assert check.study("quickstart").detail == "45 runs"


def test_check_names_what_is_wrong():
    found = check.examine("cell/broken", ["cell=lstm", "cell.peephole=x"])
    assert found.verdict == "fault" and "cell.peephole" in found.detail


def test_every_yaml_opens_with_a_caption():
    for group in (*GROUPS, "studies"):
        assert all(catalogue.caption(group, name) for name in catalogue.names(group)), group
