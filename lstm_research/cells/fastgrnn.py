"""FastGRNN: gate and candidate share one pre-activation and differ in their biases."""

import dataclasses
from functools import cache, partial
from typing import Literal, cast

import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import activate, sigmoid
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
class FastGrnn:
    """The fast gated recurrent network, with full matrices.

    ::

        z = x W_h + h R_h
        f = s(z + b_f)             g = tanh(z + b_g)
        h' = f h + (s(zeta) (1 - f) + s(nu)) g

    zeta and nu are one trained number each, and what weighs the candidate is their sigmoid; the
    settings of these names are where they start. f keeps; it is the paper's z. Parameters: HD + H^2
    + 2H + 2. Source: Kusupati et al. 2018 (arXiv:1901.02358), equations and starts as in the
    authors' code. Departures: b_g starts at 0 where the code has 1; no low rank, no sparsity.
    """

    kind: Literal["fastgrnn"] = "fastgrnn"
    zeta: float = 1.0
    nu: float = -4.0
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        stages = (Stage("h", "", "", read_hidden),)
        return Cell(partial(init, self), start_hidden, stages, update, emit_hidden, gates=gates)


def init(spec: FastGrnn, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the shared W_h and R_h, two biases and two numbers."""
    w = initial.matrix(spec.kernel, initial.fold(key, "w_h"), (features, hidden), hidden)
    r = initial.matrix(spec.recurrent, initial.fold(key, "r_h"), (hidden, hidden), hidden)
    p = initial.biases(spec.bias, key, "fg", hidden, f=spec.forget_bias)
    dtype = p["b_f"].dtype
    p |= {"zeta": jnp.full(1, spec.zeta, dtype), "nu": jnp.full(1, spec.nu, dtype)}
    return Weights(w, None, (r,), p)


def gates(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> dict[str, Array]:
    """Return f, the candidate, and as i what weighs it."""
    p, shared = weights.p, cast(Array, z[0].both)  # the one stage has blocks in `both`
    now = activate("fg", jnp.concatenate([shared + p["b_f"], shared + p["b_g"]], -1))
    share = sigmoid(p["zeta"]) * (1.0 - now["f"]) + sigmoid(p["nu"])
    return now | {"i": share}


def update(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Hidden:
    """Return h' = f h + (s(zeta) (1 - f) + s(nu)) g."""
    now = gates(weights, z, carry)
    return Hidden(now["f"] * carry.h + now["i"] * now["g"])
