"""What a task is: pure functions from a key to a batch, and the numbers that judge an answer.

A task carries no state. A training batch is a function of (data, key, size), a held-out batch of
(data, split), so there is nothing to save and a resumed run sees what the first would have seen.
Arrays are batch-major here, at the public edge; the network turns them round.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from lstm_research import threefry
from lstm_research.axes import Array, Bool, Float, Int, Seed, Tree
from lstm_research.initial import fold
from lstm_research.loss import Sum, masked
from lstm_research.tasks.limits import one_of

HELD_OUT_SEED = 0x5EED  # no run trains from it: its keys are folded from the run's own seed
SPLITS = ("valid", "test")


class Batch(NamedTuple):
    """Sequences side by side, with the weight of every prediction asked of them.

    inputs    floats, or tokens that the network embeds
    targets   one per step, or one per row when the read-out is of the last step; a class, or floats
    mask      weight of each prediction in the loss and in every metric; zero is never scored
    lengths   steps of each row that count, the rest is padding; None: every row is full
    resets    True at the first step of each sequence where a row holds several; None: one a row
    scored    the mask of accuracy and sequence_accuracy where it differs from that of the loss
              (copying: the loss is averaged over all steps, the accuracy over the recalled ones)
    extent    the length or the lag of each prediction, by which curves are cut (`Slices`)
    """

    inputs: Float[Array, "batch time features"] | Int[Array, "batch time"]
    targets: (
        Int[Array, "batch time"]
        | Float[Array, "batch time outputs"]
        | Int[Array, "batch"]
        | Float[Array, "batch outputs"]
    )
    mask: Float[Array, "batch time"] | Float[Array, "batch"]
    lengths: Int[Array, "batch"] | None = None
    resets: Bool[Array, "batch time"] | None = None
    scored: Float[Array, "batch time"] | None = None
    extent: Int[Array, "batch time"] | Int[Array, "batch"] | None = None


class Slices(NamedTuple):
    """Along what the metrics are cut besides: the name of a batch's `extent`, and its bins.

    Each bin is (lowest, highest), both inclusive. The metric of a bin is called
    `accuracy@length=41-60`, or `accuracy@length=41` where the two are one.
    """

    name: str
    bins: tuple[tuple[int, int], ...]

    def label(self, metric: str, low: int, high: int) -> str:
        """Return the name of a metric over one bin."""
        return f"{metric}@{self.name}={low}" + (f"-{high}" if high != low else "")

    def cut(
        self, metric: str, values: Float[Array, "*scored"], extent: Array, mask: Array
    ) -> dict[str, Sum]:
        """Return a metric over every bin as (sum, weight); all arrays have the mask's shape."""
        low, high = jnp.array(
            self.bins
        ).T  # all bins in one sum: programs of a sum each compile slowly
        within = lambda low, high: masked(
            values, jnp.where((extent >= low) & (extent <= high), mask, 0)
        )
        totals, weights = jax.vmap(within)(low, high)
        return {
            self.label(metric, *each): (totals[place], weights[place])
            for place, each in enumerate(self.bins)
        }


def even(name: str, low: int, high: int, many: int = 10) -> Slices:
    """Return at most `many` bins of one width that cover low..high; the last may be narrower."""
    width = -(-(high - low + 1) // many)
    return Slices(
        name, tuple((at, min(at + width - 1, high)) for at in range(low, high + 1, width))
    )


class Success(NamedTuple):
    """When a task counts as solved: one metric inside its bounds, both of them inclusive."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None

    def holds(self, metrics: Mapping[str, float]) -> bool:
        """Say whether these metrics solve the task; a NaN never does. KeyError: no such metric."""
        if self.metric not in metrics:
            raise KeyError(f"success asks for {self.metric!r}, there are {sorted(metrics)}")
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return bool(low <= metrics[self.metric] <= high)


Draw = Callable[[Tree, Seed, int], Batch]
HeldOut = Callable[[Tree, str], tuple[Batch, ...]]
DrawAt = Callable[[Tree, Seed, Int[Array, ""] | int, int], Batch]
Score = Callable[[Array, Batch], dict[str, Sum]]


@dataclass(frozen=True, eq=False)
class Task:
    """A built task; compared and hashed by identity, so that it may be a static argument of jit.

    name       what tables print
    readout    "step": an answer at every step; "last": one, at the last step of each row
    loss       cross_entropy of classes, bernoulli of many yes/no outputs, squared_error, quantile
    outputs    width of the network's read-out
    features   width of float inputs, or
    vocabulary number of tokens of integer inputs; exactly one of the two is set
    draw       (data, key, size) -> Batch: one training batch; pure, size is static
    held_out   (data, split) -> batches, split "valid" or "test"; not for jit; the same each time
    metric     the metric by which runs are compared, and goal its direction
    chance     per metric, what the best answer without memory of earlier inputs reaches on test
    source     author, year, arXiv
    data       pytree of arrays that draw gathers from, never closed over; None: generated
    success    when a run may stop because the task is solved
    tolerance  "within" is the share of predictions off by less than this; None: no such metric
    score      (outputs, batch) -> {metric: (sum, weight)}: metrics of the task's own; pure
    draw_at    (data, seed key, step, size) -> Batch: set where the data are finite; the trainer
               then takes its batches from here, and every sequence comes once an epoch
    slices     bins of `extent` over which accuracy or mse are told besides; None: no such curve
    carried    True: row r of a batch goes on where row r of the one before it ended, and so does the
               network's carry; `resets` say where a row starts afresh. Needs draw_at; the batches of
               a split have one number of rows
    ceiling    per metric, what an answer that remembers everything reaches on test; {}: not known
    symbols    the name of each token, for people; (): its number
    answers    the name of each class; (): as the token where there are as many, else its number
    marks      tokens that carry what must be remembered; pictures set them off
    """

    name: str
    readout: Literal["step", "last"]
    loss: Literal["cross_entropy", "bernoulli", "squared_error", "quantile"]
    outputs: int
    draw: Draw
    held_out: HeldOut
    metric: str
    goal: Literal["min", "max"]
    chance: Mapping[str, float]
    source: str
    features: int | None = None
    vocabulary: int | None = None
    data: Tree = None
    success: Success | None = None
    tolerance: float | None = None
    score: Score | None = None
    draw_at: DrawAt | None = None
    slices: Slices | None = None
    ceiling: Mapping[str, float] = field(default_factory=dict)
    carried: bool = False
    symbols: Sequence[str] = ()
    answers: Sequence[str] = ()
    marks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError unless the inputs are either floats or tokens."""
        if (self.features is None) == (self.vocabulary is None):
            raise ValueError(f"{self.name}: exactly one of features and vocabulary must be set")

    def sample(self, key: Seed, size: int) -> Batch:
        """Draw one training batch of `size` rows."""
        return self.draw(self.data, key, size)


def held_out_key(split: str) -> Seed:
    """Return the fixed key of a split. ValueError: no such split."""
    one_of("split", split, SPLITS)
    return fold(threefry.key(HELD_OUT_SEED), split)


def drawn_once(draw: Draw, size: int) -> HeldOut:
    """Return the held_out of a generated task: one batch of `size` rows from the split's key."""
    drawn = jax.jit(draw, static_argnums=2)

    def held_out(data: Tree, split: str) -> tuple[Batch, ...]:
        return (drawn(data, held_out_key(split), size),)

    return held_out
