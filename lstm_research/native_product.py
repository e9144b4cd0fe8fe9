"""The product of a kernel that sums over steps: dR += v^T dz, some steps at a time.

A tile of dR stays in registers for all rows of those steps. The columns of dz that a panel of tiles needs
are copied side by side first: rows of 4 H numbers, a power of two apart, would push each other out of
the first cache.
"""

# llvmlite leaves its builders untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from lstm_research.native_math import FLOAT, Vectors
from lstm_research.native_plan import Product, Spec, split, tiled
from lstm_research.native_tile import FLOATS, POINTER, WORD, outer, repeat, splat, word


class Summed:
    """Writes the function (v, dz, dR, free, rows) of a product."""

    def __init__(self, module: ir.Module, name: str, spec: Spec, product: Product) -> None:
        """Write it; free: room for the columns of a panel."""
        outputs = spec.outputs
        self.lanes, self.read = spec.lanes, outputs[product.heard].width
        self.width, self.wide = outputs[product.dz].width, outputs[product.target].width
        self.column = product.column
        units = self.width // spec.lanes
        self.rows, self.vectors = tiled(self.read, units, 1, spec.registers)
        kind = ir.FunctionType(ir.VoidType(), [POINTER] * 4 + [WORD])
        self.function = ir.Function(module, kind, name)
        self.function.linkage = "internal"
        self.heard, self.dz, self.target, self.free, self.count = self.function.args
        self.build = ir.IRBuilder(self.function.append_basic_block())
        self.of = Vectors(self.build, spec.lanes)
        for wide, many in split(units, self.vectors):
            begin = 0 if wide == self.vectors else units - wide
            repeat(self.build, word(many), self.panel(wide, begin))
        self.build.ret_void()

    def panel(self, wide: int, begin: int) -> Callable[[Any], None]:
        """Return what writes the tiles of a panel of some vectors."""
        build, lanes = self.build, self.lanes

        def one(place: Any) -> None:
            first = build.add(build.mul(place, word(wide * lanes)), word(begin * lanes))

            def copy(row: Any) -> None:
                source = build.add(build.mul(row, word(self.width)), first)
                for p in range(wide):
                    value = self.load(self.dz, build.add(source, word(p * lanes)))
                    place = build.add(build.mul(row, word(wide * lanes)), word(p * lanes))
                    where = build.gep(self.free, [place], source_etype=FLOAT)
                    build.store(value, where, align=FLOATS)

            repeat(build, self.count, copy)
            for rows, many in split(self.read, self.rows):
                top = 0 if rows == self.rows else self.read - rows
                repeat(build, word(many), self.tile(rows, top, wide, first))

        return one

    def load(self, pointer: Any, place: Any) -> Any:
        """Return a vector."""
        where = self.build.gep(pointer, [place], source_etype=FLOAT)
        return self.build.load(where, typ=self.of.type, align=FLOATS)

    def tile(self, rows: int, top: int, wide: int, first: Any) -> Callable[[Any], None]:
        """Return what writes a tile of dR: `rows` of its rows, from `top` on, and a panel's columns."""
        build, lanes = self.build, self.lanes

        def one(place: Any) -> None:
            line = build.add(build.mul(place, word(rows)), word(top))
            targets: list[Any] = []
            for m in range(rows):
                row = build.mul(build.add(line, word(m)), word(self.wide))
                row = build.add(build.add(row, word(self.column)), first)
                targets += [build.add(row, word(p * lanes)) for p in range(wide)]
            totals = [self.load(self.target, each) for each in targets]
            begun, phis, new = build.block, list[Any](), list[Any]()

            def body(row: Any) -> None:
                for total in totals:
                    phis.append(build.phi(self.of.type))
                    phis[-1].add_incoming(total, begun)
                start = build.add(build.mul(row, word(self.read)), line)
                rights = build.mul(row, word(wide * lanes))
                right = lambda p: self.load(self.free, build.add(rights, word(p * lanes)))

                def hear(m: int) -> Any:
                    where = build.gep(self.heard, [build.add(start, word(m))], source_etype=FLOAT)
                    return splat(build, build.load(where, typ=FLOAT), lanes)

                now = list(phis)
                for (m, p), (v, r) in outer(rows, wide, hear, right):
                    now[m * wide + p] = self.of.fma(v, r, now[m * wide + p])
                new.extend(now)

            repeat(build, self.count, body)
            inside = phis[0].parent
            for phi, total, target in zip(phis, new, targets, strict=True):
                phi.add_incoming(total, inside)
                where = build.gep(self.target, [target], source_etype=FLOAT)
                build.store(total, where, align=FLOATS)

        return one
