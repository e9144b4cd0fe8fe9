"""The text of a kernel: a loop over time in CUDA C++, in which a thread finishes the same units at each step.

A thread owns pairs of neighbouring units of some sequences, holds their carry and finishes every stage of
a step for them; only what all units hear leaves it, rounded as an operand (`cuda_products.py`). What is
read for a step is asked for a step ahead, and what it has made is written during the next, so that
nobody waits for the GPU's memory.
"""

from collections.abc import Iterator
from typing import Any

from lstm_research.blocked import literal
from lstm_research.cuda_math import converted, kind, number, written
from lstm_research.cuda_plan import Spec, count, like, used
from lstm_research.cuda_products import Products

SOON = 4  # steps ahead of which inputs are asked for from the GPU's memory


class Kernel:
    """Writes the text of a kernel."""

    def __init__(self, spec: Spec) -> None:
        """Name every value and write the text."""
        self.spec, self.spread, self.program = spec, spec.spread, spec.stages.program
        self.names: dict[Any, str] = {}
        self.each = 2 * self.spread.pairs
        self.products = Products(spec, self.name, lambda var, at: self.read(var, set(), at))
        leaves = [leaf for leaf, n in enumerate(self.program.counts) for _ in range(n)]
        firsts = [sum(self.program.counts[:leaf]) for leaf in range(len(self.program.counts))]
        self.outs = [
            (leaf, i - firsts[leaf], var)
            for i, (leaf, var) in enumerate(zip(leaves, self.program.outputs, strict=True))
        ]
        self.wide = {var for stage in spec.stages.stages for var in stage.written}
        self.wide |= {var for _, _, var in self.outs if not literal(var)}
        self.wide |= {var for group in spec.operands for var in group}
        self.text = "\n".join(self.lines())

    def name(self, var: Any) -> str:
        """Return the name of a value."""
        return self.names.setdefault(var, f"v{len(self.names)}")

    def read(self, var: Any, here: set[Any], at: str = "e") -> str:
        """Return an element of a value; here: what this loop over elements has computed."""
        if literal(var):
            return number(var.val)
        for constant, value in self.program.constants:
            if constant is var:
                return number(value)
        if var in self.spec.stages.inputs:
            block = self.spec.stages.inputs[var]
            value = f"i{block.leaf}_{block.at}[{self.index(block.leaf, at)}]"
            return converted(value, kind(var) == "bool", False)
        return self.name(var) + ("" if var in here else f"[{at}]")

    def lines(self) -> Iterator[str]:
        """Give the lines of the kernel."""
        spec, spread = self.spec, self.spread
        pointers = [f"const float* __restrict__ a{i}" for i in range(spec.arguments)]
        pointers += [
            f"float* __restrict__ o{i}" for i in range(len(spec.outputs)) if not self.spoken(i)
        ]
        pointers += [f"unsigned* x{i}" for i in range(len(spec.operands))]
        pointers += ["unsigned* flags"] if spread.joined == "flags" else []
        cluster = spread.members if spread.joined == "cluster" else 1
        yield f'extern "C" KERNEL({spread.threads}, {cluster}) kernel({", ".join(pointers)}, int steps) {{'
        yield "SHARED(shared);"
        yield from self.threads()
        yield from self.moved()
        yield from self.products.matrices()
        yield from self.begin()
        yield from self.products.bells()
        yield "for (int s = 0; s < steps; ++s) {"
        yield f"const int t = {self.place('s')}, odd = s & 1;"
        yield from self.step()
        yield "}"
        yield from self.end()
        yield "}"

    def threads(self) -> Iterator[str]:
        """Give what a thread is: its tile, its share of what the tile hears, the pairs it finishes."""
        spec, spread = self.spec, self.spread
        owners, slices, pairs = spread.owners, spread.slices, spread.pairs
        yield "const int lane = THREAD & 31, warp = THREAD >> 5, q = lane >> 2, r = lane & 3;"
        yield f"const int tile = warp / {slices}, slice = warp % {slices};"
        yield f"const int member = BLOCK % {spread.members};"
        yield f"const int group = BLOCK / {spread.members} % {spec.groups};"
        yield f"const int unit = (member * {spread.tiles} + tile) * 16 + 2 * q;"
        yield f"const int turn = (slice + {slices} - tile * {owners} % {slices}) % {slices};"
        yield f"const bool owner = turn < {owners};"
        yield f"const bool one = owner && unit < {spec.hidden}, two = owner && unit + 1 < {spec.hidden};"
        yield f"int column[{pairs}]; bool alive[{pairs}];"
        yield f"for (int j = 0; j < {pairs}; ++j) {{ const int pair = {self.products.pair()};"
        yield f"column[j] = group * {spread.rows} + (pair >> 1) * 8 + 2 * r + (pair & 1);"
        yield f"alive[j] = column[j] < {spec.rows}; }}"

    def place(self, s: str) -> str:
        """Return the step in the arrays that is the s-th of the loop."""
        return f"steps - 1 - {s}" if self.spec.reverse else s

    def moved(self) -> Iterator[str]:
        """Give the moving of pointers to the arrays of a run."""
        spec = self.spec
        if not spec.runs:
            return
        yield f"const size_t run = BLOCK / {spec.spread.members * spec.groups};"
        sizes = dict[int, str]()
        for each in spec.inputs:
            rows = {"steps": f"(size_t)steps * {spec.rows}", "shared": "1"}.get(
                each.kind, str(spec.rows)
            )
            sizes[each.start] = f"{rows} * {each.width}"
            if each.kind == "next":
                sizes[each.whole] = f"(size_t)steps * {spec.rows} * {each.width}"
        sizes |= {argument: str(rows * columns) for argument, rows, columns in spec.matrices}
        for i, size in sizes.items():
            if spec.each[i]:
                yield f"a{i} += run * ({size});"
        for i, each in enumerate(spec.outputs):
            rows = f"(size_t)steps * {spec.rows}" if each.kind == "steps" else str(spec.rows)
            if each.kind != "operand":
                yield f"o{i} += run * ({rows} * {each.width});"
        for i, group in enumerate(spec.operands):
            width = len(group) * spec.spread.units // 2
            if spec.kept:
                yield f"x{i} += run * ((size_t)steps * {spec.groups * spec.spread.rows} * {width});"

    def index(self, leaf: int, at: str) -> str:
        """Return where an input's block holds what belongs to an element."""
        return {"unit": f"({at}) & 1", "row": f"({at}) >> 1", "each": at}[like(self.spec, leaf)]

    def declared(self, prefix: str, leaf: int, at: int) -> str:
        """Return the declaration of the elements of a block."""
        return f"float {prefix}{leaf}_{at}[{count(self.spec, leaf)}];"

    def blocks(self, *kinds: str) -> list[tuple[int, int, Any]]:
        """Return (leaf, block, input) of the blocks of inputs of some kinds."""
        found = {(b.leaf, b.at): self.spec.inputs[b.leaf] for b in used(self.spec.stages).values()}
        return [(*key, each) for key, each in sorted(found.items()) if each.kind in kinds]

    def row(self, step: str | None) -> str:
        """Return the row of an array that is a thread's j-th; step None: of one without time."""
        return (
            "(size_t)column[j]"
            if step is None
            else f"((size_t)({step}) * {self.spec.rows} + column[j])"
        )

    def load(
        self, target: str, leaf: int, at: int, pointer: str, step: str | None
    ) -> Iterator[str]:
        """Give the reading of a block's elements; step None: of an array without time."""
        width, hidden, one = self.spec.inputs[leaf].width, self.spec.hidden, like(self.spec, leaf)
        pairs = 1 if one == "unit" else self.each // 2
        yield f"UNROLL for (int j = 0; j < {pairs}; ++j) {{"
        row = "(size_t)0" if one == "unit" else self.row(step)
        there = "true" if one == "unit" else "alive[j]"
        if width == 1:
            yield f"const float x = owner && {there} ? {pointer}[{row}] : 0.0f;"
            block = f"{target}{leaf}_{at}"
            yield (
                f"{block}[j] = x; }}"
                if one == "row"
                else f"{block}[2 * j] = {block}[2 * j + 1] = x; }}"
            )
            return
        where = f"{pointer} + {row} * {width} + {at * hidden} + unit"
        even = "true" if hidden % 2 == 0 else "false"
        yield f"pair<{even}>({where}, one && {there}, two && {there}, {target}{leaf}_{at} + 2 * j); }}"

    def store(self, source: str, leaf: int, at: int, step: str | None) -> Iterator[str]:
        """Give the writing of a block's elements."""
        output, hidden = self.spec.outputs[leaf], self.spec.hidden
        yield f"UNROLL for (int j = 0; j < {self.each // 2}; ++j) {{"
        where = f"o{leaf} + {self.row(step)} * {output.width} + {at * hidden} + unit"
        even = "true" if hidden % 2 == 0 else "false"
        yield f"write<{even}>({where}, one && alive[j], two && alive[j], {source}{leaf}_{at} + 2 * j); }}"

    def begin(self) -> Iterator[str]:
        """Give what is read before the first step, and the declarations of what outlives a step."""
        for leaf, at, each in self.blocks("rows", "shared", "before", "carried"):
            yield self.declared("i", leaf, at)
            yield from self.load("i", leaf, at, f"a{each.start}", None)
        for leaf, at, _ in self.blocks("steps", "next"):
            yield self.declared("i", leaf, at)
            yield self.declared("n", leaf, at)
        for leaf, at, _ in self.outs:
            if not self.spoken(leaf):
                yield f"float f{leaf}_{at}[{self.each}] = {{}};"
        yield "auto ahead = [&](int s) {"
        yield f"const int t = {self.place('s')};"
        for leaf, at, each in self.blocks("steps"):
            yield from self.load("n", leaf, at, f"a{each.start}", "t")
        for leaf, at, each in self.blocks("next"):
            yield "if (s == steps - 1) {"
            yield from self.load("n", leaf, at, f"a{each.start}", None)
            yield "} else {"
            yield from self.load("n", leaf, at, f"a{each.whole}", self.place("(s + 1)"))
            yield "}"
        yield "};"
        yield "auto soon = [&](int s) {"
        yield f"const int t = {self.place('s')};"
        for _, at, each in self.blocks("steps", "next"):
            place = self.place("(s + 1)") if each.kind == "next" else "t"
            array = each.whole if each.kind == "next" else each.start
            if each.width > 1:
                yield f"UNROLL for (int j = 0; j < {self.each // 2}; ++j)"
                row = f"{self.row(place)} * {each.width}"
                where = f"a{array} + {row} + {at * self.spec.hidden} + unit"
                yield f"if (one && alive[j] && q % 4 == 0) fetch({where});"
        yield "};"
        yield "auto late = [&](int t) {"
        for leaf, at, _ in self.outs:
            if self.spec.outputs[leaf].kind == "steps" and not self.spoken(leaf):
                yield from self.store("f", leaf, at, "t")
        yield "};"
        yield "if (owner) ahead(0);"

    def spoken(self, leaf: int) -> bool:
        """Say whether an output is the array of a stage's operands."""
        return self.spec.outputs[leaf].kind == "operand"

    def step(self) -> Iterator[str]:
        """Give one step."""
        for leaf, at, _ in self.blocks("steps", "next"):
            size = count(self.spec, leaf)
            yield f"UNROLL for (int e = 0; e < {size}; ++e) i{leaf}_{at}[e] = n{leaf}_{at}[e];"
        turn = 0
        for stage in self.spec.stages.stages:
            if stage.sums:
                yield from self.products.multiply(turn, stage, self.aside() if turn == 0 else [])
                turn += 1
            yield from self.equations(stage)
        yield "if (owner) {"
        yield f"UNROLL for (int e = 0; e < {self.each}; ++e) {{"
        for leaf, at, var in self.outs:
            if not self.spoken(leaf):
                sign = "+=" if self.spec.outputs[leaf].kind == "summed" else "="
                value = converted(
                    self.read(var, set()), False, not literal(var) and kind(var) == "bool"
                )
                yield f"f{leaf}_{at}[e] {sign} {value};"
        for leaf, at, each in self.blocks("before", "carried"):
            yield f"i{leaf}_{at}[e] = f{each.whole}_{at}[e];"
        yield "} }"

    def aside(self) -> list[str]:
        """Return what nobody waits for: the writing of the step before, the reading of those to come."""
        return [
            f"if (owner) {{ if (s) late({self.place('(s - 1)')});",
            "if (s + 1 < steps) ahead(s + 1);",
            f"if (s + {SOON} < steps) soon(s + {SOON}); }}",
        ]

    def equations(self, stage: Any) -> Iterator[str]:
        """Give the equations of a stage."""
        made = [eq.outvars[0] for eq in stage.equations]
        for var in made:
            if var in self.wide:
                yield f"{kind(var)} {self.name(var)}[{self.each}];"
        if not made:
            return
        yield f"if (owner) UNROLL for (int e = 0; e < {self.each}; ++e) {{"
        here: set[Any] = set()
        for equation in stage.equations:
            (out,) = equation.outvars
            value = written(equation, [self.read(var, here) for var in equation.invars])
            if out in self.wide:
                yield f"{self.name(out)}[e] = {value};"
            else:
                yield f"const {kind(out)} {self.name(out)} = {value};"
                here.add(out)
        yield "}"

    def end(self) -> Iterator[str]:
        """Give what is written after the last step."""
        yield "if (owner) { late(" + self.place("(steps - 1)") + ");"
        for leaf, at, _ in self.outs:
            if self.spec.outputs[leaf].kind in ("carried", "summed"):
                yield from self.store("f", leaf, at, None)
        yield "}"
