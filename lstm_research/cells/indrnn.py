"""The independently recurrent network: every unit hears itself and no other."""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Literal, cast

import jax
import jax.numpy as jnp

from lstm_research import initial
from lstm_research.axes import Array, Seed
from lstm_research.cell import Cell, Hidden, Pre, Stage, Weights, emit_hidden, start_hidden


@dataclasses.dataclass(frozen=True)
class IndRnn:
    """The independently recurrent network (IndRNN).

    ::

        h' = act(x W_h + u_h h + b_h)

    No product in the loop. Parameters: HD + 2H. Source: Li et al. 2018 (arXiv:1803.04831); equation,
    relu and the start u_h ~ U(0, 1) as in the authors' code, the paper was not read. Departure: u_h
    is not held below a bound that depends on the number of steps, so with relu h may grow where a
    unit learns u_h > 1.
    """

    kind: Literal["indrnn"] = "indrnn"
    activation: Literal["relu", "tanh"] = "relu"
    kernel: initial.Start = "lecun"
    bias: initial.BiasStart = "zeros"

    def __post_init__(self) -> None:
        if self.activation not in ("relu", "tanh"):
            raise ValueError(f"activation={self.activation!r} is not one of relu, tanh")

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        act = {"relu": jax.nn.relu, "tanh": jnp.tanh}[self.activation]
        stages = (Stage("", "h", "", None),)
        return Cell(partial(init, self), start_hidden, stages, partial(update, act), emit_hidden)


def init(spec: IndRnn, key: Seed, features: int, hidden: int) -> Weights:
    """Draw W_h, b_h and u_h."""
    w = initial.matrix(spec.kernel, initial.fold(key, "w_h"), (features, hidden), hidden)
    b = initial.bias(spec.bias, initial.fold(key, "b_h"), hidden)
    u = jax.random.uniform(initial.fold(key, "u_h"), (hidden,))
    return Weights(w, b, (None,), {"u_h": u})


def update(
    act: Callable[[Array], Array], weights: Weights, z: tuple[Pre, ...], carry: Hidden
) -> Hidden:
    """Return h' = act(z + u h)."""
    driven = cast(Array, z[0].driven)  # the one stage has no other blocks
    return Hidden(act(driven + weights.p["u_h"] * carry.h))
