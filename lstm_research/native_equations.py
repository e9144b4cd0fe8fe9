"""The equations of a tile: what follows of its sums, for each row and vector of units, some in turn."""

# llvmlite leaves its builders untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

from llvmlite import ir

from lstm_research.blocked import literal
from lstm_research.native_math import FLOAT, converted, written
from lstm_research.native_plan import FLOATS, Memory, Pass, Place
from lstm_research.native_stages import Stage
from lstm_research.native_tile import ZERO, Tile, repeat, splat, word

ABREAST = 4  # vectors whose equations are written in turn: one alone waits for itself at each


class Spot(NamedTuple):
    """A vector of units of a row in a tile, and the values that are computed of it."""

    row: Any
    unit: Any
    place: Any  # in the tile
    known: dict[Any, Any]


def asked(stage: Stage, outs: Sequence[Any]) -> tuple[Any, ...]:
    """Return what the equations and outputs of a stage read, in the order in which they do."""
    read = [v for eq in stage.equations for v in eq.invars]
    read += [outs[i] for i in stage.outputs]
    return tuple(dict.fromkeys(v for v in read if not literal(v)))


def places(memory: Memory, stage: Stage, outs: Sequence[Any]) -> list[Place]:
    """Return the arrays of a stage, those that it reads first."""
    read = [memory.inputs.get(var) or memory.homes.get(var) for var in asked(stage, outs)]
    made = [memory.homes.get(var) for var in stage.written]
    every = [*read, *made, *(memory.outputs[i] for i in stage.outputs)]
    return list(dict.fromkeys(place for place in every if place))


class Equations(Tile):
    """Writes the function of the equations of a stage for a tile, and of what is written of them."""

    def __init__(
        self, module: ir.Module, name: str, memory: Memory, rows: int, wide: int, stage: Stage,
        passes: Sequence[Pass], outs: Sequence[Any],
    ) -> None:  # fmt: skip
        """Write it; outs: the outputs of the program."""
        self.stage, self.outs = stage, outs
        every = {place.entry for place in places(memory, stage, outs)}
        super().__init__(module, name, memory, rows, wide, every)
        made = [which for each in passes for which in each.sums]
        self.slots = {which: i * rows * wide for i, which in enumerate(made)}
        self.common = {
            var: self.number(var) for var in asked(stage, outs) if self.same(var)
        }  # read once
        self.finish()
        self.build.ret_void()

    def finish(self) -> None:
        """Write the equations for each row and vector of units, some of them at once."""
        count, build = self.rows * self.wide, self.build
        left = count % ABREAST
        if count - left:
            some = lambda place: self.equations([build.add(place, word(i)) for i in range(ABREAST)])
            repeat(build, word(count - left), some, ABREAST)
        if left:
            self.equations([word(count - left + i) for i in range(left)])

    def equations(self, places: Sequence[Any]) -> None:
        """Write the equations of the stage for some vectors of units, each equation for all of them."""
        memory, vectors, spots = self.memory, self.vectors, [*map(self.spot, places)]

        def read(spot: Spot, var: Any) -> Any:
            if literal(var):
                return vectors.number(var.val)
            if var not in spot.known:
                spot.known[var] = self.loaded(var, spot)
            return spot.known[var]

        for equation in self.stage.equations:
            for spot in spots:
                values = [read(spot, var) for var in equation.invars]
                spot.known[equation.outvars[0]] = written(vectors, equation, values)
        for spot, var in product(spots, self.stage.written):
            if home := memory.homes.get(var):
                self.store(read(spot, var), self.address(home, spot.row, spot.unit))
        for spot, i in product(spots, self.stage.outputs):
            value = read(spot, self.outs[i])
            where = self.address(memory.outputs[i], spot.row, spot.unit)
            if memory.adding[i]:
                old = self.build.load(where, typ=vectors.type, align=FLOATS)
                value = self.build.fadd(value, old)
            self.store(value, where)

    def spot(self, place: Any) -> Spot:
        """Return where a vector of the tile lies."""
        build, lanes = self.build, self.memory.lanes
        m, p = build.udiv(place, word(self.wide)), build.urem(place, word(self.wide))
        unit = build.add(self.unit, build.mul(p, word(lanes)))
        return Spot(build.add(self.row, m), unit, place, {})

    def store(self, value: Any, where: Any) -> None:
        """Write a vector; a choice as 0 or 1."""
        self.build.store(converted(self.vectors, value, False), where, align=FLOATS)

    def loaded(self, var: Any, spot: Spot) -> Any:
        """Return a value that this tile has not computed."""
        build, vectors, memory = self.build, self.vectors, self.memory
        if var in self.slots:
            where = self.sum(build.add(word(self.slots[var]), spot.place))
            return build.load(where, typ=vectors.type, align=memory.lanes * FLOATS)
        if var in memory.constants:
            return vectors.number(memory.constants[var])
        if var in self.common:
            return self.common[var]
        if not self.wide_as_units(var):
            return self.number(var, spot.row)
        home = memory.inputs.get(var) or memory.homes[var]
        where = self.address(home, spot.row, spot.unit)
        found = build.load(where, typ=vectors.type, align=FLOATS)
        return converted(vectors, found, var.aval.dtype == bool)

    def number(self, var: Any, row: Any = ZERO) -> Any:
        """Return one number in every lane, that of a row or of all; it lies alone in its block."""
        home = self.memory.inputs.get(var) or self.memory.homes[var]
        where = self.address(home._replace(at=0), row, ZERO)
        found = splat(self.build, self.build.load(where, typ=FLOAT), self.memory.lanes)
        return converted(self.vectors, found, var.aval.dtype == bool)

    def same(self, var: Any) -> bool:
        """Say whether a value is one number for all rows and units, that no stage changes."""
        home = self.memory.inputs.get(var)
        return home is not None and home.width == 0 and not self.wide_as_units(var)

    def wide_as_units(self, var: Any) -> bool:
        """Say whether a value has a number a unit."""
        return bool(var.aval.shape) and var.aval.shape[-1] == self.memory.hidden
