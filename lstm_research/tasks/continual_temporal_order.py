"""Continual temporal order: one sequence after another, and nobody says where one begins."""

from dataclasses import dataclass
from math import log
from typing import Literal

import jax
import jax.numpy as jnp

from lstm_research.axes import Array, Float, Seed
from lstm_research.loss import Sum
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.tally import before_error, expected, shares
from lstm_research.tasks.task import Batch, Success, Task, drawn_once
from lstm_research.tasks.temporal_order import TOLERANCE, WINDOWS, TemporalOrder, X


@dataclass(frozen=True)
class ContinualTemporalOrder:
    """Sequences of `temporal_order` one after another, without resets; a class at each sequence's end.

    symbols   how many X or Y a sequence has: 3 (the paper: eight classes) or 2
    length    steps of the shortest sequence; the longest has 1.1 `length`
    train     sequences in a training stream
    stream    sequences in a held-out stream (at most 100 in the paper)
    held_out  streams of each held-out split (10 in the paper)

    An answer is right when all outputs are off by less than 0.3, as in the temporal order of 1997;
    `within` is the share of right answers, `sequence_within` that of streams with right answers only,
    `before_error` the mean number of right answers before the first wrong one of a stream. Solved when
    every validation stream is right throughout. (Gers, Schmidhuber & Cummins 2000.) Departures:
    training streams have a fixed number of sequences, in the paper they end at the first error;
    softmax and cross-entropy, for the paper's sigmoids and squared error.
    """

    kind: Literal["continual_temporal_order"] = "continual_temporal_order"
    symbols: Literal[2, 3] = 3
    length: int = 100
    train: int = 4
    stream: int = 100
    held_out: int = 10

    def __post_init__(self) -> None:
        """Raise ValueError where no such stream exists."""
        one_of("symbols", self.symbols, tuple(WINDOWS))
        whole("length", self.length, 10, "the windows must be apart")
        for field in ("train", "stream"):
            whole(field, getattr(self, field), 1, "a sequence to classify")
        whole("held_out", self.held_out, 1, "streams of a held-out split")

    def build(self) -> Task:
        """Return the task."""
        stream = lambda data, key, size: _draw(self, key, size, self.stream)
        classes = 2**self.symbols
        return Task(
            name="continual_temporal_order",
            readout="step",
            loss="cross_entropy",
            outputs=classes,
            vocabulary=X + 2,
            draw=lambda data, key, size: _draw(self, key, size, self.train),
            held_out=drawn_once(stream, self.held_out),
            metric="before_error",
            goal="max",
            chance={
                "before_error": expected(1 / classes, self.stream),  # always the same class
                "within": 1 / classes,
                "sequence_within": classes**-self.stream,
                "accuracy": 1 / classes,
                "nll": log(classes),
            },
            success=Success("sequence_within", at_least=1.0),
            score=_score,
            ceiling={
                "before_error": float(self.stream),
                "within": 1.0,
                "sequence_within": 1.0,
                "accuracy": 1.0,
                "nll": 0.0,
            },
            source="Gers, Schmidhuber & Cummins 2000",
        )


def _draw(spec: ContinualTemporalOrder, key: Seed, size: int, many: int) -> Batch:
    """Draw sequences side by side, then lay those of a row end to end."""
    longest = spec.length + spec.length // 10
    single = TemporalOrder(symbols=spec.symbols, length=spec.length)
    drawn = single.build().draw(None, key, size * many)
    assert drawn.lengths is not None
    lengths = drawn.lengths.reshape(size, many)
    ends = jnp.cumsum(lengths, axis=1)
    steps = jnp.arange(many * longest)
    number = jax.vmap(lambda each: jnp.searchsorted(each, steps, side="right"))(ends)
    within = jnp.minimum(number, many - 1)  # the padding repeats the last sequence
    pick = lambda values: jnp.take_along_axis(values, within, axis=1)
    offset = jnp.clip(steps - pick(ends - lengths), 0, longest - 1)
    flat = drawn.inputs.reshape(size, many * longest)
    inputs = jnp.take_along_axis(flat, within * longest + offset, axis=1)
    asked = (steps == pick(ends) - 1) & (number < many)
    targets = jnp.where(asked, pick(drawn.targets.reshape(size, many)), 0)
    return Batch(inputs, targets, 1.0 * asked, ends[:, -1])


def _score(outputs: Float[Array, "batch time classes"], batch: Batch) -> dict[str, Sum]:
    wanted = jax.nn.one_hot(batch.targets, outputs.shape[-1])
    right = jnp.abs(jax.nn.softmax(outputs) - wanted).max(axis=-1) < TOLERANCE
    asked = batch.mask > 0
    return {"before_error": before_error(right, asked), **shares("within", right, asked)}
