"""The addition-subtraction twin-gated unit: both gates are made of the same two vectors."""

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
class Atr:
    """The addition-subtraction twin-gated recurrent unit (ATR).

    ::

        p = x W_p + b_p          q = h R_q
        i = s(p + q)             f = s(p - q)
        h' = i p + f h

    p is its own linear candidate, so that h is not bounded. Parameters: HD + H^2 + H. Source: Zhang
    et al. 2018 (arXiv:1810.12546); the equations are those of a public implementation, the paper
    was not read. No bias belongs to f alone, so there is no forget_bias.
    """

    kind: Literal["atr"] = "atr"
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        stages = (Stage("", "p", "q", read_hidden),)
        return Cell(partial(init, self), start_hidden, stages, update, emit_hidden, gates=gates)


def init(spec: Atr, key: Seed, features: int, hidden: int) -> Weights:
    """Draw W_p, b_p and R_q."""
    w = initial.matrix(spec.kernel, initial.fold(key, "w_p"), (features, hidden), hidden)
    r = initial.matrix(spec.recurrent, initial.fold(key, "r_q"), (hidden, hidden), hidden)
    return Weights(w, initial.bias(spec.bias, initial.fold(key, "b_p"), hidden), (r,), {})


def gates(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> dict[str, Array]:
    """Return i, f, and p as the candidate g."""
    p, q = cast(Array, z[0].driven), cast(Array, z[0].recurred)  # the stage keeps them apart
    return activate("if", jnp.concatenate([p + q, p - q], -1)) | {"g": p}


def update(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Hidden:
    """Return h' = i p + f h."""
    now = gates(weights, z, carry)
    return Hidden(now["i"] * now["g"] + now["f"] * carry.h)
