"""Parity: bits one by one; was the number of ones odd?

The smallest task that no finite window solves: every bit matters, and forgetting any is fatal.
"""

from dataclasses import dataclass
from math import log
from typing import Literal

import jax
import jax.numpy as jnp

from lstm_research.axes import Seed, Tree
from lstm_research.initial import fold
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.spans import Span, spans
from lstm_research.tasks.spans import lengths as drawn_lengths
from lstm_research.tasks.task import Batch, Slices, Success, Task, even, held_out_key

ANSWERS = ("last", "step")


@dataclass(frozen=True)
class Parity:
    """Bits 1 0 1 1 have parity 1 after the last step, and 1 1 0 1 after each.

    length       steps; with `variable` the longest training length
    answer       "last": after the last bit; "step": after each bit
    variable     training and validation lengths are uniform in 1..length
    test_length  test lengths are uniform in length+1..test_length, which none has trained on;
                 null: they are those of training
    held_out     sequences of each held-out split

    Deletang et al. 2023 (arXiv:2207.02098): length 40, variable, test_length 500. Departures: they
    answer at an extra step after the last bit, and average the accuracy over the test lengths.
    Solved at a validation accuracy of 0.99, which is ours.
    """

    kind: Literal["parity"] = "parity"
    length: int = 40
    answer: Literal["last", "step"] = "last"
    variable: bool = False
    test_length: int | None = None
    held_out: int = 1000

    def __post_init__(self) -> None:
        """Raise ValueError where no such sequence exists."""
        one_of("answer", self.answer, ANSWERS)
        one_of("variable", self.variable, (False, True))
        whole("length", self.length, 1, "a bit at least")
        if self.test_length is not None:
            whole("test_length", self.test_length, self.length + 1, "longer than training")
        whole("held_out", self.held_out, 1, "sequences of a held-out split")

    def build(self) -> Task:
        """Return the task."""
        train, test = _spans(self)
        drawn = jax.jit(_draw, static_argnums=(0, 2, 3))

        def held_out(data: Tree, split: str) -> tuple[Batch, ...]:
            span = test if split == "test" else train
            return (drawn(self, held_out_key(split), self.held_out, span),)

        return Task(
            name="parity",
            readout=self.answer,
            loss="cross_entropy",
            outputs=2,
            vocabulary=2,
            draw=lambda data, key, size: _draw(self, key, size, train),
            held_out=held_out,
            metric="accuracy",
            goal="max",
            chance=_chance(self),
            success=Success("accuracy", at_least=0.99),
            slices=_slices(self),
            ceiling={"accuracy": 1.0, "nll": 0.0},
            source="Deletang et al. 2023, arXiv:2207.02098",
        )


def _spans(spec: Parity) -> tuple[Span, Span]:
    """Return the lengths of training, and those of test."""
    return spans(1 if spec.variable else spec.length, spec.length, spec.test_length)


def _draw(spec: Parity, key: Seed, size: int, span: Span) -> Batch:
    longest = span.longest
    bits = jax.random.bernoulli(fold(key, "bits"), 0.5, (size, longest)).astype(jnp.int32)
    lengths, inside = None, jnp.ones((size, longest), bool)
    if span.shortest < longest:
        lengths = drawn_lengths(key, size, span)
        inside = jnp.arange(longest) < lengths[:, None]
    bits = bits * inside
    parities = jnp.cumsum(bits, axis=1) % 2
    if spec.answer == "last":
        extent = jnp.full(size, longest) if lengths is None else lengths
        return Batch(bits, parities[:, -1], jnp.ones(size), lengths, extent=extent)
    extent = jnp.broadcast_to(jnp.arange(1, longest + 1), bits.shape)
    return Batch(bits, parities * inside, 1.0 * inside, lengths, extent=extent)


def _slices(spec: Parity) -> Slices:
    """Return bins of a tenth of the longest length: bits seen before the answer."""
    return even("length", 1, spec.test_length or spec.length)


def _chance(spec: Parity) -> dict[str, float]:
    """Return what one reaches who sees the present bit alone, on test.

    Only at the first bit is its own value the answer. With q the share of answers asked there, the
    best guess, the bit itself, is right with probability p = (1 + q) / 2.
    """
    _, (shortest, longest) = _spans(spec)
    alone = 1 / longest if shortest == 1 else 0.0  # share of sequences of one bit
    mean = (shortest + longest) / 2  # and each sequence has one first bit
    q = 1 / mean if spec.answer == "step" else alone
    p = (1 + q) / 2
    nll = -sum(share * log(share) for share in (p, 1 - p) if share > 0)
    return {"accuracy": p, "nll": nll}
