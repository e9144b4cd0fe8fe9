"""Lengths of training and of test: many tasks train on short strings and ask for longer ones.

A task with `test_length` draws training and validation lengths up to `length`, test lengths from
`length + 1` to `test_length`, which no training has seen. Its curve has one bin of training lengths
and ten of the others.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax

from lstm_research.axes import Array, Int, Seed, Tree
from lstm_research.initial import fold
from lstm_research.tasks.task import Batch, HeldOut, Slices, even, held_out_key

ROWS = 250  # of one held-out batch; long strings of a whole split would fill the memory


class Span(NamedTuple):
    """The shortest and the longest length, both inclusive."""

    shortest: int
    longest: int


Drawn = Callable[[Tree, Seed, int, Span], Batch]


def spans(shortest: int, length: int, test_length: int | None) -> tuple[Span, Span]:
    """Return the lengths of training, and those of test."""
    train = Span(shortest, length)
    return train, train if test_length is None else Span(length + 1, test_length)


def lengths(key: Seed, size: int, span: Span) -> Int[Array, "batch"]:
    """Draw lengths, uniform over the span."""
    return jax.random.randint(fold(key, "lengths"), (size,), span.shortest, span.longest + 1)


def held_out_by_span(draw: Drawn, train: Span, test: Span, size: int) -> HeldOut:
    """Return the held_out of a generated task: `size` rows of a split's span, at most ROWS a batch.

    The batches of a split are as even as can be, so that they share one or two programs.
    """
    drawn = jax.jit(draw, static_argnums=(2, 3))
    many = -(-size // ROWS)
    rows = [(size + place) // many for place in range(many)]

    def held_out(data: Tree, split: str) -> tuple[Batch, ...]:
        key, span = held_out_key(split), test if split == "test" else train
        keys = [jax.random.fold_in(key, place) for place in range(many)]
        return tuple(drawn(data, each, size, span) for each, size in zip(keys, rows, strict=True))

    return held_out


def slices(shortest: int, length: int, test_length: int | None) -> Slices:
    """Return the training lengths as one bin and ten bins of the longer ones, or ten bins."""
    if test_length is None:
        return even("length", shortest, length)
    return Slices("length", ((shortest, length), *even("length", length + 1, test_length).bins))
