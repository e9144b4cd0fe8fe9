"""The multiplicative LSTM: the input picks the matrix through which the gates hear h."""

import dataclasses
from functools import cache, partial
from typing import Literal, cast

import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import activate, once
from lstm_research.axes import Array, Seed
from lstm_research.cell import (
    Carry,
    Cell,
    Pre,
    Stage,
    Weights,
    emit_hidden,
    read_hidden,
    start_carry,
)


@dataclasses.dataclass(frozen=True)
class Multiplicative:
    """The multiplicative LSTM (mLSTM of 2016): gates hear a product of input and h in place of h.

    ::

        m = (x W_m) (h R_m)                     no bias, no activation
        i = s(x W_i + m R_i + b_i)              f = s(x W_f + m R_f + b_f)
        g = tanh(x W_g + m R_g + b_g)           o = s(x W_o + m R_o + b_o)
        c' = f c + i g                          h' = o tanh(c')

    Two dependent products a step. Parameters: 5HD + 5H^2 + 4H. Source: Krause et al. 2016
    (arXiv:1609.07959); the paper was not read, equations as in the code of Radford et al. 2017
    (arXiv:1704.01444). Departures: no weight norm; b_f starts at forget_bias.
    """

    kind: Literal["multiplicative"] = "multiplicative"
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        stages = (Stage("", "m", "m", read_hidden), Stage("ifgo", "", "", read_product))
        return Cell(partial(init, self), start_carry, stages, update, emit_hidden, gates=gates)


def init(spec: Multiplicative, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks m i f g o; the biases are one vector, since m has none."""
    w = initial.blocks(spec.kernel, key, "w_", "mifgo", (features, hidden))
    first, *rest = initial.blocks(spec.recurrent, key, "r_", "mifgo", (hidden, hidden))
    b = initial.biases(spec.bias, key, "ifgo", hidden, f=spec.forget_bias)
    matrices = (first, jnp.concatenate(rest, -1))
    return Weights(
        jnp.concatenate(w, -1), None, matrices, {"b_ifgo": jnp.concatenate([*b.values()])}
    )


def read_product(weights: Weights, z: tuple[Pre, ...], carry: Carry) -> Array:
    """Read m, once h R_m is known."""
    return cast(Array, z[0].driven) * cast(Array, z[0].recurred)


def gates(weights: Weights, z: tuple[Pre, ...], carry: Carry) -> dict[str, Array]:
    """Return i, f, g and o."""
    return activate("ifgo", cast(Array, z[1].both) + weights.p["b_ifgo"])


def update(weights: Weights, z: tuple[Pre, ...], carry: Carry) -> Carry:
    """Apply the equations of `Multiplicative`."""
    now = gates(weights, z, carry)
    c = once(now["f"] * carry.c + now["i"] * now["g"])
    return Carry(c, now["o"] * jnp.tanh(c))
