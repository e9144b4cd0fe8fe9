"""The sums of a tile: v R for a few rows and vectors of units, none of which leaves its register.

R lies in panels, the P n vectors of a tile one after another for each k, so that it is read in order. A
panel that is larger than the first cache is read in blocks of k, each for all rows before the next.

What differs between groups is in a table (`Told`), so that groups of one `Form` share a function, or a loop
in it: an LSTM's kernels are 17 functions that way, of 27, and compile in half the time.

The turns of the loop ask the second cache for what the equations will touch, a few lines each: all at once
they would wait for one another, and the products for them.
"""

# llvmlite leaves its builders untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from llvmlite import ir

from lstm_research.native_math import FLOAT, called
from lstm_research.native_plan import FLOATS, LINE, Memory, Pass, Place, depths, unrolled
from lstm_research.native_tile import POINTER, WORD, Tile, splat, summed, turned, word


class Told(NamedTuple):
    """A group of a pass in numbers: which array it hears, and where its data and its sums lie."""

    entry: int  # of the table of pointers
    column: int
    data: int  # where its panels begin in the packed matrices
    panel: int  # numbers from a panel to the next
    sums: int  # numbers before its first sum
    fresh: int  # 1: its pass begins with it


class Form(NamedTuple):
    """What a group has in common with others: widths are constants, which saves a register each."""

    width: int  # of what it hears
    hears: tuple[int, ...]  # the sums that it adds to
    soon: tuple[int, ...]  # the widths of what it asks memory for


class Kind(NamedTuple):
    """What makes a function: the groups of a call, and how they are cut."""

    groups: tuple[Form, ...]
    sums: int
    rows: int  # of a whole tile
    blocks: int
    tiles: int


class Tables(NamedTuple):
    """Constants of a module: the groups of a stage, the last one twice, and what each asks memory for."""

    groups: Any
    soon: Any
    arrays: int  # that each asks for


def constants(module: ir.Module, name: str, rows: Sequence[Sequence[int]]) -> Any:
    """Write a table of numbers into a module; return where it lies."""
    numbers = [number for row in rows for number in row]
    kind = ir.ArrayType(WORD, len(numbers))
    made = ir.GlobalVariable(module, kind, name)
    made.linkage, made.global_constant = "internal", True
    made.initializer = ir.Constant(kind, numbers)  # pyright: ignore[reportAttributeAccessIssue]
    return made


class Sums(Tile):
    """Writes a function of a tile: (.., panel, block, first group)."""

    def __init__(
        self, module: ir.Module, name: str, memory: Memory, rows: int, wide: int, kind: Kind,
        tables: Tables,
    ) -> None:  # fmt: skip
        """Write it. Memory is asked for arrays of the tile, and for the next block, ahead of their use."""
        super().__init__(module, name, memory, rows, wide, {memory.packed}, 3)
        self.kind, self.tables = kind, tables
        build, lanes, (self.panel, self.block, self.which) = self.build, memory.lanes, self.more
        self.steps = memory.hidden // max(1, kind.blocks)
        self.by = unrolled(self.steps)
        self.tile = build.udiv(self.row, word(kind.rows))
        self.sums = build.gep(self.sums, [self.told(self.which, "sums")], source_etype=FLOAT)
        count = kind.sums * wide * rows
        totals = self.before(count) if kind.blocks else [self.vectors.number(0.0)] * count
        at = 0
        for form, run in groupby(kind.groups):
            many, first = len([*run]), build.add(self.which, word(at))
            one = lambda i, now, form=form, first=first: self.group(build.add(first, i), form, now)
            totals = turned(build, word(many), totals, one) if many > 1 else one(word(0), totals)
            at += many
        for i, total in enumerate(totals):
            build.store(total, self.sum(i), align=lanes * FLOATS)
        build.ret_void()

    def number(self, table: Any, place: Any) -> Any:
        """Return a number of a table."""
        where = self.build.gep(self.build.bitcast(table, POINTER), [place], source_etype=WORD)
        return self.build.load(where, typ=WORD)

    def told(self, group: Any, field: str) -> Any:
        """Return what the table says of a group."""
        at = self.build.mul(group, word(len(Told._fields)))
        return self.number(self.tables.groups, self.build.add(at, word(Told._fields.index(field))))

    def packed(self, group: Any) -> Any:
        """Return where a group of the panel begins."""
        build = self.build
        place = build.mul(self.panel, self.told(group, "panel"))
        place = build.add(place, self.told(group, "data"))
        return build.gep(self.bases[self.memory.packed], [place], source_etype=FLOAT)

    def lying(self, entry: Any, width: int, column: Any, row: Any, unit: Any) -> Any:
        """Return the address of a unit of a row in an array that the table of pointers has."""
        build = self.build
        where = build.gep(self.table, [entry], source_etype=POINTER)
        offset = build.add(build.add(column, unit), build.mul(row, word(width)))
        return build.gep(build.load(where, typ=POINTER), [offset], source_etype=FLOAT)

    def fetch(self, where: Any, near: bool) -> None:
        """Write that a line of memory is asked for; near: for the first cache, else for the second."""
        how = (ir.Constant(ir.IntType(32), n) for n in (0, 3 if near else 2, 1))
        called(self.build, "llvm.prefetch.p0", ir.VoidType(), where, *how)

    def shared(self, turn: Any, share: int) -> Iterator[Any]:
        """Give the lines that are a turn's share, of those that all turns ask for."""
        for i in range(share):
            yield self.build.add(self.build.mul(turn, word(share)), word(i))

    def fetch_array(self, array: Any, width: int, turn: Any) -> None:
        """Write that a turn of all of a tile asks for its share of the tile's lines of an array.

        Turns that are too many ask for the last line again.
        """
        build, across = self.build, -(-self.wide * self.memory.lanes // LINE)
        lines, turns = self.rows * across, self.memory.hidden // self.by
        share, last = -(-lines // turns), word(lines - 1)
        for line in self.shared(turn, share):
            if share * turns > lines:
                line = build.select(build.icmp_signed("<", line, last), line, last)
            unit = build.mul(build.urem(line, word(across)), word(LINE))
            place = build.add(build.mul(build.udiv(line, word(across)), word(width)), unit)
            self.fetch(build.gep(array, [place], source_etype=FLOAT), near=False)

    def soon(self, group: Any, form: Form) -> list[tuple[Any, int]]:
        """Return (where the tile begins, width) of the arrays that a group asks for."""
        build, found = self.build, list[tuple[Any, int]]()
        first = build.mul(group, word(2 * self.tables.arrays))
        for i, width in enumerate(form.soon):
            entry, column = (
                self.number(self.tables.soon, build.add(first, word(2 * i + k))) for k in range(2)
            )
            found.append((self.lying(entry, width, column, self.row, self.unit), width))
        return found

    def following_block(self, group: Any, data: Any, size: int) -> Any:
        """Return where the block after this one lies: of this group, or the first of the next."""
        build = self.build
        other = self.packed(build.add(group, word(1)))
        last = build.icmp_signed("==", self.block, word(self.kind.blocks - 1))
        return build.select(last, other, build.gep(data, [word(size)], source_etype=FLOAT))

    def fetch_block(self, ahead: Any, turn: Any, turns: int, share: int) -> None:
        """Write that a turn of a tile's loop asks for its share of lines of the next block."""
        build = self.build
        before = build.add(turn, build.mul(self.tile, word(turns)))
        for line in self.shared(before, share):
            where = build.mul(line, word(LINE))
            self.fetch(build.gep(ahead, [where], source_etype=FLOAT), near=True)

    def before(self, count: int) -> list[Any]:
        """Return the sums so far; the first block of a pass begins with zeros."""
        build, kind, zero = self.build, self.vectors.type, self.vectors.number(0.0)
        begun, again, after = build.block, build.append_basic_block(), build.append_basic_block()
        fresh = build.icmp_signed("!=", self.told(self.which, "fresh"), word(0))
        first = build.icmp_signed("==", self.block, word(0))
        build.cbranch(build.and_(fresh, first), after, again)
        build.position_at_end(again)
        align = self.memory.lanes * FLOATS
        found = [build.load(self.sum(i), typ=kind, align=align) for i in range(count)]
        build.branch(after)
        build.position_at_end(after)
        totals = [build.phi(kind) for _ in found]
        for total, past in zip(totals, found, strict=True):
            total.add_incoming(zero, begun)
            total.add_incoming(past, again)
        return totals

    def group(self, group: Any, form: Form, totals: list[Any]) -> list[Any]:
        """Write the loop over the units of a block that a group has; return the sums after it."""
        build, vectors, lanes = self.build, self.vectors, self.memory.lanes
        wide = self.wide * len(form.hears)
        past = build.mul(self.block, word(self.steps))
        entry, column = self.told(group, "entry"), self.told(group, "column")
        rows = (build.add(self.row, word(m)) for m in range(self.rows))
        heard = [self.lying(entry, form.width, column, row, past) for row in rows]
        soon, begin = self.soon(group, form), build.mul(past, word(wide * lanes))
        data = build.gep(self.packed(group), [begin], source_etype=FLOAT)
        by, size = self.by, self.steps * wide * lanes
        ahead = self.following_block(group, data, size) if self.kind.blocks else None
        lines = -(-by * wide * lanes // LINE)  # that a turn of the loop reads
        share = -(-lines // self.kind.tiles)  # of as many of the next block, the part of a tile
        places = [(j, p) for j in form.hears for p in range(self.wide)]

        def which(m: int, at: int) -> int:
            j, p = places[at]
            return (j * self.rows + m) * self.wide + p

        def begun(k: Any) -> tuple[Callable[..., Any], ...]:
            line = build.gep(data, [build.mul(k, word(wide * lanes))], source_etype=FLOAT)
            ears = [build.gep(v, [k], source_etype=FLOAT) for v in heard]
            turn = build.udiv(build.add(past, k), word(by))
            for array, width in soon:
                self.fetch_array(array, width, turn)
            if ahead is not None:
                self.fetch_block(ahead, build.udiv(k, word(by)), self.steps // by, share)

            def hear(i: int, m: int) -> Any:
                where = build.gep(ears[m], [word(i)], source_etype=FLOAT)
                return splat(build, build.load(where, typ=FLOAT), lanes)

            def right(i: int, at: int) -> Any:
                where = build.gep(line, [word((i * wide + at) * lanes)], source_etype=FLOAT)
                return build.load(where, typ=vectors.type, align=lanes * FLOATS)

            return hear, right

        return summed(vectors, self.rows, wide, word(self.steps), by, totals, which, begun)


def shares(soon: Sequence[Place], groups: int) -> list[list[Place]]:
    """Return which arrays each group asks for: as many, and of the same widths where that can be."""
    alike = sorted(soon, key=lambda place: place.width)
    slots = range(0, len(alike), groups)
    return [[alike[min(i + slot, len(alike) - 1)] for slot in slots] for i in range(groups)]


def parts(
    module: ir.Module, name: str, memory: Memory, rows: int, wide: int, passes: Sequence[Pass],
    soon: Sequence[Place],
) -> list[tuple[Any, int, int]]:  # fmt: skip
    """Return what a stage's sums call in turn: a function, in how many blocks, with which group first.

    A pass that is not cut is one call, else each of its groups; soon: arrays that the equations touch.
    """
    if not passes:
        return []
    told, calls, begin = list[Told](), list[tuple[Kind, int]](), 0
    asked = shares(soon, sum(len(now.groups) for now in passes))
    for now in passes:
        ahead, groups, first = 0, list[Form](), len(told)
        for operand, terms in now.groups:
            place = memory.inputs.get(operand) or memory.homes[operand]
            data = now.base + ahead * memory.hidden * wide * memory.lanes
            panel = depths(now, memory.hidden) * now.vectors * memory.lanes
            lying = place.entry, place.at * memory.hidden
            sums = begin * wide * rows * memory.lanes
            widths = tuple(each.width for each in asked[len(told)])
            told.append(Told(*lying, data, panel, sums, int(not ahead)))
            groups.append(Form(place.width, tuple(j for j, _ in terms), widths))
            ahead += len(terms)
        cut = len(now.sums), now.rows, now.blocks, now.tiles
        if now.blocks:
            calls += [(Kind((each,), *cut), first + i) for i, each in enumerate(groups)]
        else:
            calls.append((Kind(tuple(groups), *cut), first))
        begin += len(now.sums)
    lying = [(each.entry, each.at * memory.hidden) for some in asked for each in some]
    tables = Tables(
        constants(module, f"{name}_groups", [*told, told[-1]]),
        constants(module, f"{name}_soon", lying) if lying else None, len(asked[0]),
    )  # fmt: skip
    made = {
        kind: Sums(module, f"{name}_{i}", memory, rows, wide, kind, tables).function
        for i, kind in enumerate(dict.fromkeys(kind for kind, _ in calls))
    }
    return [(made[kind], kind.blocks, first) for kind, first in calls]
