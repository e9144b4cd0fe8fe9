"""The mogrifier LSTM: input and state scale each other several times before the step."""

import dataclasses
from functools import cache, partial
from itertools import pairwise
from typing import Literal, cast

import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import activate, sigmoid
from lstm_research.axes import Array, Seed, Steps
from lstm_research.cell import (
    Carry,
    Cell,
    Masks,
    Parts,
    Pre,
    Stage,
    Weights,
    emit_hidden,
    start_carry,
)


@dataclasses.dataclass(frozen=True)
class Mogrifier:
    """The mogrifier LSTM: `rounds` of mutual gating, then a plain LSTM.

    ::

        k = 1, 3, ..  x <- 2 s(h Q_k + b_k) x        k = 2, 4, ..  h <- 2 s(x Q_k + b_k) h
        i = s(x W_i + h R_i + b_i)                   f = s(x W_f + h R_f + b_f)
        o = s(x W_o + h R_o + b_o)                   g = tanh(x W_g + h R_g + b_g)
        c' = f c + i g                               h' = o tanh(c')

    k runs to `rounds`, each round with the newest x and h; the scaled h is gone after the step.
    `rank` makes every matrix of a round a product Q_k = A_k B_k of that inner width. `cap` replaces i
    by min(1 - f, i) in c'. Not even x W is known before the loop: every round waits for the one
    before. Parameters, Q the rounds: 4HD + 4H^2 + 4H + QHD + ((Q + 1)//2)D + (Q//2)H; with a rank,
    rank (D + H) a round in place of HD. Source: Melis, Kocisky & Blunsom 2020 (arXiv:1909.01792); the
    paper was not read, equations and biases as in the authors' code.
    Departures: the authors' code caps the input gate unless told not to, here `cap` must be asked
    for; no dropout of its own.
    """

    kind: Literal["mogrifier"] = "mogrifier"
    rounds: int = 5
    rank: int | None = None
    cap: bool = False
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        if self.rounds < 0:
            raise ValueError(f"rounds={self.rounds} must be at least 0")
        if self.rank is not None and self.rank < 1:
            raise ValueError(f"rank={self.rank} must be at least 1, or null for full matrices")

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        each = (Stage("", "", "q", partial(read_round, self.rank)),)
        if self.rank is not None:
            each = (*each, Stage("", "", "q", read_inner))
        last = Stage("", "", "ifgo", partial(read_both, self.rank))
        return Cell(
            partial(init, self),
            start_carry,
            (Stage("", "x", "", None), *each * self.rounds, last),
            partial(update, self.cap),
            emit_hidden,
            gates=partial(gates, self.cap),
            drive=raw,
            cut=partial(only_first, self.rounds * len(each) + 1),
            sizes=sizes,
        )


def init(spec: Mogrifier, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the matrices of the rounds, then W above R with the blocks i f g o; biases are vectors."""
    draw = partial(initial.matrix, hidden=hidden)
    r: list[Array | None] = [None]
    p: dict[str, Array] = {}
    for k in range(1, spec.rounds + 1):
        shape = (hidden, features) if k % 2 else (features, hidden)
        widths = shape if spec.rank is None else (shape[0], spec.rank, shape[1])
        for name, pair in zip("qv", pairwise(widths), strict=False):
            r.append(draw(spec.kernel, initial.fold(key, f"{name}_{k}"), pair))
        p[f"b_{k}"] = initial.bias(spec.bias, initial.fold(key, f"b_{k}"), shape[1])
    w = initial.blocks(spec.kernel, key, "w_", "ifgo", (features, hidden))
    h = initial.blocks(spec.recurrent, key, "r_", "ifgo", (hidden, hidden))
    r.append(jnp.concatenate([jnp.concatenate(w, -1), jnp.concatenate(h, -1)]))
    b = initial.biases(spec.bias, key, "ifgo", hidden, f=spec.forget_bias)
    return Weights(None, None, tuple(r), p | {"b_ifgo": jnp.concatenate([*b.values()])})


def sizes(weights: Weights) -> tuple[int, int]:
    """Return (features, hidden) from the last matrix, (features + hidden, 4 hidden)."""
    rows, columns = cast(Array, weights.r[-1]).shape
    return rows - columns // 4, columns // 4


def raw(weights: Weights, x: Steps, masks: Masks, key: Seed | None) -> Array:
    """Return x itself: the first matrix that it meets waits for h."""
    return x


def only_first(products: int, zx: Array) -> Parts:
    """Return x for the first stage, and nothing for the products after it."""
    return (None, zx), *((None, None),) * products


def mogrified(
    rank: int | None, weights: Weights, z: tuple[Pre, ...], h: Array
) -> tuple[Array, Array]:
    """Return x and h after as many rounds as there are pre-activations."""
    x, products = cast(Array, z[0].driven), 1 if rank is None else 2
    for k, pre in enumerate(z[products::products], 1):
        gate = 2.0 * sigmoid(cast(Array, pre.recurred) + weights.p[f"b_{k}"])
        x, h = (gate * x, h) if k % 2 else (x, gate * h)
    return x, h


def read_round(rank: int | None, weights: Weights, z: tuple[Pre, ...], carry: Carry) -> Array:
    """Read the one of x and h that is not scaled in this round."""
    x, h = mogrified(rank, weights, z, carry.h)
    done = len(z[1:]) // (1 if rank is None else 2)
    return x if done % 2 else h


def read_inner(weights: Weights, z: tuple[Pre, ...], carry: Carry) -> Array:
    """Read the inner vector of a round of low rank."""
    return cast(Array, z[-1].recurred)


def read_both(rank: int | None, weights: Weights, z: tuple[Pre, ...], carry: Carry) -> Array:
    """Read x and h side by side, after all rounds."""
    return jnp.concatenate(mogrified(rank, weights, z, carry.h), -1)


def gates(cap: bool, weights: Weights, z: tuple[Pre, ...], carry: Carry) -> dict[str, Array]:
    """Return i, under its cap where there is one, f, g and o, after all rounds."""
    now = activate("ifgo", cast(Array, z[-1].recurred) + weights.p["b_ifgo"])
    return now | {"i": jnp.minimum(1.0 - now["f"], now["i"]) if cap else now["i"]}


def update(cap: bool, weights: Weights, z: tuple[Pre, ...], carry: Carry) -> Carry:
    """Return c' = f c + i g and h' = o tanh(c')."""
    now = gates(cap, weights, z, carry)
    c = now["f"] * carry.c + now["i"] * now["g"]
    return Carry(c, now["o"] * jnp.tanh(c))
