"""The real-gated linear recurrent unit: decays that the input chooses, and a norm that holds."""

import dataclasses
from functools import cache, partial
from typing import Literal, NamedTuple, cast

import jax
import jax.numpy as jnp

from lstm_research import initial, linear
from lstm_research.activation import cut, sigmoid
from lstm_research.axes import Array, Float, Seed, Tree
from lstm_research.cell import Cell, Pre, Stage, Weights, emit_hidden, product, project
from lstm_research.masks import Masks

SHARP = 8.0  # the c of the paper
STEEPEST = 1000.0  # bound on the slope of the square root


@dataclasses.dataclass(frozen=True)
class RgLru:
    """The real-gated linear recurrent unit (RG-LRU) of Hawk and Griffin.

    ::

        g = x W_g
        r = s(g R_r + b_r)              i = s(g R_i + b_i)          block-diagonal, a block a head
        log a = -8 r softplus(L)        h' = a h + sqrt(1 - a^2) i g
        first step of a sequence        h' = a h + i g

    Linear in h. `started` in the carry is 1 from the first step on. The slope of the square root is
    held below 1000, so that a = 1 has a gradient. Parameters: HD + 2H^2/N + 3H, N = heads. Source: De
    et al. 2024 (arXiv:2402.19427); equations, the first step and the start of L as in the authors'
    code, the paper was not read: exp(-2 softplus(L)) is uniform in [0.9^2, 0.999^2]. Departures: x
    passes W_g first, which in the paper is a layer of its own; the gates start as `kernel` says.
    """

    kind: Literal["rglru"] = "rglru"
    heads: int = 1
    kernel: initial.Start = "lecun"
    bias: initial.BiasStart = "zeros"

    def __post_init__(self) -> None:
        if self.heads < 1:
            raise ValueError(f"heads={self.heads} is not a whole number from 1 on")

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        levels = (linear.Level(lambda carry: carry.started, begin), linear.Level(hidden_of, decay))
        steps = linear.Linear(levels, gather)
        return Cell(
            partial(init, self),
            start,
            (Stage("", "gri", "", None),),
            linear.update(steps),
            emit_hidden,
            drive=drive,
            sizes=sizes,
            gates=gates,
            linear=steps,
        )


class Started(NamedTuple):
    """The carry: whether a step has been taken, 0 or 1, and the output."""

    started: Float[Array, "*batch 1"]
    h: Float[Array, "*batch hidden"]


def start(batch: tuple[int, ...], hidden: int, dtype: Tree = None) -> Started:
    """Return zeros: no step yet."""
    return Started(jnp.zeros((*batch, 1), dtype), jnp.zeros((*batch, hidden), dtype))


def init(spec: RgLru, key: Seed, features: int, hidden: int) -> Weights:
    """Draw W_g, a block a head of R_r and R_i, the biases, and L."""
    if hidden % spec.heads:
        raise ValueError(f"heads={spec.heads} does not divide hidden={hidden}")
    each = hidden // spec.heads
    w = initial.matrix(spec.kernel, initial.fold(key, "w_g"), (features, hidden), hidden)
    inner = [
        [
            initial.matrix(spec.kernel, initial.fold(key, f"u_{n}_{k}"), (each, each), hidden)
            for n in "ri"
        ]
        for k in range(spec.heads)
    ]
    gates = jnp.stack([jnp.stack(pair, 1) for pair in inner])
    p = initial.biases(spec.bias, key, "ri", hidden)
    slow = initial.fold(key, "decay")
    square = jax.random.uniform(slow, (hidden,), minval=0.9**2, maxval=0.999**2)
    p["decay"] = jnp.log(jnp.expm1(-0.5 * jnp.log(square)))
    return Weights(w, None, (None,), p, m={"gates": gates})


def sizes(weights: Weights) -> tuple[int, int]:
    """Return (features, hidden)."""
    features, hidden = cast(Array, weights.w).shape  # an RG-LRU has one
    return features, hidden


def drive(weights: Weights, x: Array, masks: Masks, key: Seed | None) -> Array:
    """Return g and the pre-activations of r and i, which hear g alone."""
    g = project(weights, x, masks, key)
    biases = jnp.concatenate([weights.p["b_r"], weights.p["b_i"]], -1)
    return jnp.concatenate([g, product(g, weights.m["gates"]) + biases], -1)


def hidden_of(carry: Started) -> Array:
    """Return h."""
    return carry.h


def begin(
    weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]
) -> tuple[Array, Array]:
    """Return 0 and 1: from now on there has been a step."""
    one = jnp.ones_like(cast(Array, z[0].driven)[..., :1])  # the one stage is driven
    return jnp.zeros_like(one), one


@jax.custom_jvp
def root(x: Array) -> Array:
    """Return the square root of x, with a slope of STEEPEST at most."""
    return jnp.sqrt(x)


@root.defjvp
def slope(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """Return the square root and its tangent."""
    (x,), (turn,) = primals, tangents
    return jnp.sqrt(x), turn / jnp.sqrt(jnp.maximum(4.0 * x, STEEPEST**-2))


def gates(weights: Weights, z: tuple[Pre, ...], carry: Started) -> dict[str, Array]:
    """Return r, i, as f the decay a, and g."""
    raw = cut("gri", z[0].driven)
    r = sigmoid(raw["r"])
    f = jnp.exp(-SHARP * r * jax.nn.softplus(weights.p["decay"]))
    return {"r": r, "i": sigmoid(raw["i"]), "f": f, "g": raw["g"]}


def decay(
    weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]
) -> tuple[Array, Array]:
    """Return a and sqrt(1 - a^2) i g, or i g at the first step."""
    raw, ((before, _),) = cut("gri", z[0].driven), pairs
    log = -SHARP * sigmoid(raw["r"]) * jax.nn.softplus(weights.p["decay"])
    norm = jnp.where(before > 0, root(-jnp.expm1(2.0 * log)), 1.0)
    return jnp.exp(log), norm * sigmoid(raw["i"]) * raw["g"]


def gather(weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]) -> Started:
    """Return both states."""
    return Started(pairs[0][1], pairs[1][1])
