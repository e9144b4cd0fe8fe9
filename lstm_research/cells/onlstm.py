"""ON-LSTM: two master gates put an order on the units, so that some forget before others."""

import dataclasses
from functools import cache, partial
from typing import Literal, cast

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research import initial
from lstm_research.activation import activate, cut, once
from lstm_research.axes import Array, Float, Seed
from lstm_research.cell import (
    Carry,
    Cell,
    Parts,
    Pre,
    Stage,
    Weights,
    emit_hidden,
    read_hidden,
    start_carry,
)


@dataclasses.dataclass(frozen=True)
class OnLstm:
    """The LSTM with ordered neurons (ON-LSTM).

    ::

        z_k = x W_k + h R_k + b_k               F and I have one unit where others have a chunk
        i = s(z_i)    f = s(z_f)    g = tanh(z_g)    o = s(z_o)
        F = cumax(z_F)                          I = 1 - cumax(z_I)
        cumax(a) = cumsum(softmax(a))
        w = F I                                 each value of F, I, w holds for a whole chunk
        c' = (f w + F - w) c + (i w + I - w) g
        h' = o tanh(c')

    F rises to 1 and I falls to 0 from the first chunk to the last, which only keeps what it has. I
    is the sum of what comes later, which is never negative and keeps its small values. Parameters,
    C the chunk: (4H + 2H/C)(D + H) + 4H + 2H/C. Source: Shen et al. 2019 (arXiv:1810.09536); the
    paper was not read, equations as in the authors' code. Departures: one bias where the code has
    two; b_f starts at forget_bias; no dropout of its own.
    """

    kind: Literal["onlstm"] = "onlstm"
    chunk: int = 2
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        if self.chunk < 1:
            raise ValueError(f"chunk={self.chunk} must be at least 1")

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        return Cell(
            partial(init, self),
            start_carry,
            (Stage("ifgoFI", "", "", read_hidden),),
            partial(update, self.chunk),
            emit_hidden,
            gates=partial(gates, self.chunk),
            cut=whole,
            sizes=sizes,
        )


def init(spec: OnLstm, key: Seed, features: int, hidden: int) -> Weights:
    """Draw i f g o and the narrow F I; raise ValueError where chunks do not fill the units."""
    if hidden % spec.chunk:
        raise ValueError(f"chunk={spec.chunk} must divide hidden, which is {hidden}")
    draw = partial(initial.matrix, hidden=hidden)
    wide = dict.fromkeys("ifgo", hidden) | dict.fromkeys("FI", hidden // spec.chunk)
    fold = partial(initial.fold, key)
    w = [draw(spec.kernel, fold(f"w_{n}"), (features, width)) for n, width in wide.items()]
    r = [draw(spec.recurrent, fold(f"r_{n}"), (hidden, width)) for n, width in wide.items()]
    b = {n: initial.bias(spec.bias, fold(f"b_{n}"), hidden)[:width] for n, width in wide.items()}
    b["f"] = b["f"] + spec.forget_bias
    matrices = (jnp.concatenate(r, -1),)
    return Weights(jnp.concatenate(w, -1), jnp.concatenate(list(b.values())), matrices, {})


def whole(zx: Array) -> Parts:
    """Return all of zx as `both`: its blocks are of two widths, and `update` cuts them."""
    return ((zx, None),)


def sizes(weights: Weights) -> tuple[int, int]:
    """Return (features, hidden), which the columns alone do not tell."""
    w, r = cast(Array, weights.w), cast(Array, weights.r[0])
    return w.shape[0], r.shape[0]


def before(a: Float[Array, "*batch chunks"]) -> Float[Array, "*batch chunks"]:
    """Return cumax(a), the share of the softmax up to each place."""
    return lax.cumsum(jax.nn.softmax(a, -1), axis=a.ndim - 1)


def after(a: Float[Array, "*batch chunks"]) -> Float[Array, "*batch chunks"]:
    """Return 1 - cumax(a), the share of the softmax behind each place."""
    share = jax.nn.softmax(a, -1)
    later = jnp.concatenate([share[..., 1:], jnp.zeros_like(share[..., :1])], -1)
    return lax.cumsum(later, axis=a.ndim - 1, reverse=True)


def gates(chunk: int, weights: Weights, z: tuple[Pre, ...], carry: Carry) -> dict[str, Array]:
    """Return what acts on c as i and f, under the master gates F and I; these; g and o."""
    raw, units = cast(Array, z[0].both), 4 * carry.c.shape[-1]
    now, master = activate("ifgo", raw[..., :units]), cut("FI", raw[..., units:])
    keep = jnp.repeat(before(master["F"]), chunk, -1)
    take = jnp.repeat(after(master["I"]), chunk, -1)
    shared = keep * take
    f = now["f"] * shared + (keep - shared)
    i = now["i"] * shared + (take - shared)
    return now | {"i": i, "f": f, "F": keep, "I": take}


def update(chunk: int, weights: Weights, z: tuple[Pre, ...], carry: Carry) -> Carry:
    """Apply the equations of `OnLstm`."""
    now = gates(chunk, weights, z, carry)
    c = once(now["f"] * carry.c + now["i"] * now["g"])
    return Carry(c, now["o"] * jnp.tanh(c))
