"""The recurrent highway network: several gated transitions within one step of time."""

import dataclasses
from functools import cache, partial, reduce
from operator import mul
from typing import Literal, cast

import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import activate
from lstm_research.axes import Array, Seed
from lstm_research.cell import Cell, Hidden, Pre, Stage, Weights, emit_hidden, start_hidden


@dataclasses.dataclass(frozen=True)
class Rhn:
    """The recurrent highway network (RHN) with coupled gates, `depth` transitions a step.

    ::

        s_0 = h
        i_1 = s(x W_i + s_0 R_i + b_i)           g_1 = tanh(x W_g + s_0 R_g + b_g)
        i_l = s(s_l-1 R_i,l + b_i,l)             g_l = tanh(s_l-1 R_g,l + b_g,l)      l = 2 .. depth
        s_l = (1 - i_l) s_l-1 + i_l g_l          h' = s_depth

    i is the paper's transform gate t, 1 - i its carry gate; every b_i starts at transform_bias, -2
    in the authors' code for the Penn Treebank. With depth=1 it is the UGRNN. Parameters, L the
    depth: 2HD + 2L(H^2 + H). Source: Zilly et al. 2017 (arXiv:1607.03474), equations as in the
    authors' code. Departure: no dropout of its own.
    """

    kind: Literal["rhn"] = "rhn"
    depth: int = 3
    transform_bias: float = -2.0
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ValueError(f"depth={self.depth} must be at least 1")

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        deeper = (Stage("", "", "ig", read_state),) * (self.depth - 1)
        stages = (Stage("ig", "", "", read_state), *deeper)
        return Cell(partial(init, self), start_hidden, stages, update, emit_hidden, gates=gates)


def init(spec: Rhn, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks i g of each level; the biases of all but the first are vectors `b_2` .."""
    w = initial.blocks(spec.kernel, key, "w_", "ig", (features, hidden))
    levels = ["", *(str(level) for level in range(2, spec.depth + 1))]
    r = tuple(
        jnp.concatenate(
            initial.blocks(spec.recurrent, key, "r_", (f"i{level}", f"g{level}"), (hidden, hidden)),
            -1,
        )
        for level in levels
    )
    first, *rest = [biases(spec, key, level, hidden) for level in levels]
    p = {f"b_{level}": b for level, b in zip(levels[1:], rest, strict=True)}
    return Weights(jnp.concatenate(w, -1), first, r, p)


def biases(spec: Rhn, key: Seed, level: str, hidden: int) -> Array:
    """Draw b_i and b_g of a level, side by side."""
    b = initial.biases(
        spec.bias, key, (f"i{level}", f"g{level}"), hidden, **{f"i{level}": spec.transform_bias}
    )
    return jnp.concatenate([*b.values()])


def transition(weights: Weights, level: int, pre: Pre) -> dict[str, Array]:
    """Return i and g of a level, the first of which is 1."""
    raw, b = (pre.both, 0.0) if level == 1 else (pre.recurred, weights.p[f"b_{level}"])
    return activate("ig", cast(Array, raw) + b)  # the first level alone hears the input


def gates(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> dict[str, Array]:
    """Return i of every level, and as f the share of h that is left after all of them."""
    i = {f"i_{level}": transition(weights, level, pre)["i"] for level, pre in enumerate(z, 1)}
    return i | {"f": reduce(mul, (1.0 - each for each in i.values()))}


def state(weights: Weights, z: tuple[Pre, ...], h: Array) -> Array:
    """Return s after as many levels as there are pre-activations."""
    for level, pre in enumerate(z, 1):
        now = transition(weights, level, pre)
        h = (1.0 - now["i"]) * h + now["i"] * now["g"]
    return h


def read_state(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Array:
    """Read s of the level before; h before the first."""
    return state(weights, z, carry.h)


def update(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Hidden:
    """Return s of the last level."""
    return Hidden(state(weights, z, carry.h))
