"""Threads that share one call of a kernel: the panels of a stage are tickets, and who is free takes one.

All threads run the same function over the same steps. Work that is shared begins when all that was
shared before it has ended. Two numbers say how far a team is, counted through the whole call: `next`, the
first ticket that nobody has, and `done`, how many have ended. So nobody waits for a thread that comes
late or never: it passes by what others have done. Every number is computed in the same way whoever
computes it.

On a busy machine a thread is sent away in the middle of a ticket, for milliseconds, and all wait for it.
The first thread, which began the call, sends the others to sleep where it has waited for longer than
several tickets take, and wakes them after it has worked alone for twice as long, then four times, ..
"""

# JAX and llvmlite leave types unknown in their own signatures:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import platform
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from lstm_research.native_math import called
from lstm_research.native_tile import WORD, repeat, word

APART = 16  # words between numbers that threads write: two lines of a cache
PATIENCE = 256  # looks at a number that others change, before the processor is left to them
LONG, SLACK = 8, 200_000  # tickets, and cycles more, that the first thread waits for another
AGAIN = 2  # times what it has waited: for so long it works alone then, at first
NAP = 100  # microseconds
HALF = ir.IntType(32)


class Team:
    """Writes what a thread of a team does of shared work, within one function."""

    def __init__(self, build: ir.IRBuilder, size: int, tickets: Any, who: Any) -> None:
        """Take the first ticket; tickets: where `next`, `done` and `sleep` lie; who: 0 the first thread."""
        self.build, self.size = build, size
        if size > 1:
            self.next, self.done, self.sleep = (
                build.gep(tickets, [word(i * APART)], source_etype=WORD) for i in range(3)
            )
            self.first = build.icmp_signed("==", who, word(0))
            names = "begin", "mine", "took", "alone", "more"
            self.at = {name: build.alloca(WORD, name=name) for name in names}
            for name, value in zip(names, (0, 0, 1, 0, AGAIN), strict=True):
                build.store(word(value), self.at[name])
            self.take()

    def take(self) -> None:
        """Write that a ticket is taken which nobody has."""
        ticket = self.build.atomic_rmw("add", self.next, word(1), "monotonic")
        self.build.store(ticket, self.at["mine"])

    def share(self, count: int, body: Callable[[Any], Any]) -> None:
        """Write body(0), body(1), .. below count, each done by one thread."""
        build = self.build
        if self.size == 1:
            repeat(build, word(count), body)
            return
        at = self.at
        begin = build.load(at["begin"])
        end = build.add(begin, word(count))
        build.store(end, at["begin"])
        ask, inside, after = (build.append_basic_block() for _ in range(3))
        build.branch(ask)
        build.position_at_end(ask)
        mine = build.load(at["mine"])
        build.cbranch(build.icmp_signed("<", mine, end), inside, after)
        build.position_at_end(inside)
        self.wait(begin)
        now = self.clock()
        body(build.sub(mine, begin))
        build.atomic_rmw("add", self.done, word(1), "release")
        took = build.sub(self.clock(), now)
        build.store(build.add(took, word(1)), at["took"])
        self.rest()
        self.take()
        build.branch(ask)
        build.position_at_end(after)

    def clock(self) -> Any:
        """Return the cycles so far; 0 where a program may not read them: no wait is too long then."""
        if platform.machine() not in ("x86_64", "AMD64"):
            return word(0)
        return called(self.build, "llvm.readcyclecounter", WORD)

    def rest(self) -> None:
        """Write that the first thread counts what it does alone, while others sleep."""
        build, alone = self.build, self.at["alone"]
        with build.if_else(self.first) as (first, others):
            with first:
                left = build.load(alone)
                with build.if_then(build.icmp_signed(">", left, word(0))):
                    build.store(build.sub(left, word(1)), alone)
                    with build.if_then(build.icmp_signed("==", left, word(1))):
                        again = build.mul(build.load(self.at["more"]), word(2))
                        build.store(again, self.at["more"])
                        self.wake()
            with others:
                look, nap, go = (build.append_basic_block() for _ in range(3))
                build.branch(look)
                build.position_at_end(look)
                told = build.load_atomic(self.sleep, "monotonic", 8, typ=WORD)
                build.cbranch(build.icmp_signed("!=", told, word(0)), nap, go)
                build.position_at_end(nap)
                called(build, "usleep", HALF, ir.Constant(HALF, NAP))
                build.branch(look)
                build.position_at_end(go)

    def wake(self) -> None:
        """Write that nobody need sleep."""
        if self.size > 1:
            self.build.atomic_rmw("xchg", self.sleep, word(0), "monotonic")

    def panels(self, units: int, wide: int, body: Callable[[Any, int], None]) -> None:
        """Write body(place, vectors) for each panel of `wide` vectors of units, and one of the rest."""
        whole, left = divmod(units, wide)
        if self.size == 1:
            if whole:
                repeat(self.build, word(whole), lambda place: body(place, wide))
            if left:
                body(word(whole), left)
        else:
            self.share(whole + bool(left), lambda place: one(self.build, place, units, wide, body))

    def wait(self, count: Any) -> None:
        """Write that as many tickets have ended, after which all that they wrote is seen."""
        build, since = self.build, self.clock()
        before = build.block
        look, again, leave, go = (build.append_basic_block() for _ in range(4))
        build.branch(look)
        build.position_at_end(look)
        looks = build.phi(WORD)
        looks.add_incoming(word(1), before)
        done = build.load_atomic(self.done, "acquire", 8, typ=WORD)
        build.cbranch(build.icmp_signed(">=", done, count), go, again)
        build.position_at_end(again)
        more = build.add(looks, word(1))
        looks.add_incoming(more, again)
        late = build.icmp_signed("==", build.urem(looks, word(PATIENCE)), word(0))
        build.cbranch(late, leave, look)
        build.position_at_end(leave)
        took, waited = build.load(self.at["took"]), build.sub(self.clock(), since)
        most = build.add(build.mul(took, word(LONG)), word(SLACK))
        with build.if_then(build.and_(self.first, build.icmp_signed(">", waited, most))):
            build.atomic_rmw("xchg", self.sleep, word(1), "monotonic")
            alone = build.mul(build.load(self.at["more"]), build.sdiv(waited, took))
            build.store(build.add(alone, word(1)), self.at["alone"])
        called(build, "sched_yield", HALF)
        looks.add_incoming(more, build.block)
        build.branch(look)
        build.position_at_end(go)


def one(
    build: ir.IRBuilder, place: Any, units: int, wide: int, body: Callable[[Any, int], None]
) -> None:
    """Write body(place, vectors) for a panel, whichever it is."""
    whole, left = divmod(units, wide)
    if not left or not whole:
        body(place, wide if whole else left)
        return
    with build.if_else(build.icmp_signed("<", place, word(whole))) as (full, rest):
        with full:
            body(place, wide)
        with rest:
            body(place, left)
