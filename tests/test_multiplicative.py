"""The multiplicative LSTM: an LSTM where its input picks the identity, deaf where it picks zero."""

import jax
import numpy as np
import pytest
from agreement import agree, same
from blocks import random_carry, random_weights

from lstm_research.cells.multiplicative import Multiplicative
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec

T, B, D, H = 6, 3, 3, 4

pytestmark = pytest.mark.usefixtures("float64")


def problem(x_m):
    """Return weights with R_m = 1 and x W_m of one value, and inputs whose last feature is 1."""
    cell, rng = Multiplicative().build(), np.random.default_rng(0)
    weights = random_weights(cell, D, H)
    w = weights.w.copy()
    w[:, :H] = 0.0
    w[-1, :H] = x_m
    x = rng.normal(size=(T, B, D))
    x[..., -1] = 1.0
    return cell, weights._replace(w=w, r=(np.eye(H), weights.r[1])), random_carry(cell, (B,), H), x


def as_lstm(weights):
    """Return the weights of the LSTM that hears h where this cell hears m."""
    return weights._replace(w=weights.w[:, H:], b=weights.p["b_ifgo"], r=weights.r[1:], p={})


def test_an_input_that_picks_the_identity_leaves_an_lstm():
    cell, weights, carry, x = problem(1.0)
    lstm = GateSpec().build()
    agree(unroll(cell, weights, carry, x), unroll(lstm, as_lstm(weights), carry, x))


def test_an_input_that_picks_nothing_hears_no_h():
    cell, weights, carry, x = problem(0.0)
    _, h = unroll(cell, weights, carry, x)
    deaf = weights._replace(r=tuple(np.zeros_like(r) for r in weights.r))
    agree(h, unroll(cell, deaf, carry, x)[1])


def test_it_starts_with_the_blocks_of_an_lstm_and_its_forget_bias():
    key = jax.random.key(3)
    mine, theirs = (spec.build().init(key, D, H) for spec in (Multiplicative(), GateSpec()))
    same((mine.w[:, H:], mine.r[1], mine.p["b_ifgo"]), (theirs.w, theirs.r[0], theirs.b))
