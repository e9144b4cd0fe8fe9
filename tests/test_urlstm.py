"""The UR-LSTM: how its gates start, how far the refine gate reaches, and the LSTM inside it."""

import jax
import numpy as np
import pytest
from agreement import agree
from blocks import cut, random_carry, random_weights

from lstm_research.cells.urlstm import UrLstm
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec

KEY = jax.random.key(0)
T, B, D, H = 6, 3, 2, 4


def fresh(hidden, **settings):
    cell = UrLstm(recurrent="zeros", **settings).build()
    return cut(cell, cell.init(KEY, D, hidden), hidden)


def blocks(weights):
    """Return f r g o of packed columns by name."""
    sides = (weights.w, weights.r[0], weights.b)
    return {
        n: [np.split(np.asarray(side), 4, -1)[at] for side in sides] for at, n in enumerate("frgo")
    }


def packed(weights, made, names):
    """Return weights of another cell of the same blocks."""
    w, r, b = (np.concatenate([made[n][side] for n in names], -1) for side in range(3))
    return weights._replace(w=w, r=(r,), b=b)


def test_gates_start_uniform_and_the_refine_gate_against_them():
    m = fresh(4000)
    share = 1 / (1 + np.exp(-m["b_f"]))
    assert abs(np.sort(share) - np.linspace(0, 1, 4000)).max() < 0.03  # Kolmogorov, p about 0.001
    assert (m["b_r"] == -m["b_f"]).all() and not m["b_z"].any() and not m["b_o"].any()


def test_gates_that_do_not_start_uniform_start_at_the_forget_bias():
    assert (fresh(4, uniform_gates=False)["b_f"] == 1).all()
    m = fresh(4, uniform_gates=False, forget_bias=2.0)
    assert (m["b_f"] == 2).all() and (m["b_r"] == -2).all()
    with pytest.raises(ValueError, match=r"forget_bias=2.0 and uniform_gates=True both"):
        UrLstm(forget_bias=2.0)


@pytest.mark.parametrize(
    ("refine", "reached"),
    [(-80.0, lambda f: f**2), (0.0, lambda f: f), (80.0, lambda f: 1 - (1 - f) ** 2)],
)
def test_the_refine_gate_reaches_from_the_square_to_its_mirror(float64, refine, reached):
    """Without a candidate, one step multiplies the memory by the effective gate."""
    cell = UrLstm().build()
    weights = random_weights(cell, D, H)
    made = blocks(weights)
    made |= {n: [np.zeros_like(a) for a in made[n]] for n in "rg"}
    made["r"][2] += refine
    weights, carry = packed(weights, made, "frgo"), random_carry(cell, (B,), H)
    x = np.random.default_rng(0).normal(size=(1, B, D))
    w, r, b = made["f"]
    f = 1 / (1 + np.exp(-(x[0] @ w + carry.h @ r + b)))
    agree(unroll(cell, weights, carry, x)[0].c, reached(f) * carry.c)


def test_an_undecided_refine_gate_leaves_an_lstm_of_coupled_gates(float64):
    """r = 1/2 is k = f; the coupled cell learns i = 1 - f, so its block has the other sign."""
    cell, cifg = UrLstm().build(), GateSpec(coupled=True).build()
    weights = random_weights(cell, D, H)
    made = blocks(weights)
    made["r"] = [np.zeros_like(a) for a in made["r"]]
    made["i"] = [-a for a in made["f"]]
    x, carry = np.random.default_rng(1).normal(size=(T, B, D)), random_carry(cell, (B,), H)
    theirs = packed(random_weights(cifg, D, H), made, cifg.stages[0].both)
    ours = unroll(cell, packed(weights, made, "frgo"), carry, x)
    agree(ours, unroll(cifg, theirs, carry, x))
