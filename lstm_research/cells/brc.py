"""Bistable recurrent cells: a unit that may hold its own state, alone (BRC) or joined (nBRC)."""

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
class Brc:
    """The bistable recurrent cell (BRC): no unit hears another.

    ::

        a = 1 + tanh(x W_a + u_a h + b_a)       f = s(x W_f + u_f h + b_f)
        h' = f h + (1 - f) tanh(x W_g + a h)

    f keeps; it is the paper's c. Where a > 1 a unit has two stable states. No product in the loop.
    Parameters: 3HD + 4H. Source: Vecoven, Ernst & Drion 2021 (arXiv:2006.05252); equations, a
    candidate without bias, and u_a = u_f = 1 at the start as in the authors' code, the paper was not
    read. Departures: b_f starts at forget_bias, at 0 in their code, whose kernels are `glorot`.
    """

    kind: Literal["brc"] = "brc"
    kernel: initial.Start = "lecun"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        stages = (Stage("", "afg", "", None),)
        return Cell(partial(init, self), start_hidden, stages, update, emit_hidden, gates=gates)


@dataclasses.dataclass(frozen=True)
class Nbrc:
    """The neuromodulated bistable recurrent cell (nBRC): other units decide where one is bistable.

    ::

        a = 1 + tanh(x W_a + h R_a + b_a)       f = s(x W_f + h R_f + b_f)
        h' = f h + (1 - f) tanh(x W_g + a h)

    f keeps; it is the paper's c. Parameters: 3HD + 2H^2 + 2H. Source and departures as `Brc`; the
    recurrent matrices of the authors' code start `glorot` too.
    """

    kind: Literal["nbrc"] = "nbrc"
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        stages = (Stage("af", "g", "", read_hidden),)
        return Cell(partial(init, self), start_hidden, stages, update, emit_hidden, gates=gates)


def init(spec: Brc | Nbrc, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks a f g; the biases of a and f, and of a BRC u_a and u_f, are vectors."""
    w = initial.blocks(spec.kernel, key, "w_", "afg", (features, hidden))
    p = initial.biases(spec.bias, key, "af", hidden, f=spec.forget_bias)
    if isinstance(spec, Brc):
        p |= {f"u_{n}": jnp.ones(hidden) for n in "af"}
        return Weights(jnp.concatenate(w, -1), None, (None,), p)
    r = initial.blocks(spec.recurrent, key, "r_", "af", (hidden, hidden))
    return Weights(jnp.concatenate(w, -1), None, (jnp.concatenate(r, -1),), p)


def gates(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> dict[str, Array]:
    """Return f, i = 1 - f, a, which lies in (0, 2), and the candidate."""
    p, h = weights.p, carry.h
    driven = cast(Array, z[0].driven)  # g, and where no product adds to them a and f before it
    if z[0].both is None:
        raw, g = driven[..., : -h.shape[-1]], driven[..., -h.shape[-1] :]
        raw = raw + jnp.concatenate([p["u_a"] * h, p["u_f"] * h], -1)
    else:
        raw, g = z[0].both, driven
    now = activate("gf", raw + jnp.concatenate([p["b_a"], p["b_f"]], -1))  # a - 1 is a tanh, as g
    f, a = now["f"], 1.0 + now["g"]
    return {"i": 1.0 - f, "f": f, "a": a, "g": jnp.tanh(g + a * h)}


def update(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Hidden:
    """Return h' = f h + (1 - f) tanh(z_g + a h)."""
    now = gates(weights, z, carry)
    return Hidden(now["f"] * carry.h + now["i"] * now["g"])
