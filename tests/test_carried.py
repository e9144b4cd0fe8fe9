"""A carry that goes on from batch to batch: values of the whole text, gradients of the window alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from contract import FAST
from flax import nnx
from sampled import first
from small_data import text

from lstm_research import catalogue
from lstm_research.cells import CELLS
from lstm_research.evaluate import loss
from lstm_research.life import Run
from lstm_research.network import Network, NetworkSpec
from lstm_research.optimizer import OptimizerSpec
from lstm_research.pack import Pack
from lstm_research.program import Budget, Program
from lstm_research.tasks.task import Batch
from lstm_research.train import train

ROWS, WINDOW = 4, 6
BUDGET = Budget(steps=10, batch=ROWS, evaluate_every=5)
KEY = jax.random.key(7)


def program(cell: str = "lstm", window: int = WINDOW, carried: bool = True, **network) -> Program:
    spec = catalogue.spec(CELLS, "cell", cell, {})
    task = text(window=window, streams=3, carried=carried)
    return Program(spec, NetworkSpec(**{"hidden": 5, **network}), task, OptimizerSpec(), BUDGET)


def joined(made: Program, steps: int) -> Batch:
    """Return the windows 0..steps-1 of an epoch as one."""
    each = [made.batch(made.task.data, KEY, jnp.int32(k)) for k in range(steps)]
    return Batch(
        *(jnp.concatenate(parts, axis=1) for parts in zip(*(b[:3] for b in each), strict=True))
    )


@pytest.fixture(scope="module")
def stacked():
    """Two layers that train from window to window, one compiled step, the states along the way."""
    made = program(layers=2)
    step = jax.jit(made.step, compiler_options=FAST)
    states = [made.begin(3)]
    seen = []
    for _ in range(5):
        state, (value, norm) = step(states[-1], made.task.data, KEY)
        seen.append((value, norm))
        states.append(state._replace(params=states[0].params, optimizer=states[0].optimizer))
    return made, step, states, seen


SLOW = [pytest.param(cell, marks=pytest.mark.slow) for cell in ("gru", "elman", "lstmp", "rhn")]


@pytest.mark.parametrize("cell", ["peephole", "mingru", "phased", *SLOW])
def test_two_windows_are_one_window_of_twice_the_length(cell, float64):
    spec, random = catalogue.spec(CELLS, "cell", cell, {}), np.random.default_rng(1)
    network = Network(
        spec, NetworkSpec(hidden=4, layers=2), outputs=3, vocabulary=5, rngs=nnx.Rngs(0)
    )
    x = random.integers(0, 5, (2, 8))
    whole = network(x, deterministic=True)
    carry, first = network(x[:, :4], deterministic=True, carry=network.start(2), return_carry=True)
    _, second = network(x[:, 4:], deterministic=True, carry=carry, return_carry=True)
    agree(jnp.concatenate([first, second], axis=1), whole)


def test_the_loss_of_a_window_is_that_of_the_text_read_from_the_start(stacked):
    """The slow oracle: every step reads the whole epoch so far again, and keeps its last window."""
    made, _, states, seen = stacked
    windows = 149 // (ROWS * WINDOW)
    assert windows >= 5
    batch = joined(made, 5)
    outputs = made.outputs(states[0].params, states[0].rest, batch, None)
    for k, (value, _) in enumerate(seen):
        part = slice(k * WINDOW, (k + 1) * WINDOW)
        total, weight = loss(
            made.task, outputs[:, part], Batch(*(leaf[:, part] for leaf in batch[:3]))
        )
        assert float(value) == pytest.approx(float(total / weight), rel=1e-5)


def test_no_gradient_passes_into_the_window_before(stacked):
    made, _, states, seen = stacked
    params, rest, batch = states[0].params, states[0].rest, joined(made, 2)
    two, one = (
        Batch(*(leaf[:, part] for leaf in batch[:3]))
        for part in (slice(WINDOW), slice(WINDOW, None))
    )
    before = made.applied(params, rest, two, None, {}, made.carry(ROWS))[2]

    def norm(through: bool) -> float:
        def objective(params):
            start = made.applied(params, rest, two, None, {}, made.carry(ROWS))[2]
            outputs = made.applied(params, rest, one, None, {}, start if through else before)[0]
            total, weight = loss(made.task, outputs, one)
            return total / weight

        grads = jax.jit(jax.grad(objective), compiler_options=FAST)(params)
        return float(jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(grads))))

    assert float(seen[1][1]) == pytest.approx(norm(through=False), rel=1e-5)
    assert abs(norm(through=True) / norm(through=False) - 1) > 1e-4


def test_an_epoch_starts_afresh_whatever_the_carry(stacked):
    made, step, states, _ = stacked
    windows = 149 // (ROWS * WINDOW)
    garbage = jax.tree.map(lambda leaf: leaf + 3, states[2].carry)
    for at, fresh in ((windows, True), (windows + 1, False)):
        state = states[2]._replace(step=jnp.int32(at))
        one, other = (
            step(state._replace(carry=carry), made.task.data, KEY)[1][0]
            for carry in (states[2].carry, garbage)
        )
        assert (float(one) == float(other)) == fresh


def test_held_out_windows_score_what_one_window_scores():
    short, long = program(window=5), program(window=40)
    state = short.begin(1)
    found = [made.evaluate(state.params, state.rest, "valid") for made in (short, long)]
    assert len(short.task.held_out(short.task.data, "valid")) > 1
    assert found[0]["bpc"] == pytest.approx(found[1]["bpc"], rel=1e-6)
    afresh = program(window=5, carried=False).evaluate(state.params, state.rest, "valid")
    assert abs(afresh["bpc"] - found[0]["bpc"]) > 1e-6


def results(pack: Pack, seeds: list[int]) -> list[list[dict]]:
    events: list[list[dict]] = [[] for _ in seeds]
    train(pack, [Run(pack.program.member(s), events[k].append) for k, s in enumerate(seeds)])
    return events


def near(one: list[dict], other: list[dict]) -> None:
    for ours, theirs in zip(one, other, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"split"}:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4), name


ROADS = {
    "side by side on cores": {"width": 2},
    "batch over two devices": {"width": 1, "shares": 2},
}
SIDE = pytest.param({"width": 2, "serial": False}, id="vmap", marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def alone():
    made = program()
    return made, results(Pack(made, 1), [4, 5, 6])


@pytest.mark.parametrize("road", [*first(ROADS.values()), SIDE])
def test_whatever_the_road_a_run_is_the_run_alone(road, alone):
    if len(jax.devices()) < road.get("shares", 1):
        pytest.skip("JAX had started with one device before the tests could ask for two")
    made, wanted = alone
    found = results(Pack(made, **road), [4, 5, 6])  # a slot is taken by one run after another
    for one, other in zip(found, wanted, strict=True):
        near(one, other)


def test_a_task_without_a_carry_has_none_in_its_state():
    made = program(carried=False)
    assert made.begin(0).carry is None and made.carry(3) is None


def test_two_ways_are_refused_where_rows_go_on():
    with pytest.raises(
        ValueError, match=r"network.bidirectional=true reads a sequence from its end"
    ):
        program(bidirectional=True)
