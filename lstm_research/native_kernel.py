"""A kernel for a processor: the stages of a step over all steps of a batch, as one LLVM module.

Arrays that change from step to step are `time batch width`, those of a sequence `batch width`, what all
share `width`. Nothing is padded: vectors have as many lanes as divide the units. A step is found through
a table of pointers, one for each array, which the loop over time fills in.
"""

# llvmlite leaves its builders untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from lstm_research.native_math import FLOAT, Vectors
from lstm_research.native_plan import Layout, Pass, Spec, depths, split
from lstm_research.native_product import Summed
from lstm_research.native_tile import POINTER, WORD, Tile, repeat, word


class Kernel:
    """Writes the module of a kernel: the function `kernel`(arguments, results, steps).

    And `ready`(arguments, results) before it, where matrices are packed once.
    """

    def __init__(self, spec: Spec, layout: Layout) -> None:
        """Write it."""
        self.spec, self.layout, self.module = spec, layout, ir.Module("kernel")
        self.packed, outs = layout.memory.packed, spec.stages.program.outputs
        self.tiles = {
            (at, rows, wide): Tile(
                self.module, f"stage{at}_{rows}_{wide}", layout.memory, stage, now, outs, rows, wide
            ).function
            for at, (stage, now) in enumerate(layout.work)
            for rows, wide in self.sizes(now)
        }
        self.summed = [
            Summed(self.module, f"product{i}", spec, each).function
            for i, each in enumerate(spec.products)
        ]
        self.write()

    def sizes(self, now: Sequence[Pass]) -> list[tuple[int, int]]:
        """Return the tiles of a stage, the whole array where it has no product."""
        units = self.spec.hidden // self.spec.lanes
        if not now:
            return [(self.spec.rows, units)]
        rows, wide = split(self.spec.rows, now[0].rows), split(units, now[0].vectors)
        return [(a, b) for a, _ in rows for b, _ in wide]

    def write(self) -> None:
        """Write the function: pack the matrices, clear what is summed, run the steps."""
        if self.spec.once:
            self.begin("ready")
            self.pack_all()
            self.build.ret_void()
        self.function, (self.steps,) = self.begin("kernel", WORD)
        build, outputs = self.build, self.spec.outputs
        self.table = build.alloca(POINTER, word(self.packed + 1))
        self.enter(self.packed, self.free)
        for i, begin in enumerate(self.layout.kept):
            self.enter(len(self.spec.inputs) + len(outputs) + i, self.moved(self.free, begin))
        if not self.spec.once:
            self.pack_all()
        for i, each in enumerate(outputs):
            if each.kind in ("summed", "product"):
                self.clear(self.made[i], each.rows * each.width)
        repeat(build, self.steps, self.step)
        build.ret_void()

    def begin(self, name: str, *more: Any) -> tuple[Any, list[Any]]:
        """Begin a function (arguments, results, *more); return it, and the values of `more`."""
        kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, *more])
        function = ir.Function(self.module, kind, name)
        arguments, results, *rest = function.args
        self.build = ir.IRBuilder(function.append_basic_block())
        self.given = [self.pointer(arguments, i) for i in range(self.spec.arguments)]
        self.made = [self.pointer(results, i) for i in range(len(self.spec.outputs) + 1)]
        self.free = self.made[-1]
        return function, rest

    def pack_all(self) -> None:
        """Write the packing of every matrix."""
        for _, now in self.layout.work:
            for each in now:
                self.pack(each)

    def pointer(self, array: Any, at: int) -> Any:
        """Return a pointer of an array of them."""
        where = self.build.gep(array, [word(at)], source_etype=POINTER)
        return self.build.load(where, typ=POINTER)

    def moved(self, pointer: Any, by: Any) -> Any:
        """Return a pointer some numbers further."""
        by = word(by) if isinstance(by, int) else by
        return self.build.gep(pointer, [by], source_etype=FLOAT)

    def enter(self, entry: int, pointer: Any) -> None:
        """Write a pointer into the table."""
        self.build.store(pointer, self.build.gep(self.table, [word(entry)], source_etype=POINTER))

    def clear(self, pointer: Any, size: int) -> None:
        """Write zeros."""
        zero = ir.Constant(FLOAT, 0.0)
        repeat(
            self.build,
            word(size),
            lambda i: self.build.store(zero, self.moved(pointer, i)) and None,
        )

    def pack(self, each: Pass) -> None:
        """Copy the matrices of a pass into panels: for each of them, group and k, the vectors in order."""
        build, spec = self.build, self.spec
        units, lanes, wide = spec.hidden // spec.lanes, spec.lanes, each.vectors
        vectors, per = Vectors(build, lanes), depths(each, spec.hidden) * each.vectors * lanes

        def one(unit: Any) -> None:
            panel, p = build.udiv(unit, word(wide)), build.urem(unit, word(wide))
            last = build.icmp_signed("==", panel, word(units // wide))
            now = build.select(last, word(units % wide), word(wide))  # vectors of this panel
            target = build.add(word(each.base), build.mul(panel, word(per)))
            for _, terms in each.groups:
                line = build.mul(now, word(len(terms)))
                for t, (_, block) in enumerate(terms):
                    argument, columns = spec.matrices[block.leaf]
                    begin = block.row * spec.hidden * columns + block.at * spec.hidden

                    def row(k: Any, t: int = t, argument: int = argument, columns: int = columns,
                            begin: int = begin, target: Any = target, line: Any = line) -> None:  # fmt: skip
                        source = build.add(build.mul(k, word(columns)), word(begin))
                        source = build.add(source, build.mul(unit, word(lanes)))
                        r = build.load(
                            self.moved(self.given[argument], source), typ=vectors.type, align=4
                        )
                        place = build.add(build.mul(k, line), build.add(build.mul(now, word(t)), p))
                        place = build.add(target, build.mul(place, word(lanes)))
                        build.store(r, self.moved(self.free, place), align=4 * lanes)

                    repeat(build, word(spec.hidden), row)
                size = build.mul(line, word(spec.hidden * lanes))
                target = build.add(target, size)

        repeat(build, word(units), one)

    def step(self, count: Any) -> None:
        """Fill in the table and run every stage of a step."""
        build, spec = self.build, self.spec
        end = build.sub(self.steps, word(1))
        turned: Callable[[Any], Any] = lambda n: build.sub(end, n) if spec.reverse else n
        now, before = turned(count), turned(build.sub(count, word(1)))
        ahead = turned(build.add(count, word(1)))
        first = build.icmp_signed("==", count, word(0))
        last = build.icmp_signed("==", count, end)
        odd = build.and_(count, word(1))
        carried = [i for i, each in enumerate(spec.outputs) if each.kind == "carried"]
        for entry, each in enumerate(spec.inputs):
            pointer, size = self.given[each.start], spec.rows * each.width
            if each.kind == "steps":
                pointer = self.moved(pointer, build.mul(now, word(size)))
            elif each.kind in ("before", "next"):
                whole = self.made[each.whole] if each.own else self.given[each.whole]
                place = before if each.kind == "before" else ahead
                other = self.moved(whole, build.mul(place, word(size)))
                pointer = build.select(first if each.kind == "before" else last, pointer, other)
            elif each.kind == "carried":
                begin = self.layout.turns[carried[each.whole]]
                past = self.moved(self.free, build.add(word(begin), build.mul(odd, word(size))))
                pointer = build.select(first, pointer, past)
            self.enter(entry, pointer)
        for i, each in enumerate(spec.outputs):
            pointer, size = self.made[i], spec.rows * each.width
            if each.kind == "steps":
                pointer = self.moved(pointer, build.mul(now, word(size)))
            elif each.kind == "carried":
                other = build.mul(build.xor(odd, word(1)), word(size))
                kept = self.moved(self.free, build.add(word(self.layout.turns[i]), other))
                pointer = build.select(last, pointer, kept)
            self.enter(len(spec.inputs) + i, pointer)
        for at, (_, passes) in enumerate(self.layout.work):
            self.run(at, passes)
        if spec.products:
            self.sum(count, last, now)

    def sum(self, count: Any, last: Any, now: Any) -> None:
        """Write the products over steps, for those since the last time; steps lie side by side."""
        build, spec, many = self.build, self.spec, self.layout.together
        past = build.add(build.urem(count, word(many)), word(1))  # steps, this one among them
        with build.if_then(build.or_(last, build.icmp_signed("==", past, word(many)))):
            begin = now if spec.reverse else build.sub(build.add(now, word(1)), past)
            rows = build.mul(past, word(spec.rows))
            at = lambda array, width: self.moved(array, build.mul(begin, word(spec.rows * width)))
            for each, function in zip(spec.products, self.summed, strict=True):
                data = [at(self.made[each.dz], spec.outputs[each.dz].width)]
                for heard, target, _ in each.each:
                    array = (self.given if heard.given else self.made)[heard.array]
                    data += [at(array, heard.width), self.made[target]]
                free = self.moved(self.free, self.layout.panel)
                build.call(function, [free, rows, *data])

    def run(self, at: int, now: list[Pass]) -> None:
        """Call the tiles of a stage, a panel for all rows after the other."""
        build, spec = self.build, self.spec
        if not now:
            self.build.call(self.tiles[at, *self.sizes(now)[0]], [self.table, *[word(0)] * 3])
            return
        units, rows, wide = spec.hidden // spec.lanes, now[0].rows, now[0].vectors

        def panel(size: int) -> Callable[[Any], None]:
            def one(place: Any) -> None:
                unit = build.mul(place, word(wide * spec.lanes))

                def tile(i: Any) -> None:
                    data = [self.table, build.mul(i, word(rows)), unit, place]
                    build.call(self.tiles[at, rows, size], data)

                if spec.rows // rows:
                    repeat(build, word(spec.rows // rows), tile)
                if left := spec.rows % rows:
                    data = [self.table, word(spec.rows - left), unit, place]
                    build.call(self.tiles[at, left, size], data)

            return one

        if units // wide:
            repeat(build, word(units // wide), panel(wide))
        if left := units % wide:
            panel(left)(word(units // wide))
