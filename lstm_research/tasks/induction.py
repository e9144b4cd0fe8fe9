"""Induction heads: a mark stood before some symbol; at the next mark, say that symbol."""

from dataclasses import dataclass
from math import log
from typing import Literal

import jax
import jax.numpy as jnp

from lstm_research.axes import Seed, Tree
from lstm_research.initial import fold
from lstm_research.tasks.limits import whole
from lstm_research.tasks.spans import Span, held_out_by_span, lengths, spans
from lstm_research.tasks.task import Batch, Success, Task, even


@dataclass(frozen=True)
class Induction:
    """Uniform symbols, one mark somewhere among them and one at the end::

        3 1 [mark] 2 0 3 1 [mark] -> 2

    length       symbols, both marks included
    vocabulary   tokens: the mark is the last of them
    test_length  test lengths are uniform in length+1..test_length; null: they are those of training
    held_out     sequences of each held-out split

    Accuracy is told by lag, the steps from the symbol to the last mark. (Gu & Dao 2023,
    arXiv:2312.00752: vocabulary 16, length 256, test lengths 2^6..2^20; Olsson et al. 2022,
    arXiv:2209.11895.) Solved at an accuracy of 0.99, which is ours.
    """

    kind: Literal["induction"] = "induction"
    length: int = 256
    vocabulary: int = 16
    test_length: int | None = None
    held_out: int = 1000

    def __post_init__(self) -> None:
        """Raise ValueError where no such sequence exists."""
        whole("length", self.length, 3, "two marks and a symbol")
        whole("vocabulary", self.vocabulary, 3, "a mark and two symbols")
        if self.test_length is not None:
            whole("test_length", self.test_length, self.length + 1, "longer than training")
        whole("held_out", self.held_out, 1, "sequences of a held-out split")

    def build(self) -> Task:
        """Return the task."""
        train, test = spans(self.length, self.length, self.test_length)
        drawn = lambda data, key, size, span: _draw(self.vocabulary, data, key, size, span)
        symbols = self.vocabulary - 1
        return Task(
            name="induction",
            readout="last",
            loss="cross_entropy",
            outputs=symbols,
            vocabulary=self.vocabulary,
            draw=lambda data, key, size: drawn(data, key, size, train),
            held_out=held_out_by_span(drawn, train, test, self.held_out),
            metric="accuracy",
            goal="max",
            chance={"accuracy": 1 / symbols, "nll": log(symbols)},
            success=Success("accuracy", at_least=0.99),
            slices=even("lag", 1, test.longest - 2),
            ceiling={"accuracy": 1.0, "nll": 0.0},
            source="Gu & Dao 2023, arXiv:2312.00752",
        )


def _draw(vocabulary: int, data: Tree, key: Seed, size: int, span: Span) -> Batch:
    mark, ends = vocabulary - 1, lengths(key, size, span)
    shape = (size, span.longest)
    symbols = jax.random.randint(fold(key, "symbols"), shape, 0, mark)
    place = jax.random.randint(fold(key, "place"), (size,), 0, ends - 2)
    answer = jnp.take_along_axis(symbols, place[:, None] + 1, axis=1)[:, 0]
    steps = jnp.arange(span.longest)
    marked = (steps == place[:, None]) | (steps == ends[:, None] - 1)
    inputs = jnp.where(marked, mark, symbols) * (steps < ends[:, None])
    return Batch(inputs, answer, jnp.ones(size), ends, extent=ends - 2 - place)
