"""The products of a kernel that sum over steps: dR += v^T dz for all v that hear a dz, some steps at a time.

A tile of dR stays in registers for all rows of those steps. The columns of dz that a panel of tiles needs
are copied side by side first: rows of 4 H numbers, a power of two apart, would push each other out of
the first cache.
"""

# llvmlite leaves its builders untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir

from lstm_research.native_math import FLOAT, Vectors
from lstm_research.native_plan import Product, Spec, split, tiled
from lstm_research.native_team import one
from lstm_research.native_tile import FLOATS, POINTER, WORD, outer, repeat, splat, word


class Side(NamedTuple):
    """One left side of a product: v and dR, the widths of both, and the first column."""

    heard: Any
    target: Any
    read: int
    wide: int
    column: int


class Summed:
    """Writes the function (free, rows, panel, dz, then v and dR of each): a panel of a product's columns."""

    def __init__(self, module: ir.Module, name: str, spec: Spec, product: Product) -> None:
        """Write it; free: room for the columns of a panel."""
        outputs, self.lanes, self.most = spec.outputs, spec.lanes, spec.registers
        self.width = outputs[product.dz].width
        units = self.width // spec.lanes
        widest = max(heard.width for heard, _, _ in product.each)
        self.vectors = tiled(widest, units, 1, spec.registers)[1]
        self.panels = -(-units // self.vectors)
        kind = ir.FunctionType(
            ir.VoidType(), [POINTER, WORD, WORD, POINTER, *[POINTER] * 2 * len(product.each)]
        )
        self.function = ir.Function(module, kind, name)
        self.function.linkage = "internal"
        self.free, self.count, place, self.dz, *arrays = self.function.args
        self.sides = [
            Side(v, dr, heard.width, outputs[target].width, column)
            for v, dr, (heard, target, column) in zip(
                arrays[::2], arrays[1::2], product.each, strict=True
            )
        ]
        self.build = ir.IRBuilder(self.function.append_basic_block())
        self.of = Vectors(self.build, spec.lanes)
        one(self.build, place, units, self.vectors, self.panel)
        self.build.ret_void()

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
            most = min(side.read, max(1, self.most // wide))
            for rows, many in split(side.read, most):
                top = 0 if rows == most else side.read - rows
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
            begun, phis, new = build.block, list[Any](), list[Any]()

            def step(row: Any) -> None:
                for total in totals:
                    phis.append(build.phi(self.of.type))
                    phis[-1].add_incoming(total, begun)
                start = build.add(build.mul(row, word(side.read)), line)
                rights = build.mul(row, word(wide * lanes))
                right = lambda p: self.load(self.free, build.add(rights, word(p * lanes)))

                def hear(m: int) -> Any:
                    where = build.gep(side.heard, [build.add(start, word(m))], source_etype=FLOAT)
                    return splat(build, build.load(where, typ=FLOAT), lanes)

                now = list(phis)
                for (m, p), (v, r) in outer(rows, wide, hear, right):
                    now[m * wide + p] = self.of.fma(v, r, now[m * wide + p])
                new.extend(now)

            repeat(build, self.count, step)
            inside = phis[0].parent
            for phi, total, target in zip(phis, new, targets, strict=True):
                phi.add_incoming(total, inside)
                where = build.gep(side.target, [target], source_etype=FLOAT)
                build.store(total, where, align=FLOATS)

        return body
