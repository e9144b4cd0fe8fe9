"""The minimal gated unit: one gate that forgets and resets."""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Literal, cast

import jax.numpy as jnp

from lstm_research import initial
from lstm_research.activation import sigmoid
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

Gates = Callable[[Weights, tuple[Pre, ...], Hidden], dict[str, Array]]


@dataclasses.dataclass(frozen=True)
class Mgu:
    """The minimal gated unit (MGU), as in the paper or as in Flax; no relabelling joins the two.

    ::

        f = s(x W_f + h R_f + b_f)
        before    g = tanh(x W_g + (f h) R_g + b_g)              h' = (1 - f) h + f g
        after     g = tanh(x W_g + b_g + f (h R_g + b_hg))       h' = (1 - f) g + f h

    before: the paper's, f overwrites with a candidate that it lets see the state; two dependent
    products a step. after: `MGUCell` of Flax linen, f keeps; one product a step. Parameters: before
    2HD + 2H^2 + 2H, after 2HD + 2H^2 + 3H. Source: Zhou et al. 2016 (arXiv:1603.09420), from
    secondary sources, the paper was not read; after is tested against Flax. Departure: b_f starts at
    -forget_bias before, where f overwrites, and at forget_bias after, as in Flax.
    """

    kind: Literal["mgu"] = "mgu"
    reset: Literal["before", "after"] = "before"
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        if self.reset not in ("before", "after"):
            raise ValueError(f"reset={self.reset!r} is not one of before, after")

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        if self.reset == "after":
            stages, gates = (Stage("f", "g", "g", read_hidden),), after
        else:
            stages = (Stage("f", "", "", read_hidden), Stage("g", "", "", read_reset))
            gates = before
        rule = partial(update, gates)
        return Cell(partial(init, self), start_hidden, stages, rule, emit_hidden, gates=gates)


def init(spec: Mgu, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks f g, and the bias inside the reset product where it comes after."""
    w = initial.blocks(spec.kernel, key, "w_", "fg", (features, hidden))
    f, g = initial.blocks(spec.recurrent, key, "r_", "fg", (hidden, hidden))
    after = spec.reset == "after"
    hold = spec.forget_bias if after else -spec.forget_bias
    b = initial.biases(spec.bias, key, "fg", hidden, f=hold)
    p = {"b_hg": initial.bias(spec.bias, initial.fold(key, "b_hg"), hidden)} if after else {}
    r = (jnp.concatenate([f, g], -1),) if after else (f, g)
    return Weights(jnp.concatenate(w, -1), jnp.concatenate([*b.values()]), r, p)


def gate(z: tuple[Pre, ...]) -> Array:
    """Return f from the first stage."""
    return sigmoid(cast(Array, z[0].both))  # f is its one block of both sides


def read_reset(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Array:
    """Read f h, once the first stage is known."""
    return gate(z) * carry.h


def before(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> dict[str, Array]:
    """Return the paper's f as i, since it overwrites, f = 1 - i, and the candidate."""
    i = gate(z)
    return {"i": i, "f": 1.0 - i, "g": jnp.tanh(cast(Array, z[1].both))}


def after(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> dict[str, Array]:
    """Return f, which keeps, i = 1 - f, and the candidate."""
    f, driven, heard = gate(z), cast(Array, z[0].driven), cast(Array, z[0].recurred)
    return {"i": 1.0 - f, "f": f, "g": jnp.tanh(driven + f * (heard + weights.p["b_hg"]))}


def update(gates: Gates, weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Hidden:
    """Return h' = f h + i g."""
    now = gates(weights, z, carry)
    return Hidden(now["f"] * carry.h + now["i"] * now["g"])
