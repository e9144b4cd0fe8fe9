"""The panels of a stage: some vectors of units, for all rows, tile by tile.

Where a panel of R is larger than the first cache, a block of it is multiplied for all rows before the
next; their sums wait in memory meanwhile.
"""

# llvmlite leaves its builders untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from lstm_research.native_equations import Equations, places
from lstm_research.native_math import FLOAT
from lstm_research.native_plan import Layout, Pass, Spec, split
from lstm_research.native_stages import Stage
from lstm_research.native_sums import parts
from lstm_research.native_tile import repeat, word

PARTS = 4  # panels, for each thread of a team, of a stage that has no product
Call = Callable[[Any, Any, int], Any]  # (sums, first row, rows) of a tile


class Panels:
    """Holds the functions of a stage's tiles, and writes their calls."""

    def __init__(
        self, module: ir.Module, name: str, spec: Spec, layout: Layout, stage: Stage,
        now: Sequence[Pass],
    ) -> None:  # fmt: skip
        """Write the functions; now: the passes over the stage's sums."""
        self.spec, memory, outs = spec, layout.memory, spec.stages.program.outputs
        self.units = spec.hidden // spec.lanes
        parted = 1 if spec.team == 1 else PARTS * spec.team
        self.rows, self.wide = spec.rows, -(-self.units // parted)
        if now:
            self.rows, self.wide = now[0].rows, now[0].vectors
        self.cut = any(each.blocks for each in now)
        self.per = sum(len(each.sums) for each in now) * self.rows * self.wide * spec.lanes
        soon = [place for place in places(memory, stage, outs) if place.width > 1]
        self.sums, self.equations = dict[Any, list[tuple[Any, int, int]]](), dict[Any, Any]()
        for tile in self.sizes():
            each = module, f"{name}_{tile[0]}_{tile[1]}", memory, *tile
            self.sums[tile] = parts(*each, now, soon)
            self.equations[tile] = Equations(*each, stage, now, outs).function

    def sizes(self) -> list[tuple[int, int]]:
        """Return the tiles, those of a rest too: rows, and vectors of units."""
        tall, wide = split(self.spec.rows, self.rows), split(self.units, self.wide)
        return [(a, b) for a, _ in tall for b, _ in wide]

    def write(self, build: ir.IRBuilder, table: Any, sums: Any, place: Any, wide: int) -> None:
        """Write a panel of some vectors; sums: where a thread keeps those of a panel."""
        unit = build.mul(place, word(self.wide * self.spec.lanes))

        def multiply(which: int, block: Any) -> Call:
            def call(mine: Any, row: Any, tall: int) -> None:
                function, _, group = self.sums[tall, wide][which]
                build.call(function, [table, mine, row, unit, place, block, word(group)])

            return call

        def finish(mine: Any, row: Any, tall: int) -> None:
            build.call(self.equations[tall, wide], [table, mine, row, unit])

        def whole(mine: Any, row: Any, tall: int) -> None:
            for which in range(len(self.sums[tall, wide])):
                multiply(which, word(0))(mine, row, tall)
            finish(mine, row, tall)

        if not self.cut:
            self.tiles(build, sums, 0, whole)
            return
        for which, (_, blocks, _) in enumerate(self.sums[self.rows, wide]):
            one = lambda block, which=which: self.tiles(
                build, sums, self.per, multiply(which, block)
            )
            repeat(build, word(blocks), one)
        self.tiles(build, sums, self.per, finish)

    def tiles(self, build: ir.IRBuilder, sums: Any, per: int, call: Call) -> None:
        """Write a call for the rows of each tile; per: numbers from the sums of one to those of the next."""
        at = lambda place: build.gep(sums, [place], source_etype=FLOAT)
        if whole := self.spec.rows // self.rows:
            each = lambda i: call(
                at(build.mul(i, word(per))), build.mul(i, word(self.rows)), self.rows
            )
            repeat(build, word(whole), each)
        if left := self.spec.rows % self.rows:
            call(at(word(whole * per)), word(self.spec.rows - left), left)
