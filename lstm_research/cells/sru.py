"""The simple recurrent unit: two gates, a linear memory, and a highway around it."""

import dataclasses
import math
from functools import cache, partial
from typing import Literal, cast

import jax
import jax.numpy as jnp

from lstm_research import initial, linear
from lstm_research.activation import cut, sigmoid
from lstm_research.axes import Array, Seed
from lstm_research.cell import (
    Carry,
    Cell,
    Masks,
    Pre,
    Stage,
    Weights,
    emit_hidden,
    project,
    start_carry,
)


@dataclasses.dataclass(frozen=True)
class Sru:
    """The simple recurrent unit (SRU).

    ::

        f = s(x W_f + b_f)              r = s(x W_r + b_r)
        c' = f c + (1 - f) (x W_g)      h' = r c' + (1 - r) y
        y = alpha x where D = H, else x W_y             alpha = sqrt(1 + 2 exp(highway_bias))

        peephole                        f = s(x W_f + p_f c + b_f)      r = s(x W_r + p_r c + b_r)

    Linear in c without peepholes. alpha = 1 where rescale is off. Parameters: 3HD + 2H, HD more where
    D and H differ, 2H more with peepholes. Source: Lei et al. 2018 (arXiv:1709.02755); equations and
    starts as in the authors' code, the paper was not read: b_f is 0 (`forget_bias`), b_r is
    highway_bias, p ~ U(-sqrt(3/2), sqrt(3/2)), both gates see the old memory. Departures: W_f and W_r
    are not shrunk by sqrt(1/2), and there is no activation of c at the output.
    """

    kind: Literal["sru"] = "sru"
    peephole: bool = False
    rescale: bool = True
    highway_bias: float = 0.0
    kernel: initial.Start = "lecun"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 0.0

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        steps = linear.Linear((linear.Level(lambda carry: carry.c, memory),), gather)
        alpha = math.sqrt(1.0 + 2.0 * math.exp(self.highway_bias)) if self.rescale else 1.0
        return Cell(
            partial(init, self),
            start_carry,
            (Stage("", "gfry", "", None),),
            peeping if self.peephole else linear.update(steps),
            emit_hidden,
            drive=partial(drive, alpha),
            sizes=sizes,
            gates=gates,
            linear=None if self.peephole else steps,
        )


def init(spec: Sru, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks g f r, the biases of the gates, and W_y where x is not as wide as h."""
    names = "gfr" if features == hidden else "gfry"
    w = initial.blocks(spec.kernel, key, "w_", names, (features, hidden))
    m = {"w_y": w.pop()} if "y" in names else None
    p = initial.biases(spec.bias, key, "fr", hidden, f=spec.forget_bias, r=spec.highway_bias)
    if spec.peephole:
        for n in "fr":
            share = jax.random.uniform(initial.fold(key, f"p_{n}"), (hidden,), minval=-1.0)
            p[f"p_{n}"] = share * 1.5**0.5
    return Weights(jnp.concatenate(w, -1), None, (None,), p, m=m)


def sizes(weights: Weights) -> tuple[int, int]:
    """Return (features, hidden)."""
    features, wide = cast(Array, weights.w).shape  # an SRU has one
    return features, wide // 3


def drive(alpha: float, weights: Weights, x: Array, masks: Masks, key: Seed | None) -> Array:
    """Return x W and, beside it, the highway y."""
    y = alpha * x if weights.m is None else x @ weights.m["w_y"]
    return jnp.concatenate([project(weights, x, masks, key), y], -1)


def blocks(z: tuple[Pre, ...]) -> dict[str, Array]:
    """Return the blocks of the one stage."""
    return cut("gfry", z[0].driven)


def memory(
    weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]
) -> tuple[Array, Array]:
    """Return f and (1 - f) g."""
    raw = blocks(z)
    f = sigmoid(raw["f"] + weights.p["b_f"])
    return f, (1.0 - f) * raw["g"]


def gather(weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]) -> Carry:
    """Return c', and h' beside the highway."""
    raw, ((_, c),) = blocks(z), pairs
    r = sigmoid(raw["r"] + weights.p["b_r"])
    return Carry(c, r * c + (1.0 - r) * raw["y"])


def gates(weights: Weights, z: tuple[Pre, ...], carry: Carry) -> dict[str, Array]:
    """Return f, i = 1 - f, r and the candidate; with peepholes both gates see the old memory."""
    raw, p = blocks(z), weights.p
    f, r = (
        sigmoid(raw[n] + p[f"b_{n}"] + (p[f"p_{n}"] * carry.c if f"p_{n}" in p else 0.0))
        for n in "fr"
    )
    return {"i": 1.0 - f, "f": f, "r": r, "g": raw["g"]}


def peeping(weights: Weights, z: tuple[Pre, ...], carry: Carry) -> Carry:
    """Take the step where both gates see the old memory."""
    now, y = gates(weights, z, carry), blocks(z)["y"]
    c = now["f"] * carry.c + now["i"] * now["g"]
    return Carry(c, now["r"] * c + (1.0 - now["r"]) * y)
