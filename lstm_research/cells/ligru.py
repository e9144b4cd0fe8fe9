"""The light GRU: one gate, a rectified candidate, and batch norm on what comes from the input.

The norm never touches h, so all of it happens in `drive`, before the loop, over every valid step of
the batch. A call with a key (training) measures the batch; a call without one uses the statistics
in `Weights.row`, which start at mean 0 and variance 1 and follow what training calls measure:
`observed` measures them, `calibrated` puts those of given data in place.
"""

import dataclasses
from functools import cache, partial
from typing import Literal, cast

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research import initial
from lstm_research.activation import cut, sigmoid
from lstm_research.axes import Array, Lengths, Seed, Steps
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
from lstm_research.moments import Statistics, existing, moments


@dataclasses.dataclass(frozen=True)
class LiGru:
    """The light gated recurrent unit (Li-GRU).

    ::

        f = s(norm(x W_f) + h R_f)             g = relu(norm(x W_g) + h R_g)
        h' = f h + (1 - f) g
        norm(z) = gain (z - mean) / sqrt(var + epsilon) + b

    f keeps; it is the paper's z. mean and var are those of the batch in training and stored ones in
    a test. `normalise=False` drops the norm and leaves plain biases b. Parameters: 2HD + 2H^2 + 4H,
    2H fewer without the norm. Source: Ravanelli et al. 2018 (arXiv:1803.10225), as in the authors'
    code; the paper was not read. Departures: no dropout mask on g, and b_f starts at forget_bias
    where the shift of a batch norm starts at 0.
    """

    kind: Literal["ligru"] = "ligru"
    normalise: bool = True
    epsilon: float = 1e-5
    kernel: initial.Start = "lecun"
    recurrent: initial.Start = "orthogonal"
    bias: initial.BiasStart = "zeros"
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        if not self.epsilon > 0:
            raise ValueError(f"epsilon={self.epsilon} must be positive")

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell."""
        return Cell(
            partial(init, self),
            start_hidden,
            (Stage("fg", "", "", read_hidden),),
            update,
            emit_hidden,
            gates=gates,
            drive=partial(drive, self.epsilon) if self.normalise else project,
            noisy=self.normalise,
            observe=observed if self.normalise else None,
        )


def init(spec: LiGru, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the blocks f g; gains start at 1, the stored statistics at mean 0 and variance 1."""
    w = initial.blocks(spec.kernel, key, "w_", "fg", (features, hidden))
    r = initial.blocks(spec.recurrent, key, "r_", "fg", (hidden, hidden))
    b = initial.biases(spec.bias, key, "fg", hidden, f=spec.forget_bias)
    made = Weights(
        jnp.concatenate(w, -1), jnp.concatenate([*b.values()]), (jnp.concatenate(r, -1),), {}
    )
    if not spec.normalise:
        return made
    row = Statistics(jnp.zeros(2 * hidden), jnp.ones(2 * hidden))
    return made._replace(row=row, m={"gain": jnp.ones(2 * hidden)})


def drive(epsilon: float, weights: Weights, x: Steps, masks: Masks, key: Seed | None) -> Array:
    """Return norm(x W): by statistics of the batch where there is a key, else by stored ones."""
    z = project(weights._replace(b=None), x, masks, key)
    stored = cast(Statistics, weights.row)
    mean, var = lax.stop_gradient(stored) if key is None else moments(z, masks.valid)
    return (z - mean) * (weights.m["gain"] * lax.rsqrt(var + epsilon)) + weights.b


def gates(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> dict[str, Array]:
    """Return f, i = 1 - f and the candidate, which has no bound."""
    raw = cut("fg", z[0].both)
    f = sigmoid(raw["f"])
    return {"i": 1.0 - f, "f": f, "g": jax.nn.relu(raw["g"])}


def update(weights: Weights, z: tuple[Pre, ...], carry: Hidden) -> Hidden:
    """Return h' = f h + (1 - f) g."""
    now = gates(weights, z, carry)
    return Hidden(now["f"] * carry.h + now["i"] * now["g"])


def observed(weights: Weights, x: Steps, masks: Masks, key: Seed | None = None) -> Statistics:
    """Return the statistics by which a training call normalises inputs whose padding is finite."""
    return moments(project(weights._replace(b=None), x, masks, None), masks.valid)


def calibrated(weights: Weights, x: Steps, lengths: Lengths | None = None) -> Weights:
    """Return the weights with the statistics of these data stored; a test then equals training.

    Raises ValueError where the weights have no statistics or lengths are not those of the batch.
    """
    if weights.row is None:
        raise ValueError("these weights hold no statistics: the cell has normalise=False")
    x, valid = existing(x, lengths)
    return weights._replace(row=observed(weights, x, Masks(valid, None)))
