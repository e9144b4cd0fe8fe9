"""The mogrifier: its number of rounds, their rank, and the cap on the input gate."""

import dataclasses

import jax
import numpy as np
import pytest
from agreement import agree, same
from blocks import random_carry, random_weights
from references import run
from references_long import cut_mogrifier, mogrifier

from lstm_research.cells.mogrifier import Mogrifier
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec

T, B, D, H = 6, 3, 2, 4

pytestmark = pytest.mark.usefixtures("float64")


def problem(spec):
    cell, rng = spec.build(), np.random.default_rng(4)
    x, seen = rng.normal(size=(T, B, D)), rng.normal(size=(T, B, H))
    return cell, random_weights(cell, D, H), random_carry(cell, (B,), H), x, seen


def gradients(cell, seen, args, engine="fused"):
    def loss(weights, carry, x):
        last, h = unroll(cell, weights, carry, x, engine=engine)
        return (h * seen).sum() + (last.c**2).sum()

    return jax.grad(loss, (0, 1, 2))(*args)


def full(weights):
    """Return the same cell with the two matrices of each round multiplied."""
    _, *factors, last = weights.r
    rounds = [a @ b for a, b in zip(factors[::2], factors[1::2], strict=True)]
    return weights._replace(r=(None, *rounds, last))


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_any_number_of_rounds_is_that_of_the_twin(rounds):
    cell, weights, carry, x, _ = problem(Mogrifier(rounds=rounds))
    last, h = unroll(cell, weights, carry, x)
    agree((jax.tree.leaves(last), h), run(mogrifier, cut_mogrifier(weights, H), x, carry))


def test_no_round_is_an_lstm():
    """From one key, the numbers of an LSTM are there too, and what comes out is the same."""
    cell, lstm, (*_, carry, x, _) = (
        Mogrifier(rounds=0).build(),
        GateSpec().build(),
        problem(Mogrifier()),
    )
    mine, theirs = (each.init(jax.random.key(1), D, H) for each in (cell, lstm))
    same(mine.r[1], np.concatenate([theirs.w, theirs.r[0]]))
    agree(unroll(cell, mine, carry, x), unroll(lstm, theirs, carry, x))


def test_rounds_without_weights_change_nothing():
    """2 s(0) = 1: zero matrices and biases leave an LSTM."""
    cell, lstm, key = Mogrifier().build(), GateSpec().build(), jax.random.key(1)
    weights, theirs = cell.init(key, D, H), lstm.init(key, D, H)
    still = weights._replace(r=(None, *(0.0 * r for r in weights.r[1:-1]), weights.r[-1]))
    *_, carry, x, _ = problem(Mogrifier())
    agree(unroll(cell, still, carry, x), unroll(lstm, theirs, carry, x))
    assert (
        np.abs(unroll(cell, weights, carry, x)[1] - unroll(lstm, theirs, carry, x)[1]).max() > 0.01
    )


@pytest.mark.parametrize("rounds", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_low_rank_is_the_product_of_its_factors(rounds):
    spec = Mogrifier(rounds=rounds, rank=1)
    cell, weights, carry, x, seen = problem(spec)
    whole = dataclasses.replace(spec, rank=None).build()
    agree(unroll(cell, weights, carry, x), unroll(whole, full(weights), carry, x))
    grads = gradients(cell, seen, (weights, carry, x))
    agree(grads, gradients(cell, seen, (weights, carry, x), engine="scan"))
    agree(grads[1:], gradients(whole, seen, (full(weights), carry, x))[1:])
    assert all(np.asarray(leaf).any() for leaf in jax.tree.leaves(grads[0]))


def test_low_rank_has_rank_times_both_widths_a_round():
    def count(spec):
        weights = spec.build().init(jax.random.key(0), 5, 8)
        return sum(leaf.size for leaf in jax.tree.leaves(weights))

    assert count(Mogrifier(rounds=5, rank=3)) - count(Mogrifier(rounds=5)) == 5 * (
        3 * (5 + 8) - 5 * 8
    )


def test_the_cap_is_that_of_the_twin():
    cell, weights, carry, x, seen = problem(Mogrifier(cap=True))
    last, h = unroll(cell, weights, carry, x)
    m = cut_mogrifier(weights, H)
    agree((jax.tree.leaves(last), h), run(lambda *a: mogrifier(*a, cap=True), m, x, carry))
    assert np.abs(h - unroll(Mogrifier().build(), weights, carry, x)[1]).max() > 0.01
    args = weights, carry, x
    agree(gradients(cell, seen, args), gradients(cell, seen, args, engine="scan"))


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"^rounds=-1 must be at least 0"):
        Mogrifier(rounds=-1)
    with pytest.raises(ValueError, match=r"^rank=0 must be at least 1"):
        Mogrifier(rank=0)
