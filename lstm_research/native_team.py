"""Threads that share one call of a kernel: the panels of a stage are tickets, and who is free takes one.

All threads run the same function over the same steps. Work that is shared begins when all that was
shared before it has ended. Two numbers say how far a team is, counted through the whole call: `next`, the
first ticket that nobody has, and `done`, how many have ended. So nobody waits for a thread that comes
late or never: it passes by what others have done. Every number is computed in the same way whoever
computes it.

On a busy machine a thread is sent away in the middle of a ticket, for milliseconds, and all wait for it.
The first thread, which began the call, sends the others to sleep where it has waited for longer than
several tickets take, and wakes them after it has worked alone for twice as long, then four times, ..

A product of a few rows reads all of R at each step; two threads read half of it each, where two halves
of a batch would read all of it twice.
"""

# JAX and llvmlite leave types unknown in their own signatures:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import os
import platform
from collections.abc import Callable
from typing import Any

import jax
from llvmlite import ir

from lstm_research.cores import ALONE, usable
from lstm_research.native_math import called
from lstm_research.native_tile import POINTER, WORD, repeat, word

LEAST = 200_000  # products of numbers a step, of each thread of a team
AHEAD = 2_000_000  # and of all steps: a thread is there after some ten microseconds
APART = 16  # words between numbers that threads write: two lines of a cache
PATIENCE = 256  # looks at a number that others change, before the processor is left to them
LONG, SLACK = 8, 200_000  # tickets, and cycles more, that the first thread waits for another
AGAIN = 2  # times what it has waited: for so long it works alone then, at first
NAP = 100  # microseconds
HALF = ir.IntType(32)
BEGIN, END = "pthread_create", "pthread_join"
TOLD = (POINTER, POINTER, WORD, POINTER, WORD)  # kinds of the arguments of a thread's function


def threads() -> int:
    """Return how many threads a program of XLA may use within an operation."""
    alone = ALONE in os.environ.get("XLA_FLAGS", "")
    if alone or os.name != "posix" or jax.local_device_count() > 1:  # other cores have other work
        return 1
    return usable()


def size(products: int, steps: int) -> int:
    """Return how many threads share a call; products: of numbers, at a step."""
    if products < 2 * LEAST or products * steps < AHEAD:
        return 1
    return min(threads(), products // LEAST)


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


def call(
    build: ir.IRBuilder, function: Any, size: int, arguments: Any, results: Any, steps: Any
) -> None:
    """Write function(arguments, results, steps, tickets, who), by a team that ends with the call.

    Threads begin with the state of this one's arithmetic; one that cannot be had is not waited for.
    """
    none = ir.Constant(POINTER, None)
    if size == 1:
        build.call(function, [arguments, results, steps, none, word(0)])
        return
    tickets = build.alloca(WORD, word(3 * APART))
    tickets.align = 8 * APART  # pyright: ignore[reportAttributeAccessIssue]
    for place in (0, APART, 2 * APART):
        build.store(word(0), build.gep(tickets, [word(place)], source_etype=WORD))
    follow, threads = follower(build.module, function), list[tuple[Any, Any]]()
    for who in range(1, size):
        order, thread = build.alloca(POINTER, word(len(TOLD))), build.alloca(WORD)
        for i, part in enumerate((arguments, results, steps, tickets, word(who))):
            kept = build.inttoptr(part, POINTER) if TOLD[i] is WORD else part
            build.store(kept, build.gep(order, [word(i)], source_etype=POINTER))
        threads.append((thread, called(build, BEGIN, HALF, thread, none, follow, order)))
    build.call(function, [arguments, results, steps, tickets, word(0)])
    for thread, failed in threads:
        with build.if_then(build.icmp_signed("==", failed, ir.Constant(HALF, 0))):
            called(build, END, HALF, build.load(thread), none)


def follower(module: ir.Module, function: Any) -> Any:
    """Write and return what another thread runs: the function, as it is told."""
    made = ir.Function(module, ir.FunctionType(POINTER, [POINTER]), "follow")
    made.linkage = "internal"
    build = ir.IRBuilder(made.append_basic_block())
    told: list[Any] = []
    for i, kind in enumerate(TOLD):
        part = build.load(build.gep(made.args[0], [word(i)], source_etype=POINTER), typ=POINTER)
        told.append(build.ptrtoint(part, WORD) if kind is WORD else part)
    build.call(function, told)
    build.ret(ir.Constant(POINTER, None))
    return made
