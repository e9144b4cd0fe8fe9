"""The chaos-free network: without input its state can only decay."""

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
class Cfn:
    """The chaos-free network (CFN).

    ::

        f = s(x W_f + h R_f + b_f)      i = s(x W_i + h R_i + b_i)
        h' = f tanh(h) + i tanh(x W_g)

    The paper's theta is f, its eta is i; the candidate hears neither h nor a bias. Parameters: 3HD
    + 2H^2 + 2H. Source: Laurent & von Brecht 2016 (arXiv:1612.06212); the equations are those of a
    public implementation, the paper was not read. b_f starts at forget_bias.
    """

    kind: Literal["cfn"] = "cfn"
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        stages = (Stage("if", "g", "", read_hidden),)
        return Cell(partial(init, self), start_hidden, stages, update, emit_hidden, gates=gates)


def init(spec: Cfn, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks i f g; the biases of the two gates are vectors of the update."""
    w = initial.blocks(spec.kernel, key, "w_", "ifg", (features, hidden))
    r = initial.blocks(spec.recurrent, key, "r_", "if", (hidden, hidden))
    p = initial.biases(spec.bias, key, "if", hidden, f=spec.forget_bias)
    return Weights(jnp.concatenate(w, -1), None, (jnp.concatenate(r, -1),), p)


def gates(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> dict[str, Array]:
    """Return i and f, which keeps tanh(h), and the candidate."""
    both, g = cast(Array, z[0].both), cast(Array, z[0].driven)  # the stage has blocks in either
    b = jnp.concatenate([weights.p["b_i"], weights.p["b_f"]], -1)
    return activate("if", both + b) | {"g": jnp.tanh(g)}


def update(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Hidden:
    """Return h' = f tanh(h) + i tanh(z_g)."""
    now = gates(weights, z, carry)
    return Hidden(now["f"] * jnp.tanh(carry.h) + now["i"] * now["g"])
