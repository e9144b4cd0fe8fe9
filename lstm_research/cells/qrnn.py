"""The quasi-recurrent network: gates from a causal convolution, and a pooling that learns nothing."""

import dataclasses
from functools import cache, partial
from typing import Literal, NamedTuple, cast

import jax.numpy as jnp

from lstm_research import initial, linear
from lstm_research.activation import activate
from lstm_research.axes import Array, Float, Seed, Tree
from lstm_research.cell import Cell, Pre, Stage, Weights

BLOCKS = {"f": "gf", "fo": "gfo", "ifo": "gfoi"}  # of each pooling, in storage order


@dataclasses.dataclass(frozen=True)
class Qrnn:
    """The quasi-recurrent network (QRNN); `taps` is the width of its convolution over time.

    ::

        z_n = x_t U_n[0] + x_{t-1} U_n[1] + .. + b_n                 n of g f o i, taps terms
        g = tanh(z_g)     f = s(z_f)     o = s(z_o)     i = s(z_i)
        pooling = f       c' = f c + (1 - f) g                       h' = c'
        pooling = fo      c' = f c + (1 - f) g                       h' = o c'
        pooling = ifo     c' = f c + i g                             h' = o c'

    Linear in c. The convolution is carried in transposed form: slot j of `ahead` (taps - 1 slots as
    wide as z) is what the inputs so far add to z, j + 1 steps from now::

        z_t = x U[0] + ahead_0 + b         ahead'_j = x U[j + 1] + ahead_{j+1}       (0 past the end)

    so that a run in pieces is one run, and a reset forgets the inputs before it. Parameters: KGHD +
    GH, K = taps, G = 2, 3 or 4 blocks. Source: Bradbury et al. 2017 (arXiv:1611.01576); equations and
    the linear read-out as in the authors' code, ifo from memory, the paper was not read. Departures:
    f holds the memory, as in the paper (it overwrites in the code); b_f starts at forget_bias; no
    zoneout.
    """

    kind: Literal["qrnn"] = "qrnn"
    pooling: Literal["f", "fo", "ifo"] = "fo"
    taps: int = 2
    kernel: initial.Start = "lecun"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        if self.pooling not in BLOCKS:
            raise ValueError(f"pooling={self.pooling!r} is not one of f, fo, ifo")
        if self.taps < 1:
            raise ValueError(f"taps={self.taps} is not a whole number from 1 on")

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        names, taps = BLOCKS[self.pooling], self.taps
        gather = partial(filtered if self.pooling == "f" else gated, names, taps)
        levels = (*(slot(j, taps) for j in reversed(range(taps - 1))), pool(names, taps))
        steps = linear.Linear(levels, gather)
        return Cell(
            partial(init, self),
            partial(start, len(names) * (taps - 1), self.pooling == "f"),
            (Stage("", "z", "", None),),
            linear.update(steps),
            (lambda carry: carry.c) if self.pooling == "f" else (lambda carry: carry.h),
            cut=lambda zx: ((None, zx),),
            sizes=partial(sizes, len(names) * taps),
            gates=partial(acting, names, taps, levels),
            linear=steps,
        )


class Filtered(NamedTuple):
    """The carry of f-pooling: sums of the convolution, and the memory, which is the output."""

    ahead: Float[Array, "*batch slots"]
    c: Float[Array, "*batch hidden"]


class Gated(NamedTuple):
    """The carry of fo- and ifo-pooling."""

    ahead: Float[Array, "*batch slots"]
    c: Float[Array, "*batch hidden"]
    h: Float[Array, "*batch hidden"]


def start(
    slots: int, bare: bool, batch: tuple[int, ...], hidden: int, dtype: Tree = None
) -> Filtered | Gated:
    """Return zeros."""
    ahead, c = jnp.zeros((*batch, slots * hidden), dtype), jnp.zeros((*batch, hidden), dtype)
    return Filtered(ahead, c) if bare else Gated(ahead, c, c)


def sizes(parts: int, weights: Weights) -> tuple[int, int]:
    """Return (features, hidden)."""
    features, wide = cast(Array, weights.w).shape  # a QRNN has one
    return features, wide // parts


def init(spec: Qrnn, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the taps of a block as one matrix; W holds them tap by tap, and in each the blocks."""
    names, tall = BLOCKS[spec.pooling], (spec.taps * features, hidden)
    u = initial.blocks(spec.kernel, key, "u_", names, tall)
    w = jnp.concatenate(jnp.split(jnp.concatenate(u, -1), spec.taps), -1)
    p = initial.biases(spec.bias, key, names, hidden, f=spec.forget_bias)
    return Weights(w, None, (None,), p)


def tap(j: int, taps: int, z: tuple[Pre, ...]) -> Array:
    """Return x U[j]."""
    return jnp.split(cast(Array, z[0].driven), taps, -1)[j]  # the one stage is driven


def slot(j: int, taps: int) -> linear.Level:
    """Return slot j of the convolution; the later slots are known before it."""

    def read(carry: Filtered | Gated) -> Array:
        return jnp.split(carry.ahead, taps - 1, -1)[j]

    def coefficients(
        weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]
    ) -> tuple[Array, Array]:
        new = tap(j + 1, taps, z)
        return jnp.zeros_like(new), new + pairs[-1][0] if pairs else new

    return linear.Level(read, coefficients)


def gates(
    names: str, taps: int, weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]
) -> dict[str, Array]:
    """Return g, f and what else the pooling has; the last of the slots so far is slot 0."""
    raw = tap(0, taps, z) + jnp.concatenate([weights.p[f"b_{n}"] for n in names], -1)
    return activate(names, raw + pairs[taps - 2][0] if taps > 1 else raw)


def acting(
    names: str, taps: int, levels: tuple[linear.Level, ...], weights: Weights, z: tuple[Pre, ...],
    carry: Filtered | Gated,
) -> dict[str, Array]:  # fmt: skip
    """Return g, f, what else the pooling has, and i = 1 - f where it has none of its own."""
    now = gates(names, taps, weights, z, linear.advance(levels[:-1], weights, z, carry))
    return {"i": 1.0 - now["f"]} | now


def pool(names: str, taps: int) -> linear.Level:
    """Return the memory."""

    def coefficients(
        weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]
    ) -> tuple[Array, Array]:
        now = gates(names, taps, weights, z, pairs)
        return now["f"], now.get("i", 1.0 - now["f"]) * now["g"]

    return linear.Level(lambda carry: carry.c, coefficients)


def slots(pairs: tuple[linear.Pair, ...]) -> Array:
    """Return all slots side by side, the nearest first; without one, an array of no width."""
    *ahead, (_, c) = pairs
    return jnp.concatenate([c[..., :0], *(after for _, after in reversed(ahead))], -1)


def filtered(
    names: str, taps: int, weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]
) -> Filtered:
    """Return the carry of f-pooling."""
    return Filtered(slots(pairs), pairs[-1][1])


def gated(
    names: str, taps: int, weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]
) -> Gated:
    """Return the carry of fo- and ifo-pooling: h' = o c'."""
    c = pairs[-1][1]
    return Gated(slots(pairs), c, gates(names, taps, weights, z, pairs)["o"] * c)
