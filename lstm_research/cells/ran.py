"""The recurrent additive network: a memory of gated inputs, whose content never hears h."""

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
    Hidden,
    Pre,
    Stage,
    Weights,
    emit_hidden,
    read_hidden,
    start_carry,
    start_hidden,
)


@dataclasses.dataclass(frozen=True)
class Ran:
    """The recurrent additive network (RAN).

    ::

        g = x W_g
        i = s(x W_i + h R_i + b_i)          f = s(x W_f + h R_f + b_f)
        c' = i g + f c                      h' = tanh(c'), or c' where squash_output is off

    The gates hear h, not c; c is not bounded. Without the squash the carry is h alone. Parameters:
    3HD + 2H^2 + 2H. Source: Lee, Levy & Zettlemoyer 2017 (arXiv:1705.07393); the equations are those
    of the authors' code, the paper was not read. Departures: b_f starts at forget_bias, at 0 in their
    code; no projection of the output.
    """

    kind: Literal["ran"] = "ran"
    squash_output: bool = True
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        start = start_carry if self.squash_output else start_hidden
        stages = (Stage("if", "g", "", read_hidden),)
        return Cell(partial(init, self), start, stages, update, emit_hidden, gates=gates)


def init(spec: Ran, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks i f g; the biases of the two gates are vectors of the update."""
    w = initial.blocks(spec.kernel, key, "w_", "ifg", (features, hidden))
    r = initial.blocks(spec.recurrent, key, "r_", "if", (hidden, hidden))
    p = initial.biases(spec.bias, key, "if", hidden, f=spec.forget_bias)
    return Weights(jnp.concatenate(w, -1), None, (jnp.concatenate(r, -1),), p)


def gates(weights: Weights, z: tuple[Pre, ...], carry: Carry | Hidden) -> dict[str, Array]:
    """Return i, f and the candidate, which has no bound."""
    both, g = cast(Array, z[0].both), cast(Array, z[0].driven)  # the stage has blocks in either
    now = activate("if", both + jnp.concatenate([weights.p["b_i"], weights.p["b_f"]], -1))
    return now | {"g": g}


def update(weights: Weights, z: tuple[Pre, ...], carry: Carry | Hidden) -> Carry | Hidden:
    """Return c' = i g + f c, and h' of it."""
    now = gates(weights, z, carry)
    if isinstance(carry, Hidden):
        return Hidden(now["i"] * now["g"] + now["f"] * carry.h)
    c = once(now["i"] * now["g"] + now["f"] * carry.c)
    return Carry(c, jnp.tanh(c))
