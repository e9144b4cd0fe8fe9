"""A batch over two devices is the batch on one: values, gradients, masks; noise keeps it whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from contract import FAST, problem
from jax.sharding import PartitionSpec

from lstm_research import catalogue, shards, sweep
from lstm_research.cells import CELLS
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec
from lstm_research.life import Run
from lstm_research.pack import Pack
from lstm_research.signature import program as built
from lstm_research.signature import signature
from lstm_research.train import train
from lstm_research.wrappers import Wrapped, WrapSpec

T, B = 5, 4
LENGTHS, RESETS = np.array([T, 4, 1, 0]), np.zeros((T, B), bool)
RESETS[[2, 3], 1] = True

pytestmark = pytest.mark.skipif(
    len(jax.devices()) < 2,
    reason="JAX had started with one device before the tests could ask for two",
)


def program(spec, reverse: bool, engine: str, masked: bool):
    """Return the lowered values and gradients under a loss that sees everything."""
    cell = spec.build()

    def loss(weights, carry, x, seen, lengths, resets):
        masks = {"lengths": lengths, "resets": resets} if masked else {}
        last, h = unroll(cell, weights, carry, x, reverse=reverse, engine=engine, **masks)
        return (h * seen).sum() + sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(last)), h

    data = (*problem(spec, T, B), LENGTHS, RESETS)
    return jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True)).lower(*data), data


CASES = [
    ("peephole", True, "fused", True),
    pytest.param("lstm", False, "fused", False, marks=pytest.mark.slow),
    pytest.param("mgu", False, "scan", True, marks=pytest.mark.slow),
    pytest.param("mingru", True, "parallel", True, marks=pytest.mark.slow),
    pytest.param("slstm", False, "fused", True, marks=pytest.mark.slow),
]  # fmt: skip


@pytest.mark.parametrize(("name", "reverse", "engine", "masked"), CASES, ids=str)
def test_two_devices_give_what_one_gives(float64, name, reverse, engine, masked):
    spec = catalogue.spec(CELLS, "cell", name, {})
    lowered, data = program(spec, reverse, engine, masked)
    want = lowered.compile(FAST)(*data)
    with jax.set_mesh(shards.mesh(jax.devices()[:2])):
        lowered, data = program(spec, reverse, engine, masked)
        compiled = lowered.compile(FAST)
        got = compiled(*data)
    agree(jax.tree.map(np.asarray, got), want)
    assert compiled.as_text().count(" all-reduce(") <= 2, "gradients travel once, after the loop"
    joined = sum(leaf.size for leaf in jax.tree.leaves(data[0]._replace(row=None)))
    assert f"[{joined}]" not in compiled.as_text(), "sums inside a join read beyond their arrays"


def test_a_batch_that_does_not_divide_stays_whole():
    with jax.set_mesh(shards.mesh(jax.devices()[:2])):
        assert [shards.shares(batch) for batch in ((), (3,), (4,), (4, 3), (0,))] == [1, 1, 2, 2, 2]
    assert shards.shares((4,)) == 1


def test_a_batch_that_the_caller_has_split_is_not_split_again():
    cell = GateSpec().build()
    weights, _, x, _ = problem(GateSpec(), T, B, dtype=np.float32)
    run = lambda x: unroll(cell, weights, cell.start(x.shape[1:-1], 4), x)[1]
    parts = PartitionSpec(None, shards.AXIS)
    with jax.set_mesh(shards.mesh(jax.devices()[:2])):
        each = jax.shard_map(run, in_specs=parts, out_specs=parts, check_vma=False)
        agree(np.asarray(jax.jit(each)(x)), run(x), 1e-6)


def test_noise_belongs_to_the_whole_batch():
    spec = Wrapped(GateSpec(), WrapSpec(variational_h=0.5))
    weights, carry, x, _ = problem(spec, T, B, dtype=np.float32)
    run = lambda key: jax.jit(lambda: unroll(spec.build(), weights, carry, x, key=key)[1])()
    want = run(jax.random.key(3))
    with jax.set_mesh(shards.mesh(jax.devices()[:2])):
        agree(np.asarray(run(jax.random.key(3))), want, 1e-6)


@pytest.mark.slow
def test_a_run_whose_batch_is_shared_is_the_run(float64):
    """Losses at every step, and what the best validation gave."""
    (spec,) = sweep.specs(["cell=peephole", "task=adding", "task.length=7", "network.hidden=5",
                           "budget.batch=8", "budget.steps=12", "budget.evaluate_every=6"])  # fmt: skip
    made = built(signature(spec))
    ended = []
    for shares in (1, 2):
        events = []
        train(Pack(made, 1, shares=shares), [Run(made.member(3), events.append, ended.append)])
        seen = [[v for v in event.values() if not isinstance(v, str)] for event in events]
        ended[-1] = (seen, ended[-1].metrics, ended[-1].params)
    agree(jax.tree.map(np.asarray, ended[1]), jax.tree.map(np.asarray, ended[0]), 1e-9)
