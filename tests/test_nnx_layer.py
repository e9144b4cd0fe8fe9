"""`Recurrent`: one cell's weights over time, batch-major like Flax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from flax import nnx

from lstm_research.engines import unroll
from lstm_research.nnx_layer import Recurrent

X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5, 2)), jnp.float32)
LENGTHS = np.array([5, 3, 0], np.int32)
RESETS = np.zeros((3, 5), bool)
RESETS[0, 2] = True


def layer(**settings):
    return Recurrent("peephole", 2, 4, rngs=nnx.Rngs(0), **settings)


def test_a_layer_is_its_cell_unrolled():
    one = layer()
    cell, weights = one.spec.build(), nnx.as_pure(one.weights)
    carry, h = unroll(
        cell, weights, cell.start((3,), 4), jnp.swapaxes(X, 0, 1), lengths=LENGTHS, resets=RESETS.T
    )
    agree(one(X, lengths=LENGTHS, resets=RESETS, return_carry=True), (carry, jnp.swapaxes(h, 0, 1)))


@pytest.mark.parametrize("reverse", [False, True])
def test_time_major_is_the_same_with_axes_exchanged(reverse):
    one = layer(reverse=reverse)
    turned = one(jnp.swapaxes(X, 0, 1), lengths=LENGTHS, resets=RESETS.T, time_major=True)
    same(jnp.swapaxes(turned, 0, 1), one(X, lengths=LENGTHS, resets=RESETS))


def test_a_carry_goes_on_where_it_ended():
    one = layer()
    carry, first = one(X[:, :2], return_carry=True)
    agree(jnp.concatenate([first, one(X[:, 2:], carry=carry)], 1), one(X))


def test_a_reversed_layer_reads_each_sequence_from_its_own_end():
    forth, back = layer(), layer(reverse=True)
    h = back(X, lengths=LENGTHS)
    for row, n in enumerate(LENGTHS):
        agree(h[row, :n], forth(X[row : row + 1, :n][:, ::-1])[0, ::-1])
        assert not h[row, n:].any()


def test_engines_agree():
    agree(layer(engine="fused")(X, lengths=LENGTHS), layer(engine="scan")(X, lengths=LENGTHS))


def test_no_batch_axis_and_two_are_welcome():
    one = layer()
    agree(one(X[0]), one(X)[0])
    agree(one(X[:, None])[:, 0], one(X))


def test_splitting_a_layer_leaves_a_pure_function_of_its_weights():
    graph, state = nnx.split(layer())
    grads = jax.grad(lambda state: (nnx.merge(graph, state)(X) ** 2).sum())(state)
    assert (
        all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
        and len(jax.tree.leaves(grads)) == 6
    )
