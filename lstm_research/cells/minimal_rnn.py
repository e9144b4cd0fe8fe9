"""MinimalRNN: the candidate knows the input alone, and one gate mixes it into the state."""

import dataclasses
from functools import cache, partial
from typing import Literal, cast

import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import sigmoid
from lstm_research.axes import Array, Seed, Steps
from lstm_research.cell import (
    Cell,
    Hidden,
    Masks,
    Pre,
    Stage,
    Weights,
    emit_hidden,
    project,
    read_hidden,
    start_hidden,
)


@dataclasses.dataclass(frozen=True)
class MinimalRnn:
    """The MinimalRNN.

    ::

        g = tanh(x W_g + b_g)
        f = s(g V_f + h R_f + b_f)
        h' = f h + (1 - f) g

    f keeps; it is the paper's u. g and g V_f need no state and are computed before the loop.
    Parameters: HD + 2H^2 + 2H. Source: Chen 2017 (arXiv:1711.06788); the equations are those of a
    public implementation, the paper was not read. b_f starts at forget_bias.
    """

    kind: Literal["minimal_rnn"] = "minimal_rnn"
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        stages = (Stage("f", "g", "", read_hidden),)
        return Cell(
            partial(init, self), start_hidden, stages, update, emit_hidden,
            gates=gates, drive=drive, sizes=sizes,
        )  # fmt: skip


def init(spec: MinimalRnn, key: Seed, features: int, hidden: int) -> Weights:
    """Draw W_g, V_f and R_f; b holds b_f, then b_g."""
    draw = partial(initial.matrix, hidden=hidden)
    w = draw(spec.kernel, initial.fold(key, "w_g"), (features, hidden))
    v = draw(spec.kernel, initial.fold(key, "v_f"), (hidden, hidden))
    r = draw(spec.recurrent, initial.fold(key, "r_f"), (hidden, hidden))
    b = initial.biases(spec.bias, key, "fg", hidden, f=spec.forget_bias)
    return Weights(w, jnp.concatenate([*b.values()]), (r,), {}, m={"v_f": v})


def sizes(weights: Weights) -> tuple[int, int]:
    """Return (features, hidden): W_g is the whole of w."""
    features, hidden = cast(Array, weights.w).shape  # this cell always has one
    return features, hidden


def drive(weights: Weights, x: Steps, masks: Masks, key: Seed | None) -> Array:
    """Return g V_f + b_f and g of every step, side by side."""
    b_f, b_g = jnp.split(cast(Array, weights.b), 2)
    g = jnp.tanh(project(weights._replace(b=b_g), x, masks, key))
    z = project(weights._replace(w=weights.m["v_f"], b=b_f), g, masks, key)
    return jnp.concatenate([z, g], -1)


def gates(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> dict[str, Array]:
    """Return f, i = 1 - f and the candidate."""
    both, g = cast(Array, z[0].both), cast(Array, z[0].driven)  # the stage has blocks in either
    f = sigmoid(both)
    return {"i": 1.0 - f, "f": f, "g": g}


def update(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Hidden:
    """Return h' = f h + (1 - f) g."""
    now = gates(weights, z, carry)
    return Hidden(now["f"] * carry.h + now["i"] * now["g"])
