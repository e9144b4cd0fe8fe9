"""Trees of ListOps: drawn level by level, valued from the leaves, written as one row of tokens.

A tree is arrays over its nodes, levels one after the other, children of one parent side by side: no
node is a Python object, so that a corpus of some hundred million tokens takes seconds.
"""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

MIN, MAX, MED, SM = range(10, 14)  # tokens: 0..9 are digits, then [MIN [MAX [MED [SM and ]
CLOSE, TOKENS = 14, 15
ABSENT = 15  # above every value
AHEAD = 2  # rounds that threads write while the next is drawn
OPERATOR_SHARE = 0.25  # odds that a node above the lowest level is an operator


class Level(NamedTuple):
    """The nodes of one depth, of many trees, in the order of their parents.

    tokens    a digit, or the operator
    children  how many; none below a digit
    """

    tokens: Int[np.ndarray, "nodes"]
    children: Int[np.ndarray, "nodes"]


def levels(random: np.random.Generator, trees: int, depth: int, arguments: int) -> list[Level]:
    """Draw trees level by level.

    A node above level `depth` is an operator with odds 1/4, of 2..arguments children; else a digit.
    """
    found, nodes = [], trees
    for at in range(1, depth + 1):
        operator = (random.random(nodes) < OPERATOR_SHARE) & (at < depth)
        whole = lambda low, high, many=nodes: random.integers(low, high, many, dtype=np.int32)
        digits, kinds = whole(0, 10), whole(MIN, SM + 1)
        children = whole(2, arguments + 1) * operator
        found.append(Level(np.where(operator, kinds, digits).astype(np.int8), children))
        nodes = int(children.sum())
        if not nodes:
            break
    return found


def sizes(every: list[Level]) -> list[Int[np.ndarray, "nodes"]]:
    """Return, level by level, how many tokens each node is written with, its bracket included."""
    found = [np.ones(len(every[-1].tokens), np.int32)]
    for level in every[-2::-1]:
        held, lists = np.ones(len(level.tokens), np.int32), np.flatnonzero(level.tokens >= MIN)
        ends = np.cumsum(found[0], dtype=np.int32)[np.cumsum(level.children[lists]) - 1]
        held[lists] = 2 + np.diff(ends, prepend=np.int32(0))
        found.insert(0, held)
    return found


def values(every: list[Level]) -> list[Int[np.ndarray, "nodes"]]:
    """Return, level by level, the value of each node: MED is the median, cut to a whole number."""
    found = [every[-1].tokens]
    for level in every[-2::-1]:
        held, lists = level.tokens.copy(), np.flatnonzero(level.tokens >= MIN)
        if len(lists):
            held[lists] = _operated(level.tokens[lists], level.children[lists], found[0])
        found.insert(0, held)
    return found


def _operated(operators: np.ndarray, many: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return the value of each operator of the values below it, `many` of them in turn."""
    inside = np.arange(many.max(), dtype=np.int32) < many[:, None]
    rows = np.full(inside.shape, ABSENT, np.int8)
    rows[inside] = below  # one row a list
    columns = np.ascontiguousarray(rows.T)
    there = columns * (columns != ABSENT)
    found = np.where(operators == MIN, columns.min(axis=0), there.max(axis=0))
    found = np.where(operators == SM, there.sum(axis=0, dtype=np.int32) % 10, found)
    median = operators == MED
    ordered, size = np.sort(rows[median]), many[median]
    middle = lambda place: np.take_along_axis(ordered, place[:, None], axis=1)[:, 0]
    found[median] = (middle((size - 1) // 2) + middle(size // 2)) // 2
    return found


def chosen(every: list[Level], roots: Bool[np.ndarray, "trees"]) -> list[Level]:
    """Return the levels of the chosen trees alone."""
    found, keep = [], roots
    for level in every:
        found.append(Level(level.tokens[keep], level.children[keep]))
        lists = np.flatnonzero(level.tokens >= MIN)
        keep = np.repeat(keep[lists], level.children[lists])
    return [level for level in found if len(level.tokens)]


def written(every: list[Level]) -> tuple[Int[np.ndarray, "tokens"], Int[np.ndarray, "trees"]]:
    """Return all trees as tokens, one after the other, and the length of each."""
    widths = sizes(every)
    out = np.full(widths[0].sum(), CLOSE, np.int8)
    places = np.cumsum(widths[0], dtype=np.int32) - widths[0]
    for level, below in zip(every, [*widths[1:], None], strict=True):
        out[places] = level.tokens
        if below is not None:
            lists = np.flatnonzero(level.tokens >= MIN)
            many = level.children[lists]
            before = np.cumsum(below, dtype=np.int32) - below  # tokens left of each child
            shift = places[lists] + 1 - before[np.cumsum(many) - many]
            places = before + np.repeat(shift, many)
    return out, widths[0]


class Round(NamedTuple):
    """The trees of a draw whose lengths are wanted, one after the other."""

    tokens: Int[np.ndarray, "tokens"]
    lengths: Int[np.ndarray, "trees"]
    values: Int[np.ndarray, "trees"]


def _round(every: list[Level], shortest: int, longest: int) -> Round:
    width = sizes(every)[0]
    every = chosen(every, (width >= shortest) & (width <= longest))
    if not every:
        return Round(np.zeros(0, np.int8), width[:0], width[:0])
    return Round(*written(every), values(every)[0])


def _rounds(
    random: np.random.Generator, depth: int, arguments: int, *wanted: int
) -> Generator[Round, None, None]:
    """Draw without end; the next draws are made while threads write the last ones."""
    with ThreadPoolExecutor(AHEAD) as pool:
        waiting: deque[Future[Round]] = deque()
        while True:
            waiting.append(pool.submit(_round, levels(random, 20_000, depth, arguments), *wanted))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()


def corpus(
    seed: int,
    wanted: int,
    shortest: int,
    longest: int,
    depth: int,
    arguments: int,
    rounds: int = 50,
) -> tuple[Int[np.ndarray, "tokens"], Int[np.ndarray, "trees"], Int[np.ndarray, "trees"]]:
    """Draw different trees of shortest..longest tokens: (tokens, lengths, values of the trees).

    Fewer than `wanted` come back where so many cannot be found in `rounds` of 20,000 draws that
    give nothing new.
    """
    kept: dict[bytes, int] = {}  # the value of each tree, in the order in which they were drawn
    barren, drawn = 0, _rounds(np.random.default_rng(seed), depth, arguments, shortest, longest)
    while len(kept) < wanted and barren < rounds:
        found, before = next(drawn), len(kept)
        text, ends = found.tokens.tobytes(), np.cumsum(found.lengths).tolist()
        for start, end, value in zip([0, *ends], ends, found.values.tolist(), strict=False):
            if len(kept) < wanted:
                kept.setdefault(text[start:end], value)
        barren = barren + 1 if len(kept) == before else 0
    drawn.close()
    lengths = np.fromiter(map(len, kept), np.int64, len(kept))
    answers = np.fromiter(kept.values(), np.int64, len(kept))
    return np.frombuffer(b"".join(kept), np.int8), lengths, answers
