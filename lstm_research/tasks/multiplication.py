"""The multiplication problem: as adding in 1997, but the answer is the product."""

from dataclasses import dataclass
from math import log
from typing import Literal

import jax
import jax.numpy as jnp

from lstm_research.axes import Seed
from lstm_research.initial import fold
from lstm_research.tasks.adding import TOLERANCE, first_pair_marked, lags_1997, layout_1997
from lstm_research.tasks.limits import whole
from lstm_research.tasks.task import Batch, Success, Task, drawn_once


@dataclass(frozen=True)
class Multiplication:
    """Inputs are pairs (value, mark), values U[0, 1]; the target is x1 x2, the marked two.

    Lengths and marks are those of `adding` in its form of 1997. Where the first pair is marked its
    value is set to one, as the paper has it; the pair then carries mark 1, which the paper leaves
    open.

    length    steps of the shortest sequence; the longest has 1.1 `length`
    wrong     solved when fewer than this many in 2,000 validation answers are off by 0.04 or more:
              140 or 13 in the paper, there of the last 2,000 training sequences
    held_out  sequences of each held-out split

    `within` is the share of answers off by less than 0.04; `mse@lag` is cut by the steps from the
    first mark to the answer. (Hochreiter & Schmidhuber 1997, experiment 5.) Departure: the output is
    linear, in the paper a sigmoid.
    """

    kind: Literal["multiplication"] = "multiplication"
    length: int = 100
    wrong: int = 13
    held_out: int = 1000

    def __post_init__(self) -> None:
        """Raise ValueError where no such sequence exists."""
        whole("length", self.length, 20, "ten pairs for each of the two marks")
        whole("wrong", self.wrong, 1, "fewer than this many may be wrong")
        if self.wrong > 2000:
            raise ValueError(f"wrong={self.wrong}: must be at most 2000 (of so many answers)")
        whole("held_out", self.held_out, 1, "sequences of a held-out split")

    def build(self) -> Task:
        """Return the task."""
        draw = lambda data, key, size: _draw(self, key, size)
        return Task(
            name="multiplication",
            readout="last",
            loss="squared_error",
            outputs=1,
            features=2,
            draw=draw,
            held_out=drawn_once(draw, self.held_out),
            metric="mse",
            goal="min",
            chance=_chance(self),
            success=Success("within", at_least=1 - (self.wrong - 1) / 2000),
            tolerance=TOLERANCE,
            slices=lags_1997(self.length),
            ceiling={"mse": 0.0, "within": 1.0},
            source="Hochreiter & Schmidhuber 1997, experiment 5",
        )


def _draw(spec: Multiplication, key: Seed, size: int) -> Batch:
    steps, lengths, first, marked, marks = layout_1997(spec.length, key, size)
    values = jax.random.uniform(fold(key, "values"), marked.shape)
    values = jnp.where(marked & (steps == 0), 1.0, values)
    values = jnp.where(steps < lengths, values, 0.0)
    targets = jnp.where(marked, values, 1.0).prod(axis=1, keepdims=True)
    lag = (lengths - 1 - first)[:, 0]
    inputs = jnp.stack([values, marks], axis=-1)
    return Batch(inputs, targets, jnp.ones(size), lengths[:, 0], extent=lag)


def _chance(spec: Multiplication) -> dict[str, float]:
    """Return what the best constants reach: the mean for mse, 0.04 for within.

    A product of two uniform values is below z with probability z (1 - log z), and its density falls
    with z; where the first pair is marked, with probability p, the target is uniform itself.
    """
    p = first_pair_marked(spec.length)
    mean, square = (1 - p) / 4 + p / 2, (1 - p) / 9 + p / 3
    z = 2 * TOLERANCE
    return {"mse": square - mean**2, "within": (1 - p) * z * (1 - log(z)) + p * z}
