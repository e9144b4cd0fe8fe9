"""States at step 0 of the runs of a pack: drawn ahead, by pieces, or many at once.

The pieces of a start are the same for every cell of a sweep, which then compiles no program for each, and
take some 20 ms of Python a run. Many runs of one cell are worth a program, which draws them in a
millisecond each. A run alone has one too where programs are kept: it is found in half the time of the pieces.
Numbers are equal to a rounding, of most cells to the bit.
"""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from lstm_research import kept_program
from lstm_research.axes import Tree
from lstm_research.program import Member, Program, State

MANY = 64  # runs of one cell that are worth a program: it is compiled in a second
ONCE = 32  # runs that it draws in a call
ROOM = 2**28  # bytes that their states may take


class Beginnings:
    """Draws the states of a program's runs; those that are expected are drawn by the way."""

    def __init__(self, program: Program, alone: bool, known: Callable[..., str | None]) -> None:
        """Take a program; alone: it is for one run at a time; known: by what a program is kept."""
        self.program, self.alone, self.known = program, alone, known
        self.drawn: list[tuple[Member, State]] = []
        self.waiting: list[Member] = []  # runs of a cell that has many
        self.programs: list[tuple[Any, Callable[..., State]]] = []  # by what they are made of

    def expect(self, members: Iterable[Member], first: int) -> None:
        """Hear which runs will come; draw the first of them."""
        every = [*members]
        kinds = list[tuple[Any, list[Member]]]()
        for member in every:
            alike = next((many for kind, many in kinds if kind == made_of(member)), None)
            if alike is None:
                kinds.append((made_of(member), alike := []))
            alike.append(member)
        least = MANY if self.size() * ONCE <= ROOM else len(every) + 1
        self.waiting = [each for _, many in kinds if len(many) >= least for each in many]
        ahead = [(each, self.of(each)) for each in every[:first]]
        self.drawn = ahead + self.drawn

    def size(self) -> int:
        """Return the bytes of a state."""
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.program.state))

    def of(self, member: Member) -> State:
        """Return the state at step 0 of a run, which is expected no longer."""
        for place, (other, state) in enumerate(self.drawn):
            if other == member:
                del self.drawn[place]
                return state
        if member in self.waiting:
            after = self.waiting[self.waiting.index(member) :]
            alike = (each for each in after if made_of(each) == made_of(member))
            some = [*itertools.islice(alike, ONCE)]
            taken = {*map(id, some)}
            self.waiting = [each for each in self.waiting if id(each) not in taken]
            state, *others = self.many(some)
            self.drawn += zip(some[1:], others, strict=True)
            return state
        known = self.known("begin", *made_of(member)) if self.alone else None
        return self.program.begin(member) if known is None else self.one(member, known)

    def one(self, member: Member, known: str) -> State:
        """Return the state of a run by a program of its own."""
        begin = lambda *given: self.program.begin(Member(given[0], member.cell, given[1]))
        given = np.int32(member.seed), {k: floating(x) for k, x in member.numbers.items()}
        return self.compiled(made_of(member), known, begin, given)(*given)

    def many(self, members: Sequence[Member]) -> list[State]:
        """Return the states of at most `ONCE` runs of one cell, by one program."""
        cell, names = made_of(members[0])
        full = [*members, *[members[-1]] * (ONCE - len(members))]
        seeds = np.array([each.seed for each in full], np.int32)
        numbers = {k: floating([each.numbers[k] for each in full]) for k in names}
        one = lambda given: self.program.begin(Member(given[0], cell, given[1]))
        begin = lambda *given: lax.map(one, given)
        known = self.known("begin many", cell, names, ONCE)
        made = self.compiled((cell, names, ONCE), known, begin, (seeds, numbers))
        states = jax.tree.map(np.asarray, made(seeds, numbers))
        return [jax.tree.map(lambda leaf, k=k: leaf[k], states) for k in range(len(members))]

    def compiled(
        self, key: Any, known: str | None, begin: Callable[..., State], given: tuple[Tree, ...]
    ) -> Callable[..., State]:
        """Return a program, compiled once."""
        for other, made in self.programs:
            if other == key:
                return made
        made = kept_program.compiled(known, begin, lambda: given)
        self.programs.append((key, made))
        return made


def made_of(member: Member) -> tuple[Any, list[str]]:
    """Return what a run's start is made of beside its numbers: its cell, their names."""
    return member.cell, [*member.numbers]


def floating(number: Any) -> np.ndarray:
    """Return numbers as a run holds them."""
    return np.asarray(number, jax.dtypes.canonicalize_dtype(float))
