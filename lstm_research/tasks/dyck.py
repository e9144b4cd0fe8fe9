"""Brackets: after each symbol, which may come next? Nested in each other, or shuffled.

Nested brackets of several kinds need a stack, shuffled ones a counter for each kind, and one kind
alone is both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Float, Int, Seed, Tree
from lstm_research.initial import fold
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.spans import Span, held_out_by_span, slices, spans
from lstm_research.tasks.task import Batch, Slices, Success, Task, held_out_key
from lstm_research.tasks.walks import Language, sets_right, walk

FORMS = ("nested", "shuffled")
WALKS = 500  # that tell what is reached without memory, to about 0.005


@dataclass(frozen=True)
class Dyck:
    """Symbols 0..n-1 open a bracket, n..2n-1 close it; the answer is the set of what may come next.

    Any bracket may open, save at depth `depth`; nested: the bracket opened last may close;
    shuffled: any open one may; and the string may end where none is open. With n = 2, ( [ ) ] $::

        nested    ( [      may be followed by  ( [ ]
        shuffled  ( [      may be followed by  ( [ ) ]
        both      ( )      may be followed by  ( [ $

    form         nested: Dyck-n; shuffled: Shuffle-n, n interleaved words of one bracket
    brackets     n, kinds of brackets
    depth        most brackets open at once; null: no limit
    length       steps of training strings
    test_length  steps of test strings; null: as many. Curves are told by the symbols read
    held_out     strings of each held-out split

    A walk opens or closes with odds 1/2 each, each kind that may as likely as the others; at its
    last step brackets may be open. Outputs are 2n + 1 yes/no questions, the end last; `set` is the
    share of steps, `sequence_set` that of strings, where all are right. (Suzgun et al. 2019,
    arXiv:1911.03329; shuffled: Bhattamishra, Ahuja & Goyal 2020, arXiv:2009.11264; with a limit:
    Hewitt et al. 2020, arXiv:2010.07515. Those papers draw complete words from a grammar.) Solved
    at a `set` of 0.99, which is ours.
    """

    kind: Literal["dyck"] = "dyck"
    form: Literal["nested", "shuffled"] = "nested"
    brackets: int = 2
    depth: int | None = None
    length: int = 40
    test_length: int | None = None
    held_out: int = 1000

    def __post_init__(self) -> None:
        """Raise ValueError where no such string exists."""
        one_of("form", self.form, FORMS)
        whole("brackets", self.brackets, 1, "kinds of brackets")
        if self.depth is not None:
            whole("depth", self.depth, 2, "at 1 what comes next is seen without memory")
        whole("length", self.length, 3, "steps; before, nothing is to be remembered")
        if self.test_length is not None:
            whole("test_length", self.test_length, self.length + 1, "longer than training")
        whole("held_out", self.held_out, 1, "strings of a held-out split")

    def build(self) -> Task:
        """Return the task."""
        train, test = spans(self.length, self.length, self.test_length)
        cuts = slices(1, self.length, self.test_length)
        drawn = lambda data, key, size, span: _draw(self, key, size, span)
        return Task(
            name=f"dyck_{self.brackets}" if self.form == "nested" else f"shuffle_{self.brackets}",
            readout="step",
            loss="bernoulli",
            outputs=2 * self.brackets + 1,
            vocabulary=2 * self.brackets,
            draw=lambda data, key, size: drawn(data, key, size, train),
            held_out=held_out_by_span(drawn, train, test, self.held_out),
            metric="set",
            goal="max",
            chance={"set": _chance(self, test)},
            success=Success("set", at_least=0.99),
            score=lambda outputs, batch: _score(cuts, outputs, batch),
            slices=cuts,
            ceiling={"set": 1.0, "sequence_set": 1.0, "nll": 0.0},
            source="Suzgun et al. 2019, arXiv:1911.03329"
            if self.form == "nested"
            else "Bhattamishra, Ahuja & Goyal 2020, arXiv:2009.11264",
        )


def nested(brackets: int, most: int) -> Language:
    """Return Dyck-n; a state is the kinds of the open brackets, the last one last, and how many."""

    def legal(state: Tree) -> tuple[Array, Array]:
        stack, height = state
        top = jnp.take_along_axis(stack, jnp.maximum(height, 1)[:, None] - 1, axis=1)
        closes = (jnp.arange(brackets) == top) & (height > 0)[:, None]
        return _opens(height, brackets, most), closes

    def move(state: Tree, symbols: Int[Array, "batch"]) -> Tree:
        stack, height = state
        put = (symbols < brackets)[:, None] & (jnp.arange(most) == height[:, None])
        after = jnp.where(symbols < brackets, height + 1, height - 1)
        return jnp.where(put, symbols[:, None], stack), after

    start = lambda size: (jnp.zeros((size, most), jnp.int32), jnp.zeros(size, jnp.int32))
    return _language(legal, move, start)


def shuffled(brackets: int, most: int) -> Language:
    """Return Shuffle-n; a state is how many brackets of each kind are open."""

    def legal(counts: Tree) -> tuple[Array, Array]:
        return _opens(counts.sum(axis=1), brackets, most), counts > 0

    def move(counts: Tree, symbols: Int[Array, "batch"]) -> Tree:
        kind = jax.nn.one_hot(symbols % brackets, brackets, dtype=counts.dtype)
        return counts + jnp.where(symbols < brackets, 1, -1)[:, None] * kind

    return _language(legal, move, lambda size: jnp.zeros((size, brackets), jnp.int32))


def _opens(height: Array, brackets: int, most: int) -> Array:
    return jnp.broadcast_to((height < most)[:, None], (height.shape[0], brackets))


def _language(
    legal: Callable[[Tree], tuple[Array, Array]],
    move: Callable[[Tree, Int[Array, "batch"]], Tree],
    start: Callable[[int], Tree],
) -> Language:
    """Return the walk that opens or closes with odds 1/2 each, and tells what may come next."""
    share = lambda some: some / jnp.maximum(some.sum(axis=1, keepdims=True), 1)
    both = lambda state: jnp.concatenate([share(each) for each in legal(state)], axis=1)

    def told(state: Tree) -> Float[Array, "batch symbols"]:
        opens, closes = legal(state)
        end = ~closes.any(axis=1, keepdims=True)
        return 1.0 * jnp.concatenate([opens, closes, end], axis=1)

    return Language(start, both, move, told)


def _draw(spec: Dyck, key: Seed, size: int, span: Span) -> Batch:
    most = spec.depth if spec.depth is not None else span.longest + 1  # no string reaches it
    made = nested if spec.form == "nested" else shuffled
    symbols, legal = walk(made(spec.brackets, most), key, size, span.longest)
    extent = jnp.broadcast_to(jnp.arange(1, span.longest + 1), symbols.shape)
    return Batch(symbols, legal, jnp.ones(symbols.shape), extent=extent)


def _score(
    cuts: Slices, outputs: Float[Array, "batch time symbols"], batch: Batch
) -> dict[str, tuple[Array, Array]]:
    """Count the steps, and the strings, whose sets are right, and the steps by symbols read."""
    right = sets_right(outputs, batch.targets, batch.mask)
    asked, read = batch.mask > 0, jnp.asarray(batch.extent)
    whole_rows = (right | ~asked).all(axis=1).sum().astype(jnp.float32)
    found = {
        "set": (right.sum().astype(jnp.float32), batch.mask.sum()),
        "sequence_set": (whole_rows, asked.any(axis=1).sum().astype(jnp.float32)),
    }
    for low, high in cuts.bins:
        inside = asked & (read >= low) & (read <= high)
        counted = (right & inside).sum().astype(jnp.float32), inside.sum().astype(jnp.float32)
        found[cuts.label("set", low, high)] = counted
    return found


@lru_cache(maxsize=32)
def _chance(spec: Dyck, span: Span) -> float:
    """Return how often the likeliest set, given the present symbol, is right; WALKS strings tell.

    All kinds are alike, so that they are numbered anew from the present one.
    """
    key, n = fold(held_out_key("test"), "chance"), spec.brackets
    batch = jax.jit(_draw, static_argnums=(0, 2, 3))(spec, key, WALKS, span)
    symbols = np.asarray(batch.inputs).ravel()
    legal = np.asarray(batch.targets).reshape(len(symbols), -1)
    kinds = (np.arange(n) + (symbols % n)[:, None]) % n
    closes = np.take_along_axis(legal[:, n : 2 * n], kinds, axis=1)
    seen = np.column_stack([symbols < n, legal[:, 0], closes])  # opens are all legal, or none is
    sets, counts = np.unique(seen, axis=0, return_counts=True)
    best = [counts[sets[:, 0] == opened].max(initial=0) for opened in (0, 1)]
    return float(sum(best) / counts.sum())
