"""The stackable recurrent cell: one gate, and a state that is squashed at every step."""

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
class Star:
    """The stackable recurrent cell (STAR).

    ::

        g = tanh(x W_g + b_g)           i = s(x W_i + h R_i + b_i)
        h' = tanh((1 - i) h + i g)

    i overwrites; it is the paper's k. The tanh is on the carried state, which therefore decays even
    where i = 0. Parameters: 2HD + H^2 + 2H. Source: Turkoglu et al. 2019 (arXiv:1911.11033), from a
    secondary source, the paper was not read; the authors' code is another cell, with a shifted gate
    as in JANET. Departure: b_i starts at -forget_bias, in their code by a chrono start for 784 steps.
    """

    kind: Literal["star"] = "star"
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        stages = (Stage("i", "g", "", read_hidden),)
        return Cell(partial(init, self), start_hidden, stages, update, emit_hidden, gates=gates)


def init(spec: Star, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks i g, and R_i."""
    w = initial.blocks(spec.kernel, key, "w_", "ig", (features, hidden))
    b = initial.biases(spec.bias, key, "ig", hidden, i=-spec.forget_bias)
    r = initial.matrix(spec.recurrent, initial.fold(key, "r_i"), (hidden, hidden), hidden)
    return Weights(jnp.concatenate(w, -1), jnp.concatenate([*b.values()]), (r,), {})


def gates(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> dict[str, Array]:
    """Return i, f = 1 - i, both before the tanh on the state, and the candidate."""
    both, driven = (
        cast(Array, z[0].both),
        cast(Array, z[0].driven),
    )  # the stage has blocks in either
    now = activate("ig", jnp.concatenate([both, driven], -1))
    return now | {"f": 1.0 - now["i"]}


def update(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Hidden:
    """Return h' = tanh((1 - i) h + i g)."""
    now = gates(weights, z, carry)
    return Hidden(jnp.tanh(now["f"] * carry.h + now["i"] * now["g"]))
