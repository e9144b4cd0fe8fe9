"""The time-aware LSTM under irregular times."""

import jax
import numpy as np
import pytest
from agreement import agree
from blocks import random_carry, random_weights
from flax import nnx
from references import run
from references_long import cut_clocked, tlstm_after
from timed import gradients_with_times

from lstm_research.cells.tlstm import Tlstm
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec
from lstm_research.nnx_layer import Recurrent

T, B, D, H = 7, 3, 3, 4  # D with the elapsed time
TIMED = Tlstm(timestamps=True)

pytestmark = pytest.mark.usefixtures("float64")


def problem():
    """Return a problem whose elapsed times run from 0 to some hundreds."""
    cell, rng = TIMED.build(), np.random.default_rng(6)
    elapsed = np.exp(rng.uniform(-3.0, 6.0, (T, B, 1)))
    elapsed[2] = 0.0
    x = np.concatenate([rng.normal(size=(T, B, D - 1)), elapsed], -1)
    return cell, random_weights(cell, D, H), random_carry(cell, (B,), H), x


def test_irregular_times_are_those_of_the_twin():
    cell, weights, carry, x = problem()

    def twin(m, x, c, h):
        return tlstm_after(m, x[:-1], c, h, x[-1])

    last, h = unroll(cell, weights, carry, x)
    agree((jax.tree.leaves(last), h), run(twin, cut_clocked(weights, H), x, carry))


def test_steps_of_length_one_are_the_cell_without_times():
    cell, weights, carry, x = problem()
    x[..., -1] = 1.0
    agree(unroll(Tlstm().build(), weights, carry, x[..., :-1]), unroll(cell, weights, carry, x))


def test_no_elapsed_time_is_an_lstm():
    cell, weights, carry, x = problem()
    x[..., -1] = 0.0
    plain = weights._replace(r=weights.r[:1], p={})
    agree(unroll(cell, weights, carry, x), unroll(GateSpec().build(), plain, carry, x[..., :-1]))


def test_a_long_time_takes_the_short_term_part_away():
    """One step after an endless time starts from c - tanh(c R_d + b_d)."""
    cell, weights, carry, x = problem()
    x[..., -1] = 1e300
    r_d, b_d = np.asarray(weights.r[1]), np.asarray(weights.p["b_d"])
    short = np.tanh(np.asarray(carry.c) @ r_d + b_d)
    plain = weights._replace(r=weights.r[:1], p={})
    late = carry._replace(c=carry.c - short * (1.0 - 1.0 / np.log(1e300)))
    got = unroll(cell, weights, carry, x[:1])
    agree(got, unroll(GateSpec().build(), plain, late, x[:1, :, :-1]))


def test_gradients_with_times_are_those_of_the_scan():
    """The time receives one too; padding with NaN gives none."""
    cell, weights, carry, x = problem()
    lengths, resets = np.array([T, 4, 0]), np.zeros((T, B), bool)
    resets[3, 0] = True
    fused = gradients_with_times(cell, weights, carry, x, lengths, resets)
    assert np.asarray(fused[2])[:3, 0, -1].all() and np.asarray(fused[0].p["b_d"]).all()


def test_a_layer_takes_times_and_refuses_a_time_alone():
    layer = Recurrent(TIMED, D, H, rngs=nnx.Rngs(0))
    assert layer.weights.w.shape == (D - 1, 4 * H)
    assert layer(np.ones((B, T, D))).shape == (B, T, H)
    with pytest.raises(ValueError, match=r"^features=1 and timestamps=True leave W no input"):
        TIMED.build().init(jax.random.key(0), 1, H)
