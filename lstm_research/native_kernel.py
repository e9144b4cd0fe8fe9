"""A kernel for a processor: the stages of a step over all steps of a batch, as one LLVM module.

Arrays that change from step to step are `time batch width`, those of a sequence `batch width`, what all
share `width`. Nothing is padded: vectors have as many lanes as divide the units. A step is found through
a table of pointers, one for each array, which the loop over time fills in. Threads may share a call
(`native_team.py`): a stage, the packing and a product over steps fall into panels, which anybody does.
"""

# llvmlite leaves its builders untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from lstm_research.native_math import FLOAT, Vectors, called
from lstm_research.native_panel import Panels
from lstm_research.native_plan import FLOATS, Layout, Pass, Product, Spec, depths
from lstm_research.native_product import Summed
from lstm_research.native_stages import Block
from lstm_research.native_team import Team
from lstm_research.native_tile import POINTER, WORD, repeat, word

SUMS = ("summed", "product")  # kinds of outputs that begin with zeros


class Kernel:
    """Writes the module of a kernel: the function `kernel`(arguments, results, steps, tickets, who).

    And `ready`(arguments, results) before it, where matrices are packed once. tickets: where the numbers
    of a team lie; who: which of its threads this is.
    """

    def __init__(self, spec: Spec, layout: Layout) -> None:
        """Write it."""
        self.spec, self.layout, self.module = spec, layout, ir.Module("kernel")
        self.packed = layout.memory.packed
        self.stages = [
            Panels(self.module, f"stage{i}", spec, layout, *each)
            for i, each in enumerate(layout.work)
        ]
        self.summed = [
            Summed(self.module, f"product{i}", spec, each) for i, each in enumerate(spec.products)
        ]
        self.write()

    def write(self) -> None:
        """Write the function: clear what is summed, pack the matrices, run the steps."""
        if self.spec.once:
            self.begin("ready")
            self.team = Team(self.build, 1, None, None)
            self.pack_all()
            self.build.ret_void()
        self.function, (self.steps, tickets, self.who) = self.begin("kernel", WORD, POINTER, WORD)
        build, outputs = self.build, self.spec.outputs
        self.team = Team(build, self.spec.team, tickets, self.who)
        self.table = build.alloca(POINTER, word(self.packed + 1))
        self.enter(self.packed, self.free)
        for i, begin in enumerate(self.layout.kept):
            self.enter(len(self.spec.inputs) + len(outputs) + i, self.moved(self.free, begin))
        if any(each.kind in SUMS for each in outputs):
            self.team.share(1, self.clear)
        if not self.spec.once:
            self.pack_all()
        repeat(build, self.steps, self.step)
        self.team.wake()
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

    def clear(self, _: Any) -> None:
        """Write zeros where sums will be."""
        build, byte, no = self.build, ir.IntType(8), ir.Constant(ir.IntType(1), 0)
        for i, each in enumerate(self.spec.outputs):
            if each.kind in SUMS:
                zeros = ir.Constant(byte, 0), word(FLOATS * each.rows * each.width), no
                called(build, "llvm.memset.p0.i64", ir.VoidType(), self.made[i], *zeros)

    def pack(self, each: Pass) -> None:
        """Copy the matrices of a pass into panels: for each of them, group and k, the vectors in order."""
        build, spec, lanes = self.build, self.spec, self.spec.lanes
        vectors, per = Vectors(build, lanes), depths(each, spec.hidden) * each.vectors * lanes

        def panel(place: Any, wide: int) -> None:
            target = build.add(word(each.base), build.mul(place, word(per)))
            unit = build.mul(place, word(each.vectors * lanes))
            for _, terms in each.groups:
                sources = [self.source(block) for _, block in terms]
                line = len(terms) * wide * lanes

                def row(k: Any, sources: Any = sources, line: int = line, to: Any = target) -> None:
                    to = self.moved(self.free, build.add(to, build.mul(k, word(line))))
                    for t, (matrix, columns) in enumerate(sources):
                        begin = self.moved(matrix, build.add(build.mul(k, word(columns)), unit))
                        for p in range(wide):
                            where = self.moved(begin, p * lanes)
                            r = build.load(where, typ=vectors.type, align=FLOATS)
                            where = self.moved(to, (t * wide + p) * lanes)
                            build.store(r, where, align=FLOATS * lanes)

                repeat(build, word(spec.hidden), row)
                target = build.add(target, word(line * spec.hidden))

        self.team.panels(spec.hidden // lanes, each.vectors, panel)

    def source(self, block: Block) -> tuple[Any, int]:
        """Return where a block of a matrix begins, and the columns of the matrix."""
        argument, columns = self.spec.matrices[block.leaf]
        begin = block.row * self.spec.hidden * columns + block.at * self.spec.hidden
        return self.moved(self.given[argument], begin), columns

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
        sums = self.mine(self.layout.sums, self.layout.sums_size)
        for each in self.stages:
            one = lambda place, wide, each=each: each.write(build, self.table, sums, place, wide)
            self.team.panels(each.units, each.wide, one)
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
            for each, summed in zip(spec.products, self.summed, strict=True):
                self.multiply(each, summed, rows, at)

    def multiply(
        self, product: Product, summed: Summed, rows: Any, at: Callable[[Any, int], Any]
    ) -> None:
        """Write a product of some rows; at(array, width): where they begin in an array of steps."""
        build, found = self.build, list[Any]()
        for v, _, _ in product.each:
            found.append(at((self.given if v.given else self.made)[v.array], v.width))
        dz = at(self.made[product.dz], self.spec.outputs[product.dz].width)
        into = [dz, *(self.made[target] for _, target, _ in product.each)]
        room = self.moved(self.free, self.layout.room)
        free = self.mine(self.layout.panel, self.layout.panel_size)
        copy = lambda i: build.call(summed.gather, [room, rows, i, *found])
        add = lambda i: build.call(summed.function, [free, room, rows, i, *into])
        self.team.share(summed.parts, copy)
        self.team.share(summed.panels, add)

    def mine(self, begin: int, size: int) -> Any:
        """Return a place in the scratch of which each thread has its own."""
        offset = self.build.mul(self.who, word(size))
        return self.moved(self.free, self.build.add(offset, word(begin)))
