"""Batch norm of the Li-GRU: what it measures in training, what it stores, what never reaches it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from blocks import random_weights
from flax import nnx
from references import run
from references_mutants import cut_ligru, ligru, s

from lstm_research.cells.ligru import LiGru, Statistics, calibrated, observed
from lstm_research.engines import unroll
from lstm_research.masks import Masks
from lstm_research.network import parameters
from lstm_research.nnx_layer import Recurrent

T, B, D, H = 6, 4, 2, 3
LENGTHS = np.array([6, 4, 1, 0])
VALID = (np.arange(T)[:, None] < LENGTHS)[..., None]
SPEC = LiGru()
KEY = jax.random.key(0)

pytestmark = pytest.mark.usefixtures("float64")


def problem():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(T, B, D)) * [3.0, 0.2] + [5.0, -1.0]
    return random_weights(SPEC.build(), D, H), x, rng.normal(size=(T, B, H))


def by_hand(weights, x, lengths):
    """Mean and variance of x W over the steps that exist, in NumPy."""
    steps = np.concatenate([x[:n, row] for row, n in enumerate(lengths)]) @ np.asarray(weights.w)
    return Statistics(steps.mean(0), ((steps - steps.mean(0)) ** 2).mean(0))


def outputs(weights, x, lengths=None, key=None, spec=SPEC):
    cell = spec.build()
    return unroll(cell, weights, cell.start((B,), H), x, lengths=lengths, key=key)


def test_statistics_are_those_of_the_steps_that_exist():
    weights, x, _ = problem()
    agree(observed(weights, x, Masks(VALID, None)), by_hand(weights, x, LENGTHS))
    agree(observed(weights, x, Masks(None, None)), by_hand(weights, x, np.full(B, T)))


def test_training_normalises_by_the_batch():
    """With a key the cell is its twin under the statistics that NumPy measures."""
    weights, x, _ = problem()
    m = cut_ligru(weights._replace(row=by_hand(weights, x, np.full(B, T))), H)
    (last, h), zeros = outputs(weights, x, key=KEY), (np.zeros((B, H)),)
    agree((jax.tree.leaves(last), h), run(ligru, m, x, zeros))


def test_training_ignores_what_is_stored_and_the_number_of_the_key():
    weights, x, _ = problem()
    other = weights._replace(row=Statistics(*(7.0 * leaf for leaf in weights.row)))
    same(outputs(weights, x, LENGTHS, KEY), outputs(other, x, LENGTHS, jax.random.key(1)))
    assert np.abs(outputs(weights, x)[1] - outputs(other, x)[1]).max() > 1e-3


@pytest.mark.parametrize("filler", [np.nan, np.inf, 1e6])
def test_padding_reaches_nothing_in_training(filler):
    """Neither statistics, outputs nor gradients see what the padding holds."""
    weights, x, seen = problem()
    dirty = np.where(VALID, x, filler)

    def loss(weights, x):
        (last,), h = outputs(weights, x, LENGTHS, KEY)
        return (h * seen).sum() + jnp.sin(last).sum()

    clean = jax.value_and_grad(loss, (0, 1))(weights, x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(clean))
    same(jax.value_and_grad(loss, (0, 1))(weights, dirty), clean)
    same(calibrated(weights, dirty, LENGTHS), calibrated(weights, x, LENGTHS))
    longer = np.concatenate([dirty, np.full((2, B, D), filler)])
    agree(outputs(weights, longer, LENGTHS, KEY)[1][:T], outputs(weights, x, LENGTHS, KEY)[1])


def test_a_batch_of_nothing_is_finite():
    weights, x, _ = problem()
    _, h = outputs(weights, x, np.zeros(B, int), KEY)
    assert not np.asarray(h).any()
    same(
        observed(weights, x, Masks(np.zeros((T, B, 1), bool), None)),
        Statistics(*np.zeros((2, 2 * H))),
    )


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_calibrated_weights_make_a_test_equal_training(lengths):
    weights, x, _ = problem()
    ready = calibrated(weights, x, lengths)
    agree(outputs(ready, x, lengths), outputs(weights, x, lengths, KEY))
    same(ready._replace(row=None), weights._replace(row=None))


def test_statistics_receive_no_gradient_and_the_gain_does():
    weights, x, seen = problem()
    grads = jax.grad(lambda weights: (outputs(weights, x)[1] * seen).sum())(weights)
    assert not any(np.asarray(leaf).any() for leaf in grads.row)
    assert all(np.asarray(leaf).all() for leaf in (grads.m["gain"], grads.b))


def test_a_scale_of_the_input_is_of_no_matter_in_training():
    weights, x, _ = problem()
    exact = dataclasses.replace(SPEC, epsilon=1e-30)
    agree(
        outputs(weights, 50.0 * x, key=KEY, spec=exact),
        outputs(weights, x, key=KEY, spec=exact),
        1e-9,
    )


def test_a_start_has_the_statistics_of_nothing():
    row = SPEC.build().init(KEY, D, H).row
    same(row, Statistics(np.zeros(2 * H), np.ones(2 * H)))


def test_without_the_norm_there_are_biases_alone():
    spec = LiGru(normalise=False)
    weights, x = random_weights(spec.build(), D, H), problem()[1]
    assert weights.row is None and weights.m is None and not spec.build().noisy
    assert sum(leaf.size for leaf in jax.tree.leaves(weights)) == 2 * H * D + 2 * H**2 + 2 * H
    (w_f, w_g), (r_f, r_g), (b_f, b_g) = (
        np.split(np.asarray(part), 2, -1) for part in (weights.w, weights.r[0], weights.b)
    )

    def step(m, x, h):
        k = s(x @ w_f + h @ r_f + b_f)
        return (k * h + (1.0 - k) * np.maximum(x @ w_g + h @ r_g + b_g, 0.0),)

    (last, h), zeros = outputs(weights, x, key=KEY, spec=spec), (np.zeros((B, H)),)
    agree((jax.tree.leaves(last), h), run(step, {}, x, zeros))


def test_a_layer_trains_no_statistics():
    layer = Recurrent("ligru", D, H, rngs=nnx.Rngs(0))
    assert parameters(layer) == 2 * H * D + 2 * H**2 + 4 * H
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(layer))) == parameters(layer) + 4 * H


def test_what_cannot_be_is_refused():
    weights, x, _ = problem()
    with pytest.raises(ValueError, match=r"epsilon=0.0 must be positive"):
        LiGru(epsilon=0.0)
    with pytest.raises(ValueError, match=r"lengths has shape \(2,\); the batch is \(4,\)"):
        calibrated(weights, x, np.array([1, 2]))
    with pytest.raises(ValueError, match="normalise=False"):
        calibrated(LiGru(normalise=False).build().init(KEY, D, H), x)
