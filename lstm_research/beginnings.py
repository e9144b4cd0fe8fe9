"""States at step 0 of the runs of a pack: drawn ahead, by pieces, or many at once.

The pieces of a start are the same for every cell of a sweep, which then compiles no program for each, and
take some 20 ms of Python a run. Many runs of one cell are worth a program, which draws them in a
millisecond each. A run alone has one too where programs are kept: it is found in half the time of the pieces.
Numbers are equal to a rounding, of most cells to the bit.
"""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from lstm_research import kept_program
from lstm_research.axes import Tree
from lstm_research.program import Member, Program, State, weight

MANY = 64  # runs of one cell that are worth a program: it is compiled in a second
ONCE = 32  # runs that it draws in a call
ROOM = 2**28  # bytes that their states may take
Kind = tuple[Any, tuple[str, ...]]  # a cell, and the names of its run's numbers


class Beginnings:
    """Draws the states of a program's runs; those that are expected are drawn by the way."""

    def __init__(self, program: Program, alone: bool, known: Callable[..., str | None]) -> None:
        """Take a program; alone: it is for one run at a time; known: by what a program is kept."""
        self.program, self.alone, self.known = program, alone, known
        self.drawn: list[tuple[Member, State]] = []
        self.waiting: dict[Kind, list[Member]] = {}  # of cells that have many, in their order
        self.programs: dict[Any, Callable[..., State]] = {}

    def expect(self, members: Iterable[Member], first: int) -> None:
        """Hear which runs will come; draw the first of them."""
        every, kinds = [*members], dict[Kind, list[Member]]()
        for member in every:
            kinds.setdefault(made_of(member), []).append(member)
        many = {kind: alike for kind, alike in kinds.items() if len(alike) >= MANY}
        self.waiting = many if many and weight(self.program.state) * ONCE <= ROOM else {}
        self.drawn = [(each, self.of(each)) for each in every[:first]] + self.drawn

    def of(self, member: Member) -> State:
        """Return the state at step 0 of a run, which is expected no longer."""
        for place, (other, state) in enumerate(self.drawn):
            if other == member:
                del self.drawn[place]
                return state
        kind = made_of(member)
        if member in (alike := self.waiting.get(kind, [])):
            first = alike.index(member)
            some = alike[first : first + ONCE]
            del alike[first : first + ONCE]
            if not alike:
                del self.waiting[kind]
            state, *others = self.many(kind, some)
            self.drawn += zip(some[1:], others, strict=True)
            return state
        known = self.known("begin", *kind) if self.alone else None
        return self.program.begin(member) if known is None else self.one(member, known)

    def one(self, member: Member, known: str) -> State:
        """Return the state of a run by a program of its own."""
        given = np.int32(member.seed), {k: floating(x) for k, x in member.numbers.items()}
        return self.compiled(known, known, self.begin(member.cell), given)(*given)

    def many(self, kind: Kind, members: Sequence[Member]) -> list[State]:
        """Return the states of at most `ONCE` runs of a kind, by one program."""
        cell, names = kind
        full = [*members, *[members[-1]] * (ONCE - len(members))]
        seeds = np.array([each.seed for each in full], np.int32)
        numbers = {k: floating([each.numbers[k] for each in full]) for k in names}
        begin = lambda *given: lax.map(lambda run: self.begin(cell)(*run), given)
        known = self.known("begin many", cell, names, ONCE)
        made = self.compiled(kind, known, begin, (seeds, numbers))
        states = jax.tree.map(np.asarray, made(seeds, numbers))
        return [jax.tree.map(lambda leaf, k=k: leaf[k], states) for k in range(len(members))]

    def begin(self, cell: Any) -> Callable[..., State]:
        """Return (seed, numbers) -> the state at step 0 of a run of a cell."""
        return lambda seed, numbers: self.program.begin(Member(seed, cell, numbers))

    def compiled(
        self, key: Any, known: str | None, begin: Callable[..., State], given: tuple[Tree, ...]
    ) -> Callable[..., State]:
        """Return a program, compiled once."""
        if key not in self.programs:
            self.programs[key] = kept_program.compiled(known, begin, lambda: given)
        return self.programs[key]


def made_of(member: Member) -> Kind:
    """Return what a run's start is made of beside its numbers."""
    return member.cell, tuple(member.numbers)


def floating(number: Any) -> np.ndarray:
    """Return numbers as a run holds them."""
    return np.asarray(number, jax.dtypes.canonicalize_dtype(float))
