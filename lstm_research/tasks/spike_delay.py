"""Spike trains: measure the delay of each spike, or send each spike after a given delay."""

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from lstm_research.axes import Array, Bool, Float, Int, Seed
from lstm_research.initial import fold
from lstm_research.loss import Sum
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.tally import before_error, expected, shares
from lstm_research.tasks.task import Batch, Success, Task, drawn_once, even

FORMS = ("measure", "generate")
TOLERANCE = 0.49  # a larger error is a wrong answer


@dataclass(frozen=True)
class SpikeDelay:
    """Spikes at T(1) = F + I(1), T(n) = T(n-1) + F + I(n); the delays I(n) are drawn evenly.

    measure   the input is 1 at a spike and 0 elsewhere; at each spike answer with I(n)   (MSD)
    generate  the input is I(n) at the step after spike n - 1 and 0 elsewhere; answer at every step
              whether there is a spike   (GTS)

    With F = 2 and delays 1, 0, 1, T = 3, 5, 8::

        measure   input  0 0 1 0 1 0 0 1     generate  input   1 0 0 0 0 1 0 0
                  answer     1   0     1               answer  0 0 1 0 1 0 0 1

    shortest  F, the shortest interval in steps
    largest   largest delay
    between   delays are 0, 1 ... largest; false: 0 or largest
    train     spikes in a training stream (at most 100 in the paper)
    stream    spikes in a held-out stream (1,000 in the paper); one spike in both: NMSD
    held_out  streams of each held-out split

    An answer is right when it is off by less than 0.49 (generate: of probability). `before_error` is the
    mean number of spikes before the first wrong answer of a stream, `within` the share of right
    answers, `sequence_within` that of streams without a wrong one. Solved when all validation
    streams are such. Measuring, `mse@interval` is cut by F + I. (Gers, Schraudolph & Schmidhuber 2002.)
    Departures: training streams have a fixed number of spikes, in the paper they end at the first
    error; generate is trained by cross-entropy; where exactly it shows I(n) is our reading.
    """

    kind: Literal["spike_delay"] = "spike_delay"
    form: Literal["measure", "generate"] = "measure"
    shortest: int = 10
    largest: int = 1
    between: bool = True
    train: int = 10
    stream: int = 100
    held_out: int = 100

    def __post_init__(self) -> None:
        """Raise ValueError where there are no such spikes."""
        one_of("form", self.form, FORMS)
        low, why = (2, "input and spike at two steps") if self.form == "generate" else (1, "a step")
        whole("shortest", self.shortest, low, why)
        whole("largest", self.largest, 1, "one delay alone would be no choice")
        one_of("between", self.between, (False, True))
        for field in ("train", "stream"):
            whole(field, getattr(self, field), 1, "a spike")
        whole("held_out", self.held_out, 1, "streams of a held-out split")

    @property
    def delays(self) -> tuple[int, ...]:
        """The delays that occur."""
        return tuple(range(self.largest + 1)) if self.between else (0, self.largest)

    def build(self) -> Task:
        """Return the task."""
        measure = self.form == "measure"
        score: Callable[..., dict[str, Sum]] = _measured if measure else _generated

        stream = lambda data, key, size: _draw(self, key, size, self.stream)
        best = {"before_error": float(self.stream), "within": 1.0, "sequence_within": 1.0}
        return Task(
            name=f"spike_delay_{self.form}",
            readout="step",
            loss="squared_error" if measure else "bernoulli",
            outputs=1,
            features=1,
            draw=lambda data, key, size: _draw(self, key, size, self.train),
            held_out=drawn_once(stream, self.held_out),
            metric="before_error",
            goal="max",
            chance=_chance_measure(self) if measure else _chance_generate(self),
            success=Success("sequence_within", at_least=1.0),
            score=score,
            slices=even("interval", self.shortest, self.shortest + self.largest)
            if measure
            else None,
            ceiling=best | {"mse" if measure else "nll": 0.0},
            source="Gers, Schraudolph & Schmidhuber 2002",
        )


class Train(NamedTuple):
    """A spike train, step by step."""

    spikes: Bool[Array, "batch time"]
    starts: Bool[Array, "batch time"]  # the first step of each interval
    delay: Int[Array, "batch time"]  # of the interval that a step is in
    lengths: Int[Array, "batch"]


def spike_train(spec: SpikeDelay, key: Seed, size: int, many: int) -> Train:
    """Draw `many` intervals a row and lay them end to end."""
    drawn = jax.random.randint(fold(key, "delays"), (size, many), 0, len(spec.delays))
    delays = jnp.array(spec.delays)[drawn]
    ends = jnp.cumsum(spec.shortest + delays, axis=1)
    steps = jnp.arange(many * (spec.shortest + spec.largest))
    number = jax.vmap(lambda each: jnp.searchsorted(each, steps, side="right"))(ends)
    inside, number = number < many, jnp.minimum(number, many - 1)
    pick = lambda values: jnp.take_along_axis(values, number, axis=1)
    spikes = inside & (steps == pick(ends) - 1)
    starts = inside & (steps == pick(ends - spec.shortest - delays))
    return Train(spikes, starts, pick(delays), ends[:, -1])


def _draw(spec: SpikeDelay, key: Seed, size: int, many: int) -> Batch:
    spikes, starts, delay, lengths = spike_train(spec, key, size, many)
    if spec.form == "measure":
        inputs, mask = 1.0 * spikes, 1.0 * spikes
        targets = delay * mask
    else:
        inputs, targets = 1.0 * delay * starts, 1.0 * spikes
        mask = 1.0 * (jnp.arange(spikes.shape[1]) < lengths[:, None])
    extent = spec.shortest + delay if spec.form == "measure" else None
    return Batch(inputs[..., None], targets[..., None], mask, lengths, extent=extent)


def _measured(outputs: Float[Array, "batch time 1"], batch: Batch) -> dict[str, Sum]:
    asked = batch.mask > 0
    return _streams(jnp.abs(outputs - batch.targets)[..., 0] < TOLERANCE, asked, asked)


def _generated(outputs: Float[Array, "batch time 1"], batch: Batch) -> dict[str, Sum]:
    off = jnp.abs(jax.nn.sigmoid(outputs) - batch.targets)[..., 0]
    return _streams(off < TOLERANCE, batch.mask > 0, batch.targets[..., 0] > 0.5)


def _streams(
    right: Bool[Array, "batch time"],
    asked: Bool[Array, "batch time"],
    spikes: Bool[Array, "batch time"],
) -> dict[str, Sum]:
    return {"before_error": before_error(right, asked, spikes), **shares("within", right, asked)}


def _chance_measure(spec: SpikeDelay) -> dict[str, float]:
    """Return what a constant reaches: the mean delay for mse, any of the delays for the others."""
    many = len(spec.delays)
    mean = sum(spec.delays) / many
    return {
        "mse": sum((delay - mean) ** 2 for delay in spec.delays) / many,
        "within": 1 / many,
        "sequence_within": many**-spec.stream,
        "before_error": expected(1 / many, spec.stream),
    }


def _chance_generate(spec: SpikeDelay) -> dict[str, float]:
    """Return what one reaches who sees the present input alone: silence is nearly always right.

    Where the input is a delay above 0 there is no spike; at the other steps there is one with
    probability p, the same everywhere.
    """
    many = len(spec.delays)
    interval = spec.shortest + sum(spec.delays) / many
    silent = 1 - 1 / many  # steps of an interval whose input tells that there is no spike
    p = 1 / (interval - silent)
    entropy = -sum(share * log(share) for share in (p, 1 - p) if share > 0)
    return {
        "nll": (interval - silent) * entropy / interval,
        "within": 1 - 1 / interval,
        "sequence_within": 0.0,
        "before_error": 0.0,
    }
