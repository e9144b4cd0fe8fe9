"""`NnxCell` is at home in Flax, and Flax's own cells are rows of ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from contract import FAST
from flax import linen, nnx
from sampled import sampled
from test_cells import SUBJECTS

from lstm_research.catalogue import UnknownName
from lstm_research.cell import Weights
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec
from lstm_research.nnx_cell import NnxCell, Switch, cell_spec, hold
from lstm_research.nnx_layer import Recurrent
from lstm_research.superset import swept

SHAPES = [(1, 1, 1, 1), (5, 3, 2, 4), (4, 2, 6, 3)]  # time, batch, features, hidden
GRU = {
    "coupled": True,
    "output_gate": False,
    "squash_output": False,
    "reset_gate": True,
    "forget_bias": 0.0,
}


def inputs(time, batch, features):
    return np.random.default_rng(time).normal(size=(batch, time, features))


def shaken(tree):
    """Return a tree of the same shapes with every number alive."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(-0.8, 0.8, leaf.shape)), tree)


def run(spec, w, b, r, x, **p):
    """Unroll a row on transplanted weights; return batch-major h."""
    cell, weights = spec.build(), Weights(w, b, (r,), p)
    carry = cell.start((x.shape[0],), r.shape[0])
    go = jax.jit(lambda *data: unroll(cell, *data)[1], compiler_options=FAST)
    return np.swapaxes(go(weights, carry, np.swapaxes(x, 0, 1)), 0, 1)


def theirs(module, x):
    """Run a Flax nnx cell with shaken weights; return h."""
    nnx.update(module, shaken(nnx.state(module, nnx.Param)))
    graph, state = nnx.split(nnx.RNN(module))
    return jax.jit(lambda s, x: nnx.merge(graph, s)(x), compiler_options=FAST)(state, x)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_lstm_of_flax_is_the_lstm_row(float64, shape):
    *_, features, hidden = shape
    x = inputs(*shape[:3])
    flax = nnx.OptimizedLSTMCell(features, hidden, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    h = theirs(flax, x)
    agree(
        run(
            GateSpec(),
            flax.dense_i.kernel[...],
            flax.dense_h.bias[...],
            flax.dense_h.kernel[...],
            x,
        ),
        h,
    )


def order(m, blocks):
    """Return Flax's columns (r, z, n) as our blocks: i = 1 - z, so its numbers change sign."""
    cut = dict(zip("rzn", jnp.split(m, 3, -1), strict=True))
    cut["i"] = -cut["z"]
    return jnp.concatenate([cut[name] for name in blocks], -1)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gru_of_flax_nnx_is_the_row_without_a_bias_inside_the_reset(float64, shape):
    *_, features, hidden = shape
    x = inputs(*shape[:3])
    flax = nnx.GRUCell(features, hidden, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    h = theirs(flax, x)
    w, b, r = flax.dense_i.kernel[...], flax.dense_i.bias[...], flax.dense_h.kernel[...]
    agree(run(GateSpec(**GRU), order(w, "irn"), order(b, "irn"), order(r, "irn"), x), h)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gru_of_flax_linen_is_the_row_with_a_bias_inside_the_reset(float64, shape):
    hidden = shape[-1]
    x = jnp.asarray(inputs(*shape[:3]))
    flax = linen.RNN(linen.GRUCell(hidden, param_dtype=jnp.float64))
    variables = shaken(flax.init(jax.random.key(0), x))
    part = next(iter(variables["params"].values()))
    join = lambda side, leaf: jnp.concatenate([part[side + name][leaf] for name in "rzn"], -1)
    r = jnp.concatenate([part[f"h{name}"]["kernel"] for name in "rzn"], -1)
    got = run(
        GateSpec(**GRU, reset_bias=True),
        order(join("i", "kernel"), "irn"),
        order(join("i", "bias"), "irn"),
        order(r, "irn"),
        x,
        b_hg=part["hn"]["bias"],
    )
    agree(got, flax.apply(variables, x))


@pytest.mark.parametrize("subject", sampled(SUBJECTS.values()))
def test_a_cell_inside_the_rnn_of_flax_is_our_layer(subject):
    x = jnp.asarray(inputs(4, 3, 2), jnp.float32)
    rnn = nnx.RNN(NnxCell(subject.name, 2, 4, rngs=nnx.Rngs(0)))
    layer = Recurrent(subject.name, 2, 4, deterministic=True, rngs=nnx.Rngs(0))
    graph, state = nnx.split((rnn, layer))
    both = jax.jit(
        lambda state, x: [run(x) for run in nnx.merge(graph, state)], compiler_options=FAST
    )
    agree(*both(state, x))


def test_the_carry_that_flax_asks_for_is_the_start():
    cell = NnxCell("lstm", 2, 3, rngs=nnx.Rngs(0))
    carry = cell.initialize_carry((5, 2), nnx.Rngs(0))
    assert [leaf.shape for leaf in carry] == [(5, 3), (5, 3)] and not any(
        leaf.any() for leaf in carry
    )
    assert cell.num_feature_axes == 1


def test_a_row_of_switches_is_a_variable_that_no_optimizer_sees():
    weights = swept(GateSpec()).init(jax.random.key(0), 2, 3)

    class Holder(nnx.Module):
        def __init__(self):
            self.weights = hold(weights)

    holder = Holder()
    trained = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(holder, nnx.Param)))
    assert trained == sum(leaf.size for leaf in jax.tree.leaves(weights._replace(row=None)))
    assert len(jax.tree.leaves(nnx.state(holder, Switch))) == len(weights.row)


def test_a_name_with_changes_is_a_spec_and_a_wrong_one_is_refused():
    assert cell_spec("cifg", peephole="io") == GateSpec(coupled=True, peephole="io")
    with pytest.raises(UnknownName, match="lstm"):
        NnxCell("lstmm", 2, 3, rngs=nnx.Rngs(0))
