"""The GRU that resets before its recurrent matrix: two dependent products a step."""

import dataclasses
from functools import cache, partial
from typing import Literal, cast

import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import activate
from lstm_research.axes import Array, Seed
from lstm_research.cell import (
    Cell,
    Hidden,
    Pre,
    Stage,
    Weights,
    emit_hidden,
    read_hidden,
    start_hidden,
)


@dataclasses.dataclass(frozen=True)
class GruBefore:
    """The gated recurrent unit of the paper: the reset gate acts before the recurrent product.

    ::

        i = s(x W_i + h R_i + b_i)              r = s(x W_r + h R_r + b_r)
        g = tanh(x W_g + (r h) R_g + b_g)       h' = (1 - i) h + i g

    i overwrites; the paper's z is 1 - i. Parameters: 3HD + 3H^2 + 3H. Source: Cho et al. 2014
    (arXiv:1406.1078v3, eq. 5-8). Departure: biases, and b_i starts at -forget_bias.
    """

    kind: Literal["gru_before"] = "gru_before"
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        stages = (Stage("ir", "", "", read_hidden), Stage("g", "", "", read_reset))
        return Cell(partial(init, self), start_hidden, stages, update, emit_hidden)


def init(spec: GruBefore, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks i, r, g in the order of the stages."""
    w, r, b = {}, {}, {}
    for n in "irg":
        w[n] = initial.matrix(spec.kernel, initial.fold(key, f"w_{n}"), (features, hidden), hidden)
        r[n] = initial.matrix(spec.recurrent, initial.fold(key, f"r_{n}"), (hidden, hidden), hidden)
        b[n] = initial.bias(spec.bias, initial.fold(key, f"b_{n}"), hidden)
    b["i"] = b["i"] - spec.forget_bias
    first = jnp.concatenate([r["i"], r["r"]], -1)
    return Weights(
        jnp.concatenate(list(w.values()), -1),
        jnp.concatenate(list(b.values())),
        (first, r["g"]),
        {},
    )


def gates(z: tuple[Pre, ...]) -> dict[str, Array]:
    """Return i and r from the first stage."""
    return activate("ir", cast(Array, z[0].both))  # either stage has blocks in `both`


def read_reset(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Array:
    """Read r h, once the first stage is known."""
    return gates(z)["r"] * carry.h


def update(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Hidden:
    """Return h' = h + i (g - h)."""
    i = gates(z)["i"]
    return Hidden((1.0 - i) * carry.h + i * jnp.tanh(cast(Array, z[1].both)))
