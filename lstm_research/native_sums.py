"""The sums of a tile: v R for a few rows and vectors of units, none of which leaves its register.

R lies in panels, the P n vectors of a tile one after another for each k, so that it is read in order. A
panel that is larger than the first cache is read in blocks of k, each for all rows before the next.

The turns of the loop ask the second cache for what the equations will touch, a few lines each: all at once
they would wait for one another, and the products for them.
"""

# llvmlite leaves its builders untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from llvmlite import ir

from lstm_research.native_math import FLOAT, called
from lstm_research.native_plan import FLOATS, LINE, Memory, Pass, Place, depths, unrolled
from lstm_research.native_stages import Block
from lstm_research.native_tile import Tile, splat, summed, word


class Part(NamedTuple):
    """Groups of a pass that a function multiplies: all of them, or one that is cut into blocks."""

    now: Pass
    begin: int  # sums of passes before
    groups: Sequence[tuple[Any, Sequence[tuple[int, Block]]]]
    ahead: int  # matrix blocks of groups before


class Sums(Tile):
    """Writes the function of a part: (.., panel, block)."""

    def __init__(
        self, module: ir.Module, name: str, memory: Memory, rows: int, wide: int, part: Part,
        following: Part | None, soon: Sequence[Place],
    ) -> None:  # fmt: skip
        """Write it; following: the part after it; soon: arrays that the equations of the tile touch.

        Memory is asked for these, and for the next block, before they are needed.
        """
        now, self.following = part.now, following
        homes = [memory.inputs.get(v) or memory.homes[v] for v, _ in part.groups]
        entries = {place.entry for place in (*homes, *soon)}
        super().__init__(module, name, memory, rows, wide, entries | {memory.packed}, 2)
        build, lanes, (self.panel, self.block) = self.build, memory.lanes, self.more
        self.cut, self.tiles = now.blocks, now.tiles
        self.steps = memory.hidden // max(1, now.blocks)
        self.tile = build.udiv(self.row, word(now.rows))
        data = self.packed(part)
        count, first = len(now.sums) * wide * rows, part.begin * wide * rows
        if part.ahead or now.blocks > 1:
            totals = self.before(first, count, not part.ahead)
        else:
            totals = [self.vectors.number(0.0)] * count
        for i, (operand, terms) in enumerate(part.groups):
            mine = soon[i :: len(part.groups)]
            totals = self.group(operand, terms, data, totals, mine)
            size = len(terms) * memory.hidden * wide * lanes
            data = build.gep(data, [word(size)], source_etype=FLOAT)
        for i, total in enumerate(totals):
            build.store(total, self.sum(word(first + i)), align=lanes * FLOATS)
        build.ret_void()

    def packed(self, part: Part) -> Any:
        """Return where a part of the panel begins."""
        build, memory, lanes = self.build, self.memory, self.memory.lanes
        size = depths(part.now, memory.hidden) * part.now.vectors * lanes
        place = build.add(word(part.now.base), build.mul(self.panel, word(size)))
        place = build.add(place, word(part.ahead * memory.hidden * self.wide * lanes))
        return build.gep(self.bases[memory.packed], [place], source_etype=FLOAT)

    def fetch(self, where: Any, near: bool) -> None:
        """Write that a line of memory is asked for; near: for the first cache, else for the second."""
        how = (ir.Constant(ir.IntType(32), n) for n in (0, 3 if near else 2, 1))
        called(self.build, "llvm.prefetch.p0", ir.VoidType(), where, *how)

    def shared(self, turn: Any, share: int) -> Iterator[Any]:
        """Give the lines that are a turn's share, of those that all turns ask for."""
        for i in range(share):
            yield self.build.add(self.build.mul(turn, word(share)), word(i))

    def fetch_array(self, place: Place, turn: Any, turns: int) -> None:
        """Write that a turn of all of a tile asks for its share of the tile's lines of an array.

        Turns that are too many ask for the last line again.
        """
        build, across = self.build, -(-self.wide * self.memory.lanes // LINE)
        lines = self.rows * across
        share, last = -(-lines // turns), word(lines - 1)
        for line in self.shared(turn, share):
            if share * turns > lines:
                line = build.select(build.icmp_signed("<", line, last), line, last)
            row = build.add(self.row, build.udiv(line, word(across)))
            unit = build.mul(build.urem(line, word(across)), word(LINE))
            self.fetch(self.address(place, row, build.add(self.unit, unit)), near=False)

    def following_block(self, data: Any, size: int) -> Any:
        """Return where the block after this one lies; after the last of a panel that of this one."""
        build = self.build
        other = data if self.following is None else self.packed(self.following)
        last = build.icmp_signed("==", self.block, word(self.cut - 1))
        return build.select(last, other, build.gep(data, [word(size)], source_etype=FLOAT))

    def fetch_block(self, ahead: Any, turn: Any, turns: int, share: int) -> None:
        """Write that a turn of a tile's loop asks for its share of lines of the next block."""
        build = self.build
        before = build.add(turn, build.mul(self.tile, word(turns)))
        for line in self.shared(before, share):
            where = build.mul(line, word(LINE))
            self.fetch(build.gep(ahead, [where], source_etype=FLOAT), near=True)

    def before(self, first: int, count: int, fresh: bool) -> list[Any]:
        """Return the sums so far; fresh: the first block begins with zeros."""
        build, kind, zero = self.build, self.vectors.type, self.vectors.number(0.0)
        align, places = self.memory.lanes * FLOATS, range(first, first + count)
        read = lambda: [build.load(self.sum(word(i)), typ=kind, align=align) for i in places]
        if not fresh:
            return read()
        begun, again, after = build.block, build.append_basic_block(), build.append_basic_block()
        build.cbranch(build.icmp_signed("==", self.block, word(0)), after, again)
        build.position_at_end(again)
        found = read()
        build.branch(after)
        build.position_at_end(after)
        totals = [build.phi(kind) for _ in found]
        for total, past in zip(totals, found, strict=True):
            total.add_incoming(zero, begun)
            total.add_incoming(past, again)
        return totals

    def group(
        self, operand: Any, terms: Sequence[tuple[int, Block]], data: Any, totals: list[Any],
        soon: Sequence[Place],
    ) -> list[Any]:  # fmt: skip
        """Write the loop over the units of a block that an operand has; return the sums after it."""
        build, vectors, memory = self.build, self.vectors, self.memory
        place = memory.inputs.get(operand) or memory.homes[operand]
        wide, lanes = self.wide * len(terms), memory.lanes
        past = build.mul(self.block, word(self.steps))
        heard = [self.address(place, build.add(self.row, word(m)), past) for m in range(self.rows)]
        data = build.gep(data, [build.mul(past, word(wide * lanes))], source_etype=FLOAT)
        by = unrolled(self.steps)
        ahead = self.following_block(data, self.steps * wide * lanes) if self.cut else None
        lines = -(-by * wide * lanes // LINE)  # that a turn of the loop reads
        share = -(-lines // self.tiles)  # of as many of the next block, the part of a tile
        places = [(j, p) for j, _ in terms for p in range(self.wide)]

        def which(m: int, at: int) -> int:
            j, p = places[at]
            return (j * self.rows + m) * self.wide + p

        def begin(k: Any) -> tuple[Callable[..., Any], ...]:
            line = build.gep(data, [build.mul(k, word(wide * lanes))], source_etype=FLOAT)
            ears = [build.gep(v, [k], source_etype=FLOAT) for v in heard]
            turn = build.udiv(build.add(past, k), word(by))
            for array in soon:
                self.fetch_array(array, turn, memory.hidden // by)
            if ahead is not None:
                self.fetch_block(ahead, build.udiv(k, word(by)), self.steps // by, share)

            def hear(i: int, m: int) -> Any:
                where = build.gep(ears[m], [word(i)], source_etype=FLOAT)
                return splat(build, build.load(where, typ=FLOAT), lanes)

            def right(i: int, at: int) -> Any:
                where = build.gep(line, [word((i * wide + at) * lanes)], source_etype=FLOAT)
                return build.load(where, typ=vectors.type, align=lanes * FLOATS)

            return hear, right

        return summed(vectors, self.rows, wide, word(self.steps), by, totals, which, begin)


def parts(
    module: ir.Module, name: str, memory: Memory, rows: int, wide: int, passes: Sequence[Pass],
    soon: Sequence[Place],
) -> list[tuple[Any, int]]:  # fmt: skip
    """Return the functions of a stage's sums in their order, and into how many blocks each is cut."""
    every, begin = list[Part](), 0
    for now in passes:
        ahead = 0
        for some in [(group,) for group in now.groups] if now.blocks else [now.groups]:
            every.append(Part(now, begin, some, ahead))
            ahead += len(some[0][1])
        begin += len(now.sums)
    made = [
        Sums(module, f"{name}_{i}", memory, rows, wide, part, after, soon[i :: len(every)])
        for i, (part, after) in enumerate(zip(every, [*every, None][1:], strict=True))
    ]
    return [(each.function, part.now.blocks) for each, part in zip(made, every, strict=True)]
