"""Flax's own cells and ours compute the same, in both directions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from flax import linen, nnx
from sampled import first

import lstm_research as lr
from lstm_research.interop import flax as ours
from lstm_research.interop.blocks import GRU, LSTM, Foreign

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
LINEN = (linen.LSTMCell, linen.OptimizedLSTMCell, linen.GRUCell, linen.SimpleCell)
NNX = (nnx.LSTMCell, nnx.OptimizedLSTMCell, nnx.GRUCell, nnx.SimpleCell)


def alive(tree, seed, dtype):
    """Numbers for every leaf of a tree, biases too."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(-0.8, 0.8, leaf.shape), dtype), tree)


def shape(dtype):
    """Random features and units, others for each precision, and a seed."""
    seed = list(TOLERANCE).index(dtype)
    return [*np.random.default_rng(seed).integers(2, 7, 2).tolist(), seed]


def inputs(seed, features, dtype):
    return jnp.asarray(np.random.default_rng(100 + seed).normal(size=(3, 6, features)), dtype)


def ran(spec, weights, x, lengths=None):
    """Outputs of our cell, batch-major."""
    cell = spec.build()
    carry = cell.start((len(x),), weights.r[0].shape[0], x.dtype)
    _, h = lr.unroll(cell, weights, carry, x.swapaxes(0, 1), lengths=lengths, engine="scan")
    return h.swapaxes(0, 1)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("make", LINEN)
def test_linen_and_ours_are_one_function_and_the_way_back_changes_nothing(make, dtype, float64):
    features, hidden, seed = shape(dtype)
    cell = make(hidden, param_dtype=jnp.dtype(dtype))
    x, lengths = inputs(seed, features, dtype), jnp.array([6, 1, 4])
    start = cell.initialize_carry(jax.random.key(0), (3, features))
    shapes = jax.eval_shape(lambda: cell.init(jax.random.key(0), start, x[:, 0])["params"])
    params = alive(shapes, seed, dtype)
    spec, weights = ours.from_linen(params)
    theirs = linen.RNN(cell.clone()).apply({"params": {"cell": params}}, x, seq_lengths=lengths)
    valid = (jnp.arange(6) < lengths[:, None])[..., None]
    got = ran(spec, weights, x, lengths)
    assert got.dtype == dtype
    agree(got, jnp.where(valid, theirs, 0), TOLERANCE[dtype])
    back = ours.to_linen(spec, weights)
    assert jax.tree.structure(back) == jax.tree.structure(dict(params))
    same(back, params)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("make", first(NNX))
def test_nnx_and_ours_are_one_function_and_the_way_back_changes_nothing(make, dtype, float64):
    features, hidden, seed = shape(dtype)
    kind = jnp.dtype(dtype)
    cell = make(features, hidden, dtype=kind, param_dtype=kind, rngs=nnx.Rngs(0))
    nnx.update(cell, alive(nnx.state(cell, nnx.Param), seed, dtype))
    x, (spec, weights) = inputs(seed, features, dtype), ours.from_nnx(cell)
    agree(ran(spec, weights, x), nnx.RNN(cell)(x), TOLERANCE[dtype])
    back = ours.to_nnx(spec, weights)
    again = ours.from_nnx(back)
    assert again[0] == spec
    same(again[1], weights)
    if type(back) is make:
        same(nnx.state(back, nnx.Param), nnx.state(cell, nnx.Param))


def test_a_simple_cell_of_relu_stays_one():
    cell = nnx.SimpleCell(2, 3, activation_fn=jax.nn.relu, rngs=nnx.Rngs(0))
    spec, weights = ours.from_nnx(cell)
    x = inputs(0, 2, "float32")
    assert spec.activation == "relu"
    agree(ran(spec, weights, x), nnx.RNN(ours.to_nnx(spec, weights))(x), 1e-6)
    agree(ran(spec, weights, x), nnx.RNN(cell)(x), 1e-6)


@pytest.mark.parametrize("cell", [
    nnx.LSTMCell(2, 3, activation_fn=jax.nn.relu, rngs=nnx.Rngs(0)),
    nnx.GRUCell(2, 3, gate_fn=jax.nn.hard_sigmoid, rngs=nnx.Rngs(0)),
    nnx.SimpleCell(2, 3, residual=True, rngs=nnx.Rngs(0)),
    nnx.SimpleCell(2, 3, activation_fn=jax.nn.gelu, rngs=nnx.Rngs(0)),
    lr.NnxCell("lstm", 2, 3, rngs=nnx.Rngs(0)),
])  # fmt: skip
def test_what_no_cell_here_computes_is_refused(cell):
    with pytest.raises(Foreign):
        ours.from_nnx(cell)


def test_names_of_another_cell_are_refused():
    with pytest.raises(Foreign, match="dense"):
        ours.from_linen({"dense": {}})
    weights = lr.cell("cifg").init(jax.random.key(0), 2, 3)
    with pytest.raises(Foreign, match="Flax has no such cell"):
        ours.to_linen(lr.NnxCell("cifg", 2, 3, rngs=nnx.Rngs(0)).spec, weights)


def test_a_bias_that_nnx_cannot_hold_is_refused_and_linen_holds_it():
    weights = GRU.build().init(jax.random.key(0), 2, 3)
    moved = weights._replace(p={"b_hg": jnp.ones(3)})
    with pytest.raises(Foreign, match="b_hg"):
        ours.to_nnx(GRU, moved)
    agree(ours.to_linen(GRU, moved)["hn"]["bias"], jnp.ones(3))
    x = inputs(0, 2, "float32")
    agree(nnx.RNN(ours.to_nnx(GRU, weights))(x), ran(GRU, weights, x), 1e-6)


def test_the_start_of_the_weights_does_not_matter_to_the_rule():
    other = type(LSTM)(forget_bias=3.0, kernel="glorot")
    weights = other.build().init(jax.random.key(0), 2, 3)
    assert set(ours.to_linen(other, weights)) == {"ii", "if", "ig", "io", "hi", "hf", "hg", "ho"}
