"""The linear recurrent unit: complex decays that never change, and a matrix on the way out."""

import dataclasses
import math
from functools import cache, partial
from typing import Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research import initial, linear
from lstm_research.axes import Array, Float, Seed, Tree
from lstm_research.cell import Cell, Pre, Stage, Weights, emit_hidden, project
from lstm_research.masks import Masks


@dataclasses.dataclass(frozen=True)
class Lru:
    """The linear recurrent unit (LRU).

    ::

        lam = exp(-exp(nu) + i exp(theta))                  complex, one a state
        s'  = lam s + exp(gamma) (x B)                      B = B_re + i B_im
        h'  = Re(s' C) + d x where D = H, else + x W_d      C = C_re + i C_im

    Linear in s, no gates. As many states as outputs. The carry holds the real and the imaginary part
    of s, and h. Parameters: 2HD + 2H^2 + 3H, and H for d or HD for W_d. Source: Orvieto et al. 2023
    (arXiv:2303.06349); equations and starts as in a public re-implementation, the paper was not read:
    |lam|^2 uniform in [least^2, most^2], theta = log U(0, phase), gamma = log sqrt(1 - |lam|^2), B ~
    N(0, 1/(2D)), C ~ N(0, 1/H), d ~ N(0, 1). Departure: W_d where the widths differ.
    """

    kind: Literal["lru"] = "lru"
    least: float = 0.0  # of |lam| at the start
    most: float = 1.0
    phase: float = 6.28  # radians
    kernel: initial.Start = "lecun"  # of W_d

    def __post_init__(self) -> None:
        if not 0.0 <= self.least < self.most <= 1.0:
            raise ValueError(
                f"least={self.least} and most={self.most} bound a radius: 0 <= least < most <= 1"
            )
        if self.phase <= 0.0:
            raise ValueError(f"phase={self.phase} is an angle above 0")

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        levels = (linear.Level(lambda carry: lax.complex(carry.re, carry.im), turn),)
        steps = linear.Linear(levels, gather, output)
        out = Stage("y", "", "", linear.read(levels, output))
        return Cell(
            partial(init, self),
            start,
            (Stage("", "ri", "", None), out),
            linear.update(steps),
            emit_hidden,
            drive=drive,
            sizes=sizes,
            gates=gates,
            linear=steps,
        )


class Spectral(NamedTuple):
    """The carry: the two parts of the state, and the output."""

    re: Float[Array, "*batch hidden"]
    im: Float[Array, "*batch hidden"]
    h: Float[Array, "*batch hidden"]


def start(batch: tuple[int, ...], hidden: int, dtype: Tree = None) -> Spectral:
    """Return zeros."""
    return Spectral(*(jnp.zeros((*batch, hidden), dtype) for _ in range(3)))


def init(spec: Lru, key: Seed, features: int, hidden: int) -> Weights:
    """Draw B and C as their two parts side by side and one below the other, the rest as vectors."""

    def normal(name: str, shape: tuple[int, ...], variance: float) -> Array:
        return math.sqrt(variance) * jax.random.normal(initial.fold(key, name), shape)

    low, high = spec.least**2, spec.most**2
    u = jax.random.uniform(initial.fold(key, "nu"), (hidden,), minval=low, maxval=high)
    angle = jax.random.uniform(initial.fold(key, "theta"), (hidden,), maxval=spec.phase)
    tiny = jnp.finfo(u.dtype).tiny
    u = jnp.clip(u, tiny, 1.0 - jnp.finfo(u.dtype).epsneg)  # 0 and 1 have no finite nu and gamma
    p = {
        "nu": jnp.log(-0.5 * jnp.log(u)),
        "theta": jnp.log(jnp.maximum(angle, tiny)),
        "gamma": 0.5 * jnp.log1p(-u),
    }
    w = [normal(f"b_{part}", (features, hidden), 0.5 / features) for part in ("re", "im")]
    c = [normal(f"c_{part}", (hidden, hidden), 1.0 / hidden) for part in ("re", "im")]
    m = None
    if features == hidden:
        p["d"] = normal("d", (hidden,), 1.0)
    else:
        shape = (features, hidden)
        m = {"w_d": initial.matrix(spec.kernel, initial.fold(key, "w_d"), shape, hidden)}
    return Weights(jnp.concatenate(w, -1), None, (None, jnp.concatenate(c)), p, m=m)


def sizes(weights: Weights) -> tuple[int, int]:
    """Return (features, hidden)."""
    features, wide = cast(Array, weights.w).shape  # an LRU has one
    return features, wide // 2


def drive(weights: Weights, x: Array, masks: Masks, key: Seed | None) -> Array:
    """Return the two parts of x B, and the skip."""
    skip = weights.p["d"] * x if weights.m is None else x @ weights.m["w_d"]
    return jnp.concatenate([project(weights, x, masks, key), skip], -1)


def gates(weights: Weights, z: tuple[Pre, ...], carry: Spectral) -> dict[str, Array]:
    """Return |lam| as f, which is the same at every step; there is no other gate."""
    return {"f": jnp.broadcast_to(jnp.exp(-jnp.exp(weights.p["nu"])), carry.re.shape)}


def turn(
    weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]
) -> tuple[Array, Array]:
    """Return lam and exp(gamma) (x B)."""
    p = weights.p
    size, angle = jnp.exp(-jnp.exp(p["nu"])), jnp.exp(p["theta"])
    re, im = jnp.split(cast(Array, z[0].driven), 2, -1)  # the first stage is driven
    lam = lax.complex(size * jnp.cos(angle), size * jnp.sin(angle))
    return lam, lax.complex(jnp.exp(p["gamma"]) * re, jnp.exp(p["gamma"]) * im)


def output(weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]) -> Array:
    """Return (Re s', -Im s'), whose product with C_re above C_im is Re(s' C)."""
    state = pairs[0][1]
    return jnp.concatenate([state.real, -state.imag], -1)


def gather(weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]) -> Spectral:
    """Return the parts of s', and h' from the second stage."""
    state = pairs[0][1]
    return Spectral(state.real, state.imag, cast(Array, z[1].both))  # Re(s' C) and the skip, added
