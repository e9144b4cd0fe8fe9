"""Statistics that a cell measures while it trains: blended in training, used in a test, kept on disk."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from flax import nnx
from small import WORDS, small

from lstm_research import sweep
from lstm_research.cells.ligru import LiGru, Statistics
from lstm_research.evaluate import loss
from lstm_research.gated import GateSpec
from lstm_research.interop import safetensors
from lstm_research.masks import Masks
from lstm_research.moments import MOMENTUM, blended
from lstm_research.network import NetworkSpec
from lstm_research.nnx_cell import Switch
from lstm_research.nnx_layer import Recurrent
from lstm_research.optimizer import OptimizerSpec
from lstm_research.program import Budget, Program
from lstm_research.run import fit
from lstm_research.signature import network, signature
from lstm_research.signature import program as made_for
from lstm_research.tasks.adding import Adding
from lstm_research.train import fit as train
from lstm_research.wrappers import Wrapped, WrapSpec

STEPS, ROWS, FEATURES, HIDDEN = 5, 3, 2, 4
X = np.random.default_rng(0).normal(size=(ROWS, STEPS, FEATURES)).astype(np.float32) + 3.0
LENGTHS = np.array([5, 3, 0], np.int32)
TASK = dataclasses.replace(Adding(length=6, held_out=20).build(), success=None)


def program(cell, rate=0.01, steps=20, every=5):
    budget = Budget(steps=steps, batch=4, evaluate_every=every)
    return Program(cell, NetworkSpec(hidden=3), TASK, OptimizerSpec(rate=rate), budget)


def layer(spec="ligru", **settings):
    return Recurrent(spec, FEATURES, HIDDEN, rngs=nnx.Rngs(0), **settings)


def measured(made, x):
    """Mean and variance of x W over rows of features, in NumPy."""
    z = np.asarray(x, np.float64) @ np.asarray(made.weights.w[...], np.float64)
    return Statistics(z.mean(0), z.var(0))


def row(made):
    return nnx.as_pure(made.weights).row


def rows(rest):
    """Every statistic in what a module holds beside its parameters."""
    return [leaf[...] for _, leaf in nnx.to_flat_state(rest) if isinstance(leaf, Switch)]


def test_a_training_call_moves_the_statistics_by_the_momentum():
    made = layer()
    start, wanted = row(made), measured(made, X.reshape(-1, FEATURES))
    for count in (1, 2):
        made(X, rngs=nnx.Rngs(dropout=0))
        fades = (1 - MOMENTUM) ** count
        moved = jax.tree.map(lambda a, b, f=fades: f * a + (1 - f) * b, start, wanted)
        agree(row(made), jax.tree.map(np.float32, moved), 1e-5)


@pytest.mark.parametrize("reverse", [False, True])
def test_padding_is_not_measured(reverse):
    made = layer(reverse=reverse)
    dirty = np.where((np.arange(STEPS) < LENGTHS[:, None])[..., None], X, np.nan)
    wanted = blended(row(made), measured(made, np.concatenate([X[0], X[1, :3]])), None)
    made(dirty, lengths=LENGTHS, rngs=nnx.Rngs(dropout=0))
    agree(row(made), wanted, 1e-5)


def test_a_batch_without_a_step_and_a_test_change_nothing():
    made = layer()
    made(X, rngs=nnx.Rngs(dropout=0))
    kept = row(made)
    made(X, lengths=np.zeros(ROWS, np.int32), rngs=nnx.Rngs(dropout=0))
    made(X, deterministic=True)
    made.eval()
    made(X)
    same(row(made), kept)


def test_wrappers_hand_the_observation_on():
    wrap = WrapSpec(zoneout_h=0.3, weight_drop=0.2, variational_h=0.2)
    made, bare = layer(Wrapped(LiGru(), wrap)), layer()
    for each in (made, bare):
        each(X, rngs=nnx.Rngs(dropout=0))
    same(row(made), row(bare))
    masked = layer(Wrapped(LiGru(), WrapSpec(variational_x=0.5)))
    masked(X, rngs=nnx.Rngs(dropout=0))
    cell, noise = masked.spec.build(), nnx.Rngs(dropout=0).dropout()
    zx = cell.drive(nnx.as_pure(masked.weights), jnp.moveaxis(X, 1, 0), Masks(None, None), noise)
    agree(zx.mean((0, 1)), masked.weights.b[...], 1e-4)  # normalised by what the masks let through
    assert np.abs(row(masked).mean - row(bare).mean).max() > 1e-3


@pytest.mark.slow
def test_a_training_step_returns_the_statistics_of_its_batch():
    made = program(LiGru())
    state, key = made.begin(jnp.int32(0)), jax.random.key(0)
    after, _ = jax.jit(made.step)(state, TASK.data, key)
    x = np.asarray(made.batch(TASK.data, key, jnp.int32(0)).inputs).reshape(-1, TASK.features)
    first = made.merged(state.params, state.rest).layers[0][0]
    last = made.merged(after.params, after.rest).layers[0][0]
    agree(row(last), blended(row(first), measured(first, x), None), 1e-5)
    assert jax.tree.structure(after.rest) == jax.tree.structure(state.rest)


def test_training_ends_at_the_statistics_of_the_data_and_a_test_uses_them():
    made = program(LiGru(), rate=1e-12, steps=100, every=100)
    state, key = made.begin(jnp.int32(0)), jax.random.key(0)
    after, _, _ = jax.jit(made.steps)(state, TASK.data, jnp.int32(0), jnp.int32(100))
    state = made.begin(jnp.int32(0))
    first = made.merged(state.params, state.rest).layers[0][0]
    x = [made.batch(TASK.data, key, jnp.int32(step)).inputs for step in range(100)]
    wanted = measured(first, np.concatenate(x).reshape(-1, TASK.features))
    (mean, var), start = rows(after.rest), row(first)
    assert np.abs(mean - wanted.mean).max() < 0.3 * np.abs(start.mean - wanted.mean).max()
    assert np.abs(var - wanted.var).max() < 0.3 * np.abs(start.var - wanted.var).max()
    moved, stayed = (made.evaluate(after.params, each.rest, "valid") for each in (after, state))
    assert abs(moved["mse"] - stayed["mse"]) > 1e-4


def test_the_best_validation_keeps_its_statistics():
    """What a result says of validation is what its parameters and statistics give, to the bit."""
    made = program(LiGru(), rate=0.3, steps=40)
    events: list[dict] = []
    result = train(made, 1, record=events.append)
    assert result.best_step < result.steps
    assert made.evaluate(result.params, result.rest, "valid") == result.metrics["valid"]


@pytest.mark.slow
def test_statistics_are_stored_with_the_weights(tmp_path):
    (spec,) = sweep.specs([*WORDS, "cell=ligru"])
    result = fit(spec)
    kept = network(spec, made_for(signature(spec)), result.params, result.rest)
    path = safetensors.save(tmp_path / "weights.safetensors", kept)
    back = safetensors.load(path)
    same(row(back.layers[0][0]), row(kept.layers[0][0]))
    assert np.abs(row(back.layers[0][0]).mean).max() > 0
    kept.eval()
    x = np.ones((2, 5, 2), np.float32)
    same(back(x), kept(x))


@pytest.mark.slow
def test_a_run_whose_cell_observes_nothing_is_as_it_was():
    """The rest is the object that came in, and loss and gradient are those of the outputs alone."""
    made = program(GateSpec())
    state, key = made.begin(jnp.int32(0)), jax.random.key(0)
    assert made.step(state, TASK.data, key)[0].rest is state.rest and not made.observes
    batch = made.batch(TASK.data, key, state.step)

    def plain(params):
        total, weight = loss(TASK, made.outputs(params, state.rest, batch, key), batch)
        return total / weight

    value, grads = jax.jit(jax.value_and_grad(plain))(state.params)
    _, (found, norm) = jax.jit(made.step)(state, TASK.data, key)
    same(found, value)
    agree(norm, jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(grads))), 1e-6)


def test_a_stored_run_of_an_observing_cell_is_the_same_twice():
    spec = small("ligru")
    one, two = fit(spec), fit(spec)
    assert one.metrics == two.metrics
    same(rows(one.rest), rows(two.rest))
