"""The LSTM with a recurrent projection: many units of memory, few outputs."""

import dataclasses
from functools import cache, partial
from typing import Literal, cast

import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import activate, cut, once, sigmoid
from lstm_research.axes import Array, Seed, Tree
from lstm_research.cell import Carry, Cell, Pre, Stage, Weights, emit_hidden, read_hidden
from lstm_research.legal import ordered


@dataclasses.dataclass(frozen=True)
class Lstmp:
    """The LSTM with recurrent projection (LSTMP): h is `projection` wide, c is as wide as the layer.

    ::

        i = s(x W_i + h R_i + p_i c + b_i)        f = s(x W_f + h R_f + p_f c + b_f)
        g = tanh(x W_g + h R_g + b_g)             c' = f c + i g
        o = s(x W_o + h R_o + p_o c' + b_o)       m = o tanh(c')        h' = m R_h

    h is what the layer gives and what every product hears, so R_i, R_f, R_g and R_o have P rows, P
    the projection; R_h has no bias. Parameters, without peepholes: 4HD + 5HP + 4H, and H for each of
    them. Source: Sak, Senior & Beaufays 2014 (arXiv:1402.1128); the paper was not read, equations as
    in the LSTMCell of TensorFlow 1. Without peepholes it is `torch.nn.LSTM(proj_size=P)`, where P
    must be less than H. Departures: no peepholes unless asked for, where the paper has all three; no
    second projection that feeds the output alone.
    """

    kind: Literal["lstmp"] = "lstmp"
    projection: int = 8
    peephole: str = ""
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        if self.projection < 1:
            raise ValueError(f"projection={self.projection} must be at least 1")
        if set(self.peephole) - set("ifo"):
            raise ValueError(f"peephole={self.peephole!r} may hold the letters i, f and o")
        object.__setattr__(self, "peephole", ordered(self.peephole))

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        stages = (Stage("ifgo", "", "", read_hidden), Stage("", "", "h", read_memory))
        begin = partial(start, self.projection)
        return Cell(partial(init, self), begin, stages, update, emit_hidden, gates=gates)


def start(projection: int, batch: tuple[int, ...], hidden: int, dtype: Tree = None) -> Carry:
    """Return c = 0, `*batch hidden`, and h = 0, `*batch projection`."""
    return Carry(jnp.zeros((*batch, hidden), dtype), jnp.zeros((*batch, projection), dtype))


def init(spec: Lstmp, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks i f g o, the projection, and the peepholes, which start at 0."""
    width = spec.projection
    w = initial.blocks(spec.kernel, key, "w_", "ifgo", (features, hidden))
    r = initial.blocks(spec.recurrent, key, "r_", "ifgo", (width, hidden))
    b = initial.biases(spec.bias, key, "ifgo", hidden, f=spec.forget_bias)
    down = initial.matrix(spec.recurrent, initial.fold(key, "r_h"), (hidden, width), hidden)
    p = {f"p_{n}": jnp.zeros(hidden) for n in spec.peephole}
    return Weights(
        jnp.concatenate(w, -1), jnp.concatenate([*b.values()]), (jnp.concatenate(r, -1), down), p
    )


def written(weights: Weights, pre: Pre, c: Array) -> tuple[dict[str, Array], Array]:
    """Return i, f, g and o, and c'."""
    p, raw = weights.p, cut("ifgo", pre.both)

    def seen(gate: str, c: Array) -> Array:
        return raw[gate] + p[f"p_{gate}"] * c if f"p_{gate}" in p else raw[gate]

    now = activate("ifg", jnp.concatenate([seen("i", c), seen("f", c), raw["g"]], -1))
    c = once(now["f"] * c + now["i"] * now["g"])
    return now | {"o": sigmoid(seen("o", c))}, c


def gates(weights: Weights, z: tuple[Pre, ...], carry: Carry) -> dict[str, Array]:
    """Return i, f, g and o."""
    return written(weights, z[0], carry.c)[0]


def read_memory(weights: Weights, z: tuple[Pre, ...], carry: Carry) -> Array:
    """Read m, once the first stage is known."""
    now, c = written(weights, z[0], carry.c)
    return now["o"] * jnp.tanh(c)


def update(weights: Weights, z: tuple[Pre, ...], carry: Carry) -> Carry:
    """Return c', and the product of the second stage as h'."""
    return Carry(written(weights, z[0], carry.c)[1], cast(Array, z[1].recurred))
