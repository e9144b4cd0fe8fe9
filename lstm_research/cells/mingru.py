"""The minimal GRU and the minimal LSTM: gates that hear the input alone, and no squash."""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Literal, cast

import jax
import jax.numpy as jnp

from lstm_research import initial, linear
from lstm_research.activation import cut, sigmoid
from lstm_research.axes import Array, Seed, Tree
from lstm_research.cell import (
    Cell,
    Hidden,
    Pre,
    Stage,
    Weights,
    emit_hidden,
    start_hidden,
)


@dataclasses.dataclass(frozen=True)
class MinGru:
    """The minimal gated recurrent unit (minGRU).

    ::

        i = s(x W_i)                    g = x W_g, or pos(x W_g) where positive
        h' = (1 - i) h + i g            pos(a) = a + 1/2 for a >= 0, else s(a)

    Linear in h. `positive` is the form of the log-space algorithm, whose states are above 0 from a
    start at 0; the engines here need no logarithms. Parameters: 2HD, with biases 2H more. Source: Feng
    et al. 2024 (arXiv:2410.01201); equations as in a public re-implementation, which has no biases,
    the paper was not read. With `biased`, b_i starts at -forget_bias.
    """

    kind: Literal["mingru"] = "mingru"
    positive: bool = False
    biased: bool = False
    kernel: initial.Start = "lecun"
    bias: initial.BiasStart = "zeros"
    forget_bias: float | None = None  # None: 1 where there are biases

    def __post_init__(self) -> None:
        object.__setattr__(self, "forget_bias", held(self))

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        return alone("ig", partial(init, self, "ig"), partial(overwriting, self.positive))


@dataclasses.dataclass(frozen=True)
class MinLstm:
    """The minimal long short-term memory (minLSTM).

    ::

        i = s(x W_i)        f = s(x W_f)        g = x W_g, or pos(x W_g) where positive
        h' = f / (f + i) h + i / (f + i) g      pos(a) = a + 1/2 for a >= 0, else s(a)

    Linear in h, which is the memory. The shares are s(d) and s(-d), d = log f - log i, so that gates
    of 0 divide nothing by 0. Parameters: 3HD, with biases 3H more. Source: Feng et al. 2024
    (arXiv:2410.01201); equations as in a public re-implementation, which has no biases, the paper was
    not read. With `biased`, b_f starts at forget_bias.
    """

    kind: Literal["minlstm"] = "minlstm"
    positive: bool = False
    biased: bool = False
    kernel: initial.Start = "lecun"
    bias: initial.BiasStart = "zeros"
    forget_bias: float | None = None  # None: 1 where there are biases

    def __post_init__(self) -> None:
        object.__setattr__(self, "forget_bias", held(self))

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        return alone("ifg", partial(init, self, "ifg"), partial(dividing, self.positive))


Gates = Callable[[Weights, tuple[Pre, ...], Tree], dict[str, Array]]


def held(spec: MinGru | MinLstm) -> float | None:
    """Return the bias that holds the state; raise ValueError where no bias could have it."""
    if spec.biased:
        return 1.0 if spec.forget_bias is None else spec.forget_bias
    if spec.forget_bias is not None:
        raise ValueError(
            f"forget_bias={spec.forget_bias} sets a bias, and biased=False has none; leave it out"
        )
    return None


def alone(names: str, begin: partial[Weights], gates: Gates) -> Cell:
    """Return the cell of one level, whose state is h."""
    level = linear.Level(lambda carry: carry.h, partial(coefficients, gates))
    steps = linear.Linear((level,), gather)
    return Cell(
        begin, start_hidden, (Stage("", names, "", None),), linear.update(steps), emit_hidden,
        gates=gates, linear=steps,
    )  # fmt: skip


def init(spec: MinGru | MinLstm, names: str, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks i (f) g."""
    w = initial.blocks(spec.kernel, key, "w_", names, (features, hidden))
    if spec.forget_bias is None:
        return Weights(jnp.concatenate(w, -1), None, (None,), {})
    hold = {"f": spec.forget_bias} if "f" in names else {"i": -spec.forget_bias}
    b = initial.biases(spec.bias, key, names, hidden, **hold)
    return Weights(jnp.concatenate(w, -1), jnp.concatenate([*b.values()]), (None,), {})


def candidate(positive: bool, z: Array) -> Array:
    """Return g: z itself, or pos(z)."""
    return jnp.where(z >= 0, z + 0.5, sigmoid(z)) if positive else z


def overwriting(
    positive: bool, weights: Weights, z: tuple[Pre, ...], carry: Tree
) -> dict[str, Array]:
    """Return i, f = 1 - i and the candidate."""
    raw = cut("ig", cast(Array, z[0].driven))  # the one stage is driven
    i = sigmoid(raw["i"])
    return {"i": i, "f": 1.0 - i, "g": candidate(positive, raw["g"])}


def dividing(positive: bool, weights: Weights, z: tuple[Pre, ...], carry: Tree) -> dict[str, Array]:
    """Return the shares f / (f + i) as f and i / (f + i) as i, and the candidate."""
    raw = cut("ifg", cast(Array, z[0].driven))  # the one stage is driven
    f = sigmoid(jax.nn.log_sigmoid(raw["f"]) - jax.nn.log_sigmoid(raw["i"]))
    return {"i": 1.0 - f, "f": f, "g": candidate(positive, raw["g"])}


def coefficients(
    gates: Gates, weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]
) -> tuple[Array, Array]:
    """Return f and i g: the gates hear the input alone, and no carry."""
    now = gates(weights, z, None)
    return now["f"], now["i"] * now["g"]


def gather(weights: Weights, z: tuple[Pre, ...], pairs: tuple[linear.Pair, ...]) -> Hidden:
    """Return h'."""
    return Hidden(pairs[0][1])
