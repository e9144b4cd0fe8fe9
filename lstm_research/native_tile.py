"""The tile of a kernel: a few rows and units of one stage, its sums in registers, then its equations.

For a tile of M rows and P vectors of units, with n sums::

    for k in units:  sum[m, j] += v[m, k] R[k, j]         M P n sums, none of which leaves its register
    for m, p:        the equations of the stage           a lane a unit

R lies in panels, the P n vectors of a tile one after another for each k, so that it is read in order.
"""

# llvmlite leaves its builders untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

from llvmlite import ir

from lstm_research.blocked import literal
from lstm_research.native_math import FLOAT, Vectors, converted, written
from lstm_research.native_plan import Memory, Pass, Place, depths
from lstm_research.native_stages import Block, Stage

WORD, POINTER = ir.IntType(64), ir.PointerType()
ZERO = ir.Constant(WORD, 0)
FLOATS = 4  # bytes: what a vector is aligned to in the arrays of others
ABREAST = 4  # vectors whose equations are written in turn: one alone waits for itself at each


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


class Spot(NamedTuple):
    """A vector of units of a row in a tile, and the values that are computed of it."""

    row: Any
    unit: Any
    place: Any  # in the tile
    known: dict[Any, Any]


class Tile:
    """Writes the function of a tile: (table, first row, first unit, panels of each pass so far)."""

    def __init__(
        self, module: ir.Module, name: str, memory: Memory, stage: Stage, passes: Sequence[Pass],
        outs: Sequence[Any], rows: int, wide: int,
    ) -> None:  # fmt: skip
        """Write it; rows, wide: its rows, and its vectors of units."""
        self.memory, self.stage, self.rows, self.wide = memory, stage, rows, wide
        self.outs = outs
        kind = ir.FunctionType(ir.VoidType(), [POINTER, WORD, WORD, WORD])
        self.function = ir.Function(module, kind, name)
        self.function.linkage = "internal"
        self.table, self.row, self.unit, self.panel = self.function.args
        self.build = ir.IRBuilder(self.function.append_basic_block())
        self.vectors = Vectors(self.build, memory.lanes)
        self.slots: dict[Any, Any] = {}
        self.bases: dict[int, Any] = {}
        for entry in sorted(self.entries(passes)):
            self.bases[entry] = self.build.load(self.slot(entry), typ=POINTER)
        for each in passes:
            for which in each.sums:
                self.slots[which] = self.build.alloca(self.vectors.type, word(rows * wide))
        for each in passes:
            self.multiply(each)
        self.common = {var: self.number(var) for var in self.asked if self.same(var)}  # read once
        self.finish()
        self.build.ret_void()

    @cached_property
    def asked(self) -> tuple[Any, ...]:
        """Return what the equations and outputs of the stage read, in the order in which they do."""
        read = [v for eq in self.stage.equations for v in eq.invars]
        read += [self.outs[i] for i in self.stage.outputs]
        return tuple(dict.fromkeys(v for v in read if not literal(v)))

    def entries(self, passes: Sequence[Pass]) -> set[int]:
        """Return the entries of the table that the tile needs."""
        memory, found = self.memory, set[int]()
        for var in (*self.asked, *(v for each in passes for v, _ in each.groups)):
            if place := memory.inputs.get(var) or memory.homes.get(var):
                found.add(place.entry)
        found |= {memory.homes[var].entry for var in self.stage.written if var in memory.homes}
        found |= {memory.outputs[i].entry for i in self.stage.outputs}
        return found | ({memory.packed} if passes else set())

    def slot(self, entry: int) -> Any:
        """Return where the table holds a pointer."""
        return self.build.gep(self.table, [word(entry)], source_etype=POINTER)

    def address(self, place: Place, row: Any, unit: Any) -> Any:
        """Return the address of a unit of a row in a block."""
        build, offset = self.build, unit
        if place.at:
            offset = build.add(offset, word(place.at * self.memory.hidden))
        if place.width:
            offset = build.add(offset, build.mul(row, word(place.width)))
        return build.gep(self.bases[place.entry], [offset], source_etype=FLOAT)

    def multiply(self, each: Pass) -> None:
        """Write the sums of a pass into their slots."""
        build, vectors, lanes = self.build, self.vectors, self.memory.lanes
        count = len(each.sums) * self.wide * self.rows
        totals: list[Any] = [vectors.number(0.0)] * count
        size = depths(each, self.memory.hidden) * each.vectors * lanes
        panel = build.add(word(each.base), build.mul(self.panel, word(size)))
        data = build.gep(self.bases[self.memory.packed], [panel], source_etype=FLOAT)
        for operand, terms in each.groups:
            totals = self.group(operand, terms, data, totals)
            size = len(terms) * self.memory.hidden * self.wide * lanes
            data = build.gep(data, [word(size)], source_etype=FLOAT)
        for j, which in enumerate(each.sums):
            for m in range(self.rows):
                for p in range(self.wide):
                    at = word(m * self.wide + p)
                    slot = build.gep(self.slots[which], [at])
                    build.store(totals[(j * self.wide + p) * self.rows + m], slot)

    def group(
        self, operand: Any, terms: Sequence[tuple[int, Block]], data: Any, totals: list[Any]
    ) -> list[Any]:
        """Write the loop over the units that an operand has; return the sums after it."""
        build, vectors, hidden = self.build, self.vectors, self.memory.hidden
        place = self.memory.inputs.get(operand) or self.memory.homes[operand]
        heard = [
            self.address(place, build.add(self.row, word(m)), word(0)) for m in range(self.rows)
        ]
        wide, lanes = self.wide * len(terms), self.memory.lanes
        by = next(n for n in (4, 2, 1) if hidden % n == 0)
        begun, phis, new = build.block, list[Any](), list[Any]()
        places = [j * self.wide + p for j, _ in terms for p in range(self.wide)]

        def body(k: Any) -> None:
            for total in totals:
                phis.append(build.phi(vectors.type))
                phis[-1].add_incoming(total, begun)
            now = list(phis)
            line = build.gep(data, [build.mul(k, word(wide * lanes))], source_etype=FLOAT)
            ears = [build.gep(v, [k], source_etype=FLOAT) for v in heard]
            for step in range(by):

                def hear(m: int, step: int = step) -> Any:
                    where = build.gep(ears[m], [word(step)], source_etype=FLOAT)
                    return splat(build, build.load(where, typ=FLOAT), lanes)

                def right(at: int, step: int = step) -> Any:
                    offset = word((step * wide + at) * lanes)
                    where = build.gep(line, [offset], source_etype=FLOAT)
                    return build.load(where, typ=vectors.type, align=lanes * FLOATS)

                for (m, at), (v, r) in outer(self.rows, wide, hear, right):
                    which = places[at] * self.rows + m
                    now[which] = vectors.fma(v, r, now[which])
            new.extend(now)

        repeat(build, word(hidden), body, by)
        inside = phis[0].parent
        for phi, total in zip(phis, new, strict=True):
            phi.add_incoming(total, inside)
        return new

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
            slot = build.gep(self.slots[var], [spot.place])
            return build.load(slot)
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
