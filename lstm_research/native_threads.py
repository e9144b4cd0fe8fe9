"""A call of a kernel with threads of XLA's: how many share it, how they come to it, and how they leave.

They are asked for through XLA's interface: its pool has just helped with a product, and looks for more.
A thread that was made for the call would have to share a core with one that looks. A product of a few
rows reads all of R at each step; two threads read half of it each, where two halves of a batch would read
all of it twice.
"""

# JAX and llvmlite leave types unknown in their own signatures:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
from llvmlite import ir

from lstm_research.cores import ALONE, usable
from lstm_research.foreign import API, CONTEXT, ERROR_DESTROY, SCHEDULE
from lstm_research.native_math import called
from lstm_research.native_team import APART
from lstm_research.native_tile import POINTER, WORD, field, lay, word

LEAST = 200_000  # products of numbers a step, of each thread of a team
AHEAD = 2_000_000  # and of all steps: a thread is there after some ten microseconds
HALF = ir.IntType(32)
ASKED, TOLD = 40, 24  # bytes: what XLA is asked with for a thread, and told with of an error
TICKETS, FIRST = APART, 4 * APART  # words into what is shared: the tickets, the order of a thread
WAITS, RUNS, CALLED_OFF, ENDED = range(4)  # states of an order


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


def call(
    build: ir.IRBuilder, function: Any, size: int, arguments: Any, results: Any, steps: Any,
    frame: Any, flushed: Callable[[ir.IRBuilder], AbstractContextManager[None]],
) -> None:  # fmt: skip
    """Write function(arguments, results, steps, tickets, who), by a team that ends with the call.

    frame: what XLA has handed over; its own threads are the others, which look for work after each product
    of XLA's. One that has not begun when all is done is told not to. What the threads share is on the heap:
    whoever is the last to leave gives it back. flushed: how numbers are rounded in between.
    """
    none = ir.Constant(POINTER, None)
    if size == 1:
        build.call(function, [arguments, results, steps, none, word(0)])
        return
    bytes_ = 8 * (FIRST + (size - 1) * APART)
    shared = called(build, "malloc", POINTER, word(bytes_))
    build.store(word(size), shared)  # who have not left
    parts = arguments, results, build.inttoptr(steps, POINTER)
    lay(build, build.gep(shared, [word(1)], source_etype=POINTER), parts)
    tickets = build.gep(shared, [word(TICKETS)], source_etype=WORD)
    for place in (0, APART, 2 * APART):
        build.store(word(0), build.gep(tickets, [word(place)], source_etype=WORD))
    follow, orders = follower(build.module, function, flushed), list[Any]()
    for who in range(1, size):
        order = build.gep(shared, [word(FIRST + (who - 1) * APART)], source_etype=WORD)
        build.store(word(WAITS), order)
        build.store(shared, build.gep(order, [word(1)], source_etype=POINTER))
        build.store(word(who), build.gep(order, [word(2)], source_etype=WORD))
        orders.append(order)
        schedule(build, frame, follow, order)
    build.call(function, [arguments, results, steps, tickets, word(0)])
    for order in orders:
        look, again, go = (build.append_basic_block() for _ in range(3))
        build.cbranch(turned(build, order, WAITS, CALLED_OFF), go, look)
        build.position_at_end(look)
        now = build.load_atomic(order, "acquire", 8, typ=WORD)
        build.cbranch(build.icmp_signed("==", now, word(RUNS)), again, go)
        build.position_at_end(again)
        called(build, "sched_yield", HALF)
        build.branch(look)
        build.position_at_end(go)
    leave(build, shared)


def schedule(build: ir.IRBuilder, frame: Any, task: Any, order: Any) -> None:
    """Write that XLA is asked for a thread; where there is none, that it is not waited for."""
    none = ir.Constant(POINTER, None)
    api, context = field(build, frame, API), field(build, frame, CONTEXT)
    parts = build.inttoptr(word(ASKED), POINTER), none, context, task, order
    asked = lay(build, build.alloca(POINTER, word(len(parts))), parts)
    function = ir.FunctionType(POINTER, [POINTER]).as_pointer()
    error = build.call(field(build, api, SCHEDULE, function), [asked])
    with build.if_then(build.icmp_unsigned("!=", error, none)):
        parts = build.inttoptr(word(TOLD), POINTER), none, error
        told = lay(build, build.alloca(POINTER, word(len(parts))), parts)
        function = ir.FunctionType(ir.VoidType(), [POINTER]).as_pointer()
        build.call(field(build, api, ERROR_DESTROY, function), [told])
        build.store(word(CALLED_OFF), order)
        leave(build, field(build, order, 8))


def turned(build: ir.IRBuilder, order: Any, before: int, after: int) -> Any:
    """Write that an order passes from one state to another if it is in the first; return whether it was."""
    found = build.cmpxchg(order, word(before), word(after), "acq_rel", "acquire")
    return build.extract_value(found, 1)


def leave(build: ir.IRBuilder, shared: Any) -> None:
    """Write that one thread less shares a call; the last gives the memory back."""
    left = build.atomic_rmw("sub", shared, word(1), "acq_rel")
    with build.if_then(build.icmp_signed("==", left, word(1))):
        called(build, "free", ir.VoidType(), shared)


def follower(module: ir.Module, function: Any, flushed: Any) -> Any:
    """Write and return what another thread runs: the function, unless it comes too late."""
    made = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "follow")
    made.linkage = "internal"
    build, (order,) = ir.IRBuilder(made.append_basic_block()), made.args
    shared = field(build, order, 8)
    with build.if_then(turned(build, order, WAITS, RUNS)):
        arguments, results, steps = (field(build, shared, 8 * i) for i in (1, 2, 3))
        tickets = build.gep(shared, [word(TICKETS)], source_etype=WORD)
        who = field(build, order, 16, WORD)
        with flushed(build):
            build.call(function, [arguments, results, build.ptrtoint(steps, WORD), tickets, who])
        build.atomic_rmw("xchg", order, word(ENDED), "release")
    leave(build, shared)
    build.ret_void()
    return made
