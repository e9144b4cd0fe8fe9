"""The products of a kernel that sum over steps: dR += v^T dz for all v that hear a dz, some steps at a time.

A tile of dR stays in registers for all rows of those steps. What it reads is copied side by side first:
v for all panels, the columns of dz for one of them. Rows of H numbers, a power of two apart, would push
each other out of the first cache, and a tile reads a few numbers of each.
"""

# llvmlite leaves its builders untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir

from lstm_research.native_math import FLOAT, Vectors
from lstm_research.native_plan import FLOATS, LINE, Product, Spec, split, tiled, unrolled
from lstm_research.native_team import one
from lstm_research.native_tile import POINTER, WORD, repeat, splat, summed, word


class Side(NamedTuple):
    """One left side of a product: v and dR, the widths of both, and the first column."""

    heard: Any
    target: Any
    read: int
    wide: int
    column: int
    before: int  # numbers of a row that the sides before have
    tall: int  # numbers of a row that a tile reads


class Summed:
    """Writes the functions of a product: `gather` copies v, `function` adds to a panel of dR's columns.

    gather(room, rows, part, v of each); function(free, room, rows, panel, dz, dR of each). free: room for
    the columns of a panel.
    """

    def __init__(self, module: ir.Module, name: str, spec: Spec, product: Product) -> None:
        """Write them."""
        outputs, self.lanes = spec.outputs, spec.lanes
        self.width = outputs[product.dz].width
        units = self.width // spec.lanes
        widest = max(heard.width for heard, _, _ in product.each)
        tall, self.vectors = tiled(widest, units, 1, spec.registers)
        self.panels = -(-units // self.vectors)
        many = [POINTER] * len(product.each)
        kinds = [POINTER, WORD, WORD, *many], [POINTER, POINTER, WORD, WORD, POINTER, *many]
        self.gather, self.function = (
            ir.Function(module, ir.FunctionType(ir.VoidType(), kind), f"{name}_{i}")
            for i, kind in enumerate(kinds)
        )
        self.gather.linkage = self.function.linkage = "internal"
        self.free, self.room, self.count, place, self.dz, *targets = self.function.args
        self.sides, before = list[Side](), 0
        for v, dr, (heard, target, column) in zip(
            self.gather.args[3:], targets, product.each, strict=True
        ):
            each = heard.width, outputs[target].width, column, before, min(tall, heard.width)
            self.sides.append(Side(v, dr, *each))
            before += heard.width
        self.by = unrolled(spec.rows)
        self.parts = sum(many for side in self.sides for *_, many in self.pieces(side))
        self.build = ir.IRBuilder(self.function.append_basic_block())
        self.of = Vectors(self.build, spec.lanes)
        one(self.build, place, units, self.vectors, self.panel)
        self.build.ret_void()
        self.write_gather()

    def pieces(self, side: Side) -> list[tuple[int, int, int, int]]:
        """Return (first number, numbers of a tile, tiles, how many) of the like parts of a row."""
        found, at = list[tuple[int, int, int, int]](), 0
        for tall, tiles in split(side.read, side.tall):
            for some, many in split(tiles, max(1, LINE // tall)):
                found.append((at, tall, some, many))
                at += many * some * tall
        return found

    def write_gather(self) -> None:
        """Write the copying of a part of v: the numbers of a tile of all rows one after another."""
        build = ir.IRBuilder(self.gather.append_basic_block())
        room, count, part, *_ = self.gather.args
        begin = 0
        for side in self.sides:
            for at, tall, some, many in self.pieces(side):
                which = build.sub(part, word(begin))
                with build.if_then(build.icmp_unsigned("<", which, word(many))):
                    first = build.add(word(at), build.mul(which, word(some * tall)))
                    repeat(build, count, copied(build, side, room, count, first, tall, some))
                begin += many
        build.ret_void()

    def panel(self, place: Any, wide: int) -> None:
        """Write the tiles of a panel of some vectors."""
        build, lanes = self.build, self.lanes
        first = build.mul(place, word(self.vectors * lanes))

        def copy(row: Any) -> None:
            source = build.add(build.mul(row, word(self.width)), first)
            for p in range(wide):
                value = self.load(self.dz, build.add(source, word(p * lanes)))
                place = build.add(build.mul(row, word(wide * lanes)), word(p * lanes))
                where = build.gep(self.free, [place], source_etype=FLOAT)
                build.store(value, where, align=FLOATS)

        repeat(build, self.count, copy)
        for side in self.sides:
            for rows, many in split(side.read, side.tall):
                top = 0 if rows == side.tall else side.read - rows
                repeat(build, word(many), self.tile(side, rows, top, wide, first))

    def load(self, pointer: Any, place: Any) -> Any:
        """Return a vector."""
        where = self.build.gep(pointer, [place], source_etype=FLOAT)
        return self.build.load(where, typ=self.of.type, align=FLOATS)

    def tile(self, side: Side, rows: int, top: int, wide: int, first: Any) -> Callable[[Any], None]:
        """Return what writes a tile of dR: `rows` of its rows, from `top` on, and a panel's columns."""
        build, lanes = self.build, self.lanes

        def body(place: Any) -> None:
            line = build.add(build.mul(place, word(rows)), word(top))
            targets: list[Any] = []
            for m in range(rows):
                row = build.mul(build.add(line, word(m)), word(side.wide))
                row = build.add(build.add(row, word(side.column)), first)
                targets += [build.add(row, word(p * lanes)) for p in range(wide)]
            totals = [self.load(side.target, each) for each in targets]
            first_ear = build.mul(self.count, build.add(line, word(side.before)))
            ears = build.gep(self.room, [first_ear], source_etype=FLOAT)

            def begin(row: Any) -> tuple[Callable[..., Any], ...]:
                start, rights = build.mul(row, word(rows)), build.mul(row, word(wide * lanes))
                heard = build.gep(ears, [start], source_etype=FLOAT)
                line = build.gep(self.free, [rights], source_etype=FLOAT)

                def hear(i: int, m: int) -> Any:
                    where = build.gep(heard, [word(i * rows + m)], source_etype=FLOAT)
                    return splat(build, build.load(where, typ=FLOAT), lanes)

                return hear, lambda i, p: self.load(line, word((i * wide + p) * lanes))

            which = lambda m, p: m * wide + p
            new = summed(self.of, rows, wide, self.count, self.by, totals, which, begin)
            for total, target in zip(new, targets, strict=True):
                where = build.gep(side.target, [target], source_etype=FLOAT)
                build.store(total, where, align=FLOATS)

        return body


def copied(
    build: ir.IRBuilder, side: Side, room: Any, count: Any, first: Any, tall: int, some: int
) -> Callable[[Any], None]:
    """Return what copies from a row the numbers of some tiles, from the first number on."""
    kind = ir.VectorType(FLOAT, tall)

    def one_row(row: Any) -> None:
        for n in range(some):
            number = build.add(first, word(n * tall))
            source = build.add(build.mul(row, word(side.read)), number)
            begin = build.mul(count, build.add(number, word(side.before)))
            target = build.add(begin, build.mul(row, word(tall)))
            source = build.gep(side.heard, [source], source_etype=FLOAT)
            value = build.load(source, typ=kind, align=FLOATS)
            build.store(value, build.gep(room, [target], source_etype=FLOAT), align=FLOATS)

    return one_row
