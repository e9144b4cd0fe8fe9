"""Trees of ListOps: drawn level by level, valued from the leaves, written as one row of tokens.

A tree is arrays over its nodes, levels one after the other, children of one parent side by side: no
node is a Python object, so that a corpus of some hundred million tokens takes seconds.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

MIN, MAX, MED, SM = range(10, 14)  # tokens: 0..9 are digits, then [MIN [MAX [MED [SM and ]
CLOSE, TOKENS = 14, 15
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
        digits, kinds = random.integers(0, 10, nodes), random.integers(MIN, SM + 1, nodes)
        children = np.where(operator, random.integers(2, arguments + 1, nodes), 0)
        found.append(Level(np.where(operator, kinds, digits), children))
        nodes = int(children.sum())
        if not nodes:
            break
    return found


def sizes(every: list[Level]) -> list[Int[np.ndarray, "nodes"]]:
    """Return, level by level, how many tokens each node is written with, its bracket included."""
    found = [np.ones(len(every[-1].tokens), np.int64)]
    for level in every[-2::-1]:
        found.insert(0, np.where(level.children > 0, 2 + _summed(level, found[0]), 1))
    return found


def values(every: list[Level]) -> list[Int[np.ndarray, "nodes"]]:
    """Return, level by level, the value of each node: MED is the median, cut to a whole number."""
    found = [every[-1].tokens.astype(np.int64)]
    for level in every[-2::-1]:
        held = level.tokens.astype(np.int64)
        has = level.children > 0
        if has.any():
            held[has] = _operated(level.tokens[has], level.children[has], found[0])
        found.insert(0, held)
    return found


def _operated(operators: np.ndarray, many: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return the value of each operator of the values below it, `many` of them in turn."""
    starts = np.cumsum(many) - many
    parents = np.repeat(np.arange(len(many)), many)
    ordered = np.sort(parents * 16 + below) % 16  # values lie below 16: in order within a parent
    low, high = ordered[starts + (many - 1) // 2], ordered[starts + many // 2]
    choices = (
        ordered[starts],
        ordered[starts + many - 1],
        (low + high) // 2,
        np.add.reduceat(below, starts) % 10,
    )
    return np.choose(operators - MIN, choices)


def _summed(level: Level, below: np.ndarray) -> np.ndarray:
    """Return the sum, over each node's children, of what stands below."""
    ends = np.concatenate([[0], np.cumsum(below)])
    last = np.cumsum(level.children)
    return ends[last] - ends[last - level.children]


def chosen(every: list[Level], roots: Bool[np.ndarray, "trees"]) -> list[Level]:
    """Return the levels of the chosen trees alone."""
    found, keep = [], roots
    for level in every:
        found.append(Level(level.tokens[keep], level.children[keep]))
        keep = np.repeat(keep, level.children)
    return [level for level in found if len(level.tokens)]


def written(every: list[Level]) -> tuple[Int[np.ndarray, "tokens"], Int[np.ndarray, "trees"]]:
    """Return all trees as tokens, one after the other, and the length of each."""
    widths = sizes(every)
    out = np.full(widths[0].sum(), CLOSE, np.int8)
    places = np.cumsum(widths[0]) - widths[0]
    for depth, level in enumerate(every):
        out[places] = level.tokens
        if depth + 1 == len(every):
            break
        below = widths[depth + 1]
        before = np.cumsum(below) - below  # tokens of the level left of each child
        first = np.cumsum(level.children) - level.children
        has = level.children > 0
        shift = places[has] + 1 - before[first[has]]
        places = before + np.repeat(shift, level.children[has])
    return out, widths[0]


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
    random = np.random.default_rng(seed)
    tokens, lengths, answers, seen, barren = [], [], [], set(), 0
    while len(seen) < wanted and barren < rounds:
        every = levels(random, 20_000, depth, arguments)
        width = sizes(every)[0]
        every = chosen(every, (width >= shortest) & (width <= longest))
        before = len(seen)
        if every:
            row, length = written(every)
            starts, held = np.cumsum(length) - length, values(every)[0]
            for start, many, value in zip(starts, length, held, strict=True):
                piece = row[start : start + many]
                if len(seen) < wanted and (name := piece.tobytes()) not in seen:
                    seen.add(name)
                    tokens.append(piece)
                    lengths.append(many)
                    answers.append(value)
        barren = barren + 1 if len(seen) == before else 0
    whole = np.concatenate(tokens) if tokens else np.zeros(0, np.int8)
    return whole, np.array(lengths, np.int64), np.array(answers, np.int64)
