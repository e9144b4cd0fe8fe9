"""The simple recurrent network: h' = act(x W + h R + b)."""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Literal, cast

import jax
import jax.numpy as jnp

from lstm_research import initial
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
class Elman:
    """The simple recurrent network, with tanh, relu or identity as its activation.

    ::

        h' = act(x W + h R + b)

    Parameters: HD + H^2 + H. Source: Elman 1990, Finding Structure in Time. With `activation=relu`,
    `recurrent=identity` and `kernel=tiny` it is the IRNN of Le, Jaitly & Hinton 2015
    (arXiv:1504.00941).
    """

    kind: Literal["elman"] = "elman"
    activation: Literal["tanh", "relu", "identity"] = "tanh"
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        act = {"tanh": jnp.tanh, "relu": jax.nn.relu, "identity": lambda z: z}[self.activation]
        return Cell(
            partial(init, self),
            start_hidden,
            (Stage("h", "", "", read_hidden),),
            partial(update, act),
            emit_hidden,
        )


def init(spec: Elman, key: Seed, features: int, hidden: int) -> Weights:
    """Draw W, R and b."""
    w = initial.matrix(spec.kernel, initial.fold(key, "w_h"), (features, hidden), hidden)
    r = initial.matrix(spec.recurrent, initial.fold(key, "r_h"), (hidden, hidden), hidden)
    return Weights(w, initial.bias(spec.bias, initial.fold(key, "b_h"), hidden), (r,), {})


def update(
    act: Callable[[Array], Array], weights: Weights, z: tuple[Pre, ...], carry: Hidden
) -> Hidden:
    """Return h' = act(z)."""
    (pre,) = z
    return Hidden(act(cast(Array, pre.both)))  # the one stage has blocks in `both`
