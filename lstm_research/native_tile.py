"""The tile of a kernel: a few rows and vectors of units of one stage, where its functions find values.

For a tile of M rows and P vectors of units, with n sums::

    for k in units:  sum[m, j] += v[m, k] R[k, j]         `native_sums.py`: M P n sums, in registers
    for m, p:        the equations of the stage           `native_equations.py`: a lane a unit
"""

# llvmlite leaves its builders untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from llvmlite import ir

from lstm_research.native_math import FLOAT, Vectors
from lstm_research.native_plan import Memory, Place

WORD, POINTER, BYTE = ir.IntType(64), ir.PointerType(), ir.IntType(8)
ZERO = ir.Constant(WORD, 0)


def word(value: int) -> ir.Constant:
    """Return a whole number."""
    return ir.Constant(WORD, value)


def repeat(build: ir.IRBuilder, count: Any, body: Callable[[Any], None], by: int = 1) -> None:
    """Write a loop over 0, by, .. below count, at least once."""
    before = build.block
    inside, after = build.append_basic_block(), build.append_basic_block()
    build.branch(inside)
    build.position_at_end(inside)
    place = build.phi(WORD)
    place.add_incoming(word(0), before)
    body(place)
    ahead = build.add(place, word(by))
    place.add_incoming(ahead, build.block)
    build.cbranch(build.icmp_signed("<", ahead, count), inside, after)
    build.position_at_end(after)


def field(build: ir.IRBuilder, pointer: Any, bytes_: int, kind: Any = POINTER) -> Any:
    """Return what a structure of C holds so many bytes from where it begins."""
    return build.load(build.gep(pointer, [word(bytes_)], source_etype=BYTE), typ=kind)


def lay(build: ir.IRBuilder, array: Any, parts: Iterable[Any]) -> Any:
    """Write pointers one after another; return where the first lies."""
    for i, part in enumerate(parts):
        build.store(part, build.gep(array, [word(i)], source_etype=POINTER))
    return array


def splat(build: ir.IRBuilder, number: Any, lanes: int) -> Any:
    """Return a number in every lane."""
    kind = ir.VectorType(number.type, lanes)
    zero = ir.Constant(ir.IntType(32), 0)
    one = build.insert_element(ir.Constant(kind, ir.Undefined), number, zero)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
    return build.shuffle_vector(one, ir.Constant(kind, ir.Undefined), mask)


def outer(
    rows: int, wide: int, hear: Callable[[int], Any], right: Callable[[int], Any]
) -> Iterator[tuple[tuple[int, int], tuple[Any, Any]]]:
    """Give every pair of a number and a vector, with their places; the shorter side stays in registers."""
    if rows <= wide:
        heard = [hear(m) for m in range(rows)]
        for p in range(wide):
            r = right(p)
            yield from (((m, p), (v, r)) for m, v in enumerate(heard))
    else:
        rights = [right(p) for p in range(wide)]
        for m in range(rows):
            v = hear(m)
            yield from (((m, p), (v, r)) for p, r in enumerate(rights))


def turned(
    build: ir.IRBuilder, count: Any, totals: list[Any],
    body: Callable[[Any, list[Any]], list[Any]], by: int = 1,
) -> list[Any]:  # fmt: skip
    """Write a loop whose turns pass sums on: body(turn, sums before it) returns those after it."""
    begun, phis, new = build.block, list[Any](), list[Any]()

    def turn(place: Any) -> None:
        for total in totals:
            phis.append(build.phi(total.type))
            phis[-1].add_incoming(total, begun)
        new.extend(body(place, list(phis)))
        for phi, total in zip(phis, new, strict=True):
            phi.add_incoming(total, build.block)

    repeat(build, count, turn, by)
    return new


def summed(
    of: Vectors, rows: int, wide: int, count: Any, by: int, totals: list[Any],
    which: Callable[[int, int], int], begin: Callable[[Any], tuple[Callable[..., Any], ...]],
) -> list[Any]:  # fmt: skip
    """Write a loop over 0, 1, .. below count, `by` of them a turn, that adds to sums in registers.

    totals[which(m, p)] += hear(i, m) right(i, p) for the i-th of a turn; begin(k) is written where a turn
    begins with k, and returns (hear, right). Returns the sums after the loop.
    """

    def turn(k: Any, now: list[Any]) -> list[Any]:
        hear, right = begin(k)
        for i in range(by):
            for (m, p), (v, r) in outer(rows, wide, partial(hear, i), partial(right, i)):
                now[which(m, p)] = of.fma(v, r, now[which(m, p)])
        return now

    return turned(of.build, count, totals, turn, by)


class Tile:
    """Begins a function of a tile: (table of pointers, its sums, first row, first unit, *more words)."""

    def __init__(
        self, module: ir.Module, name: str, memory: Memory, rows: int, wide: int,
        entries: Iterable[int], more: int = 0,
    ) -> None:  # fmt: skip
        """Begin it; rows, wide: its rows, and its vectors of units; entries: of the table, that it reads."""
        self.memory, self.rows, self.wide = memory, rows, wide
        kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, *[WORD] * (2 + more)])
        self.function = ir.Function(module, kind, name)
        self.function.linkage = "internal"
        self.table, self.sums, self.row, self.unit, *self.more = self.function.args
        self.build = ir.IRBuilder(self.function.append_basic_block())
        self.vectors = Vectors(self.build, memory.lanes)
        self.bases = {entry: self.entry(entry) for entry in sorted(entries)}

    def entry(self, at: int) -> Any:
        """Return a pointer of the table."""
        where = self.build.gep(self.table, [word(at)], source_etype=POINTER)
        return self.build.load(where, typ=POINTER)

    def address(self, place: Place, row: Any, unit: Any) -> Any:
        """Return the address of a unit of a row in a block."""
        build, offset = self.build, unit
        if place.at:
            offset = build.add(offset, word(place.at * self.memory.hidden))
        if place.width:
            offset = build.add(offset, build.mul(row, word(place.width)))
        return build.gep(self.bases[place.entry], [offset], source_etype=FLOAT)

    def sum(self, place: Any) -> Any:
        """Return the address of a vector of the tile's sums."""
        lanes = self.memory.lanes
        known = isinstance(place, int)
        offset = word(place * lanes) if known else self.build.mul(place, word(lanes))
        return self.build.gep(self.sums, [offset], source_etype=FLOAT)
