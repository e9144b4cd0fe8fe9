"""The hash of Threefry as a function that XLA calls, a vector of numbers at a time::

    ks = (k1, k2, k1 ^ k2 ^ 0x1BD11BDA);  x, y = x + ks[0], y + ks[1]
    x, y = x + y, rotated(y, r) ^ (x + y)        20 rounds, r = 13 15 26 6 17 29 16 24 and again
    x, y = x + ks[i], y + ks[i + 1] + i          after every fourth, i = 1 .. 5, ks in a circle

Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

# llvmlite leaves its builders untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
from functools import partial
from typing import Any

from llvmlite import ir

from lstm_research import foreign, native_call
from lstm_research.foreign import ARGUMENTS, RESULTS, SIDES
from lstm_research.native_mark import sources
from lstm_research.native_math import INT, Vectors, called
from lstm_research.native_plan import FLOATS
from lstm_research.native_tile import WORD, field, repeat, splat, word

TURNS = (13, 15, 26, 6), (17, 29, 16, 24)  # by how many bits a round rotates
PARITY = 0x1BD11BDA


def registered(one: bool) -> str:
    """Return the name by which XLA calls the hash of flat arrays (k1, k2, x, y); one: key for all numbers."""
    made_of = "threefry", one, sources(), *native_call.machine()
    known = hashlib.sha256(repr(made_of).encode()).hexdigest()
    native_call.provide(known, partial(text, one))
    return foreign.named(known)


def text(one: bool) -> str:
    """Return the module of the hash."""
    module = ir.Module("threefry")
    build, frame = native_call.entered(module)
    arrays = [native_call.array(build, frame, ARGUMENTS, i) for i in range(4)]
    arrays += [native_call.array(build, frame, RESULTS, i) for i in range(2)]
    sides = field(build, native_call.buffer(build, frame, ARGUMENTS, 2), SIDES)
    count: Any = build.load(sides, typ=WORD)
    lanes = native_call.processor().lanes
    left = build.urem(count, word(lanes))
    whole = build.sub(count, left)
    for many, begin, end in ((lanes, word(0), whole), (1, whole, count)):
        with build.if_then(build.icmp_signed("<", begin, end)):
            some = Vectors(build, many)
            each = lambda place, some=some, begin=begin: write(
                some, arrays, one, build.add(begin, place)
            )
            repeat(build, build.sub(end, begin), each, many)
    build.ret(native_call.NONE)
    return str(module)


def write(of: Vectors, arrays: list[Any], one: bool, place: Any) -> None:
    """Write the hash of a vector of numbers, from a place of its arrays on."""
    build = of.build

    def at(array: Any) -> Any:
        return build.gep(array, [place], source_etype=INT)

    def load(array: Any) -> Any:
        return build.load(at(array), typ=of.ints, align=FLOATS)

    alike = lambda array: splat(build, build.load(array, typ=INT), of.lanes)
    made = hashed(of, *map(alike if one else load, arrays[:2]), *map(load, arrays[2:4]))
    for value, array in zip(made, arrays[4:], strict=True):
        build.store(value, at(array), align=FLOATS)


def hashed(of: Vectors, k1: Any, k2: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Write the rounds; return x and y after them."""
    build = of.build
    ks = k1, k2, build.xor(build.xor(k1, k2), of.whole(PARITY))
    x, y = build.add(x, ks[0]), build.add(y, ks[1])
    for i in range(5):
        for turn in TURNS[i % 2]:
            x = build.add(x, y)
            by = of.whole(turn)
            y = build.xor(x, called(build, f"llvm.fshl.v{of.lanes}i32", of.ints, y, y, by))
        x = build.add(x, ks[(i + 1) % 3])
        y = build.add(build.add(y, ks[(i + 2) % 3]), of.whole(i + 1))
    return x, y
