"""State tracking: words of a group's elements, one by one; which element is their product?

Whether a network can keep the state of S5 at any length separates recurrences that are linear and
diagonal from those that are not; that of a cyclic group is counting.
"""

from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Int, Seed, Tree
from lstm_research.initial import fold
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.spans import Span, held_out_by_span, lengths, slices, spans
from lstm_research.tasks.task import Batch, Success, Task

GROUPS = ("cyclic", "symmetric", "alternating")
TOKENS = ("all", "generators")
ANSWERS = ("step", "last")
MOST = 720  # elements; the table of products holds the square of that


@dataclass(frozen=True)
class Words:
    """Tokens g1 g2 ... of a group; the state after step t is s_t = g_t * s_(t-1), s_0 = 1.

    group        cyclic: the numbers modulo `order`, added; symmetric: all permutations of `order`
                 things; alternating: the even ones
    order        5: Z5, S5 (120 elements), A5 (60)
    tokens       "all": each element is a token, all as frequent; "generators": a few that make the
                 whole group: 0 and 1; a swap and a cycle; cycles of three. And no move at all
    answer       "step": the state after each token; "last": after the last
    length       steps; with `variable` or `test_length` the longest training length
    variable     training lengths are uniform in 1..length
    test_length  test lengths are uniform in length+1..test_length; null: those of training
    held_out     words of each held-out split

    A permutation p, listed as p(0) p(1) ..., is numbered in the order of the list; g * s means s
    first, then g. (S5, A5 and Z60: Merrill, Petty & Sabharwal 2024, arXiv:2404.08819; from simple
    automata: Liu et al. 2023, arXiv:2210.10749.) Solved at a validation accuracy of 0.99, which is
    ours.
    """

    kind: Literal["words"] = "words"
    group: Literal["cyclic", "symmetric", "alternating"] = "symmetric"
    order: int = 5
    tokens: Literal["all", "generators"] = "all"
    answer: Literal["step", "last"] = "step"
    length: int = 20
    variable: bool = False
    test_length: int | None = None
    held_out: int = 1000

    def __post_init__(self) -> None:
        """Raise ValueError where no such word exists."""
        one_of("group", self.group, GROUPS)
        one_of("tokens", self.tokens, TOKENS)
        one_of("answer", self.answer, ANSWERS)
        one_of("variable", self.variable, (False, True))
        least = 3 if self.group == "alternating" else 2
        whole("order", self.order, least, f"the {self.group} group of one element has no state")
        most = MOST if self.group == "cyclic" else 6
        if self.order > most:
            raise ValueError(f"order={self.order}: must be at most {most} ({MOST} elements)")
        whole("length", self.length, 1, "a token at least")
        if self.test_length is not None:
            whole("test_length", self.test_length, self.length + 1, "longer than training")
        whole("held_out", self.held_out, 1, "words of a held-out split")

    def build(self) -> Task:
        """Return the task."""
        table = products(self.group, self.order)
        moves = (
            np.arange(len(table)) if self.tokens == "all" else generators(self.group, self.order)
        )
        made = jnp.asarray(table[moves], jnp.int32)  # token, state -> next state
        shortest = 1 if self.variable else self.length
        train, test = spans(shortest, self.length, self.test_length)
        drawn = lambda data, key, size, span: _draw(self.answer, data, key, size, span)
        name = "z" if self.group == "cyclic" else self.group[0]
        return Task(
            name=f"{name}{self.order}",
            readout=self.answer,
            loss="cross_entropy",
            outputs=len(table),
            vocabulary=len(moves),
            draw=lambda data, key, size: drawn(data, key, size, train),
            held_out=held_out_by_span(drawn, train, test, self.held_out),
            data=made,
            metric="accuracy",
            goal="max",
            chance=_chance(table, moves, self.answer, test),
            success=Success("accuracy", at_least=0.99),
            slices=slices(1 if self.answer == "step" else shortest, self.length, self.test_length),
            ceiling={"accuracy": 1.0, "nll": 0.0},
            source="Merrill, Petty & Sabharwal 2024, arXiv:2404.08819",
        )


def elements(group: str, order: int) -> list[tuple[int, ...]]:
    """Return the elements in their order, the identity first: permutations, or single numbers."""
    if group == "cyclic":
        return [(shift,) for shift in range(order)]
    odd = lambda p: sum(p[i] > p[j] for j in range(len(p)) for i in range(j)) % 2
    return [p for p in permutations(range(order)) if group == "symmetric" or not odd(p)]


def products(group: str, order: int) -> Int[np.ndarray, "elements elements"]:
    """Return the table whose row g and column s is the number of g * s: s first, then g."""
    every = elements(group, order)
    if group == "cyclic":
        return np.add.outer(np.arange(order), np.arange(order)) % order
    listed = np.array(every)
    place = order ** np.arange(order)[::-1]  # the list read as digits: rising with the number
    number = np.searchsorted(listed @ place, listed[:, listed] @ place)
    return number.astype(np.int64)


def generators(group: str, order: int) -> Int[np.ndarray, "moves"]:
    """Return the numbers of no move and of a few that make the whole group."""
    every = elements(group, order)
    if group == "cyclic":
        return np.array([0, 1])
    still = list(range(order))
    if group == "symmetric":
        moves = [[1, 0, *still[2:]], [*still[1:], 0]][: 1 if order == 2 else 2]
    else:
        moves = []
        for third in range(2, order):  # the cycles 0 -> 1 -> third -> 0
            cycle = still.copy()
            cycle[0], cycle[1], cycle[third] = 1, third, 0
            moves.append(cycle)
    return np.array([0, *sorted(every.index(tuple(move)) for move in moves)])


def _draw(answer: str, table: Tree, key: Seed, size: int, span: Span) -> Batch:
    longest = span.longest
    ends = lengths(key, size, span)
    words = jax.random.randint(fold(key, "tokens"), (size, longest), 0, table.shape[0])
    inside = jnp.arange(longest) < ends[:, None]

    def step(state, now):
        token, inside = now
        state = jnp.where(inside, table[token, state], state)
        return state, state

    last, states = jax.lax.scan(step, jnp.zeros(size, jnp.int32), (words.T, inside.T))
    words = words * inside
    if answer == "last":
        return Batch(words, last, jnp.ones(size), ends, extent=ends)
    extent = jnp.broadcast_to(jnp.arange(1, longest + 1), words.shape)
    return Batch(words, states.T * inside, 1.0 * inside, ends, extent=extent)


def _chance(table: np.ndarray, moves: np.ndarray, answer: str, span: Span) -> dict[str, float]:
    """Return what one reaches who sees the present token alone, on test.

    Walks the odds of each state along the word; the best guess after token g is the likeliest
    g * s, over all steps that are asked.
    """
    states = np.zeros(len(table))
    states[0] = 1.0
    asked = np.array([1.0] * span.longest)  # share of words that are asked at each step
    counts = span.longest - span.shortest + 1
    for at in range(span.longest):
        long = min(counts, span.longest - at)
        asked[at] = long / counts if answer == "step" else (at + 1 >= span.shortest) / counts
    before = np.zeros(len(table))
    for share in asked / asked.sum():
        before += share * states
        after = np.zeros(len(table))
        for move in moves:
            after[table[move]] += states / len(moves)
        states = after
    some = before[before > 0]  # a token moves the odds about, and loses none
    return {"accuracy": float(before.max()), "nll": float(-(some * np.log(some)).sum())}
