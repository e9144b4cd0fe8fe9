"""The text of a kernel: a loop over time in CUDA C++, in which a thread finishes the same units at each step.

A thread owns pairs of neighbouring units of some sequences, holds their carry and finishes every stage of
a step for them; only what all units hear leaves it, rounded as an operand (`cuda_products.py`). What is
read for a step is asked for a step ahead, and what it has made is written during the next, so that
nobody waits for the GPU's memory.
"""

from collections.abc import Iterator
from typing import Any

from lstm_research import cuda_ahead as ahead
from lstm_research import cuda_feeding as feeding
from lstm_research.blocked import literal
from lstm_research.cuda_arrays import blocks, declared, index, load, moved, pointers, store, turn
from lstm_research.cuda_math import converted, kind, number, written
from lstm_research.cuda_plan import ASIDE, TIMED, Spec
from lstm_research.cuda_products import Products


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
            value = f"i{block.leaf}_{block.at}[{index(self.spec, block.leaf, at)}]"
            return converted(value, kind(var) == "bool", False)
        return self.name(var) + ("" if var in here else f"[{at}]")

    def lines(self) -> Iterator[str]:
        """Give the lines of the kernel."""
        spec, spread = self.spec, self.spread
        cluster = spread.members if spread.joined == "cluster" else 1
        given = ", ".join([*pointers(spec), "int steps"])
        yield f'extern "C" KERNEL({spread.threads}, {cluster}) kernel({given}) {{'
        yield "SHARED(shared);"
        yield from self.threads()
        yield from moved(spec)
        yield from self.products.matrices()
        yield from self.begin()
        yield from self.products.bells()
        yield "for (int s = 0; s < steps; ++s) {"
        yield f"const int t = {turn(self.spec, 's')}, odd = s & 1;"
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
        for which, name in enumerate(("one", "two")):
            lives = "" if spec.hidden == spread.units else f" && unit + {which} < {spec.hidden}"
            yield f"const bool {name} = owner{lives};"
        turned = "0" if slices == 1 else f"turn * {pairs}"
        yield f"const int begun = {turned}, own = (begun >> 1) * 8 + 2 * r + (begun & 1);"
        yield f"const int first = group * {spread.rows} + own;"
        yield f"bool alive[{pairs}];"
        yield f"UNROLL for (int j = 0; j < {pairs}; ++j)"
        yield f"alive[j] = first + {ASIDE} < {spec.rows};"

    def begin(self) -> Iterator[str]:
        """Give what is read before the first step, and the declarations of what outlives a step."""
        for leaf, at, each in blocks(self.spec, "rows", "shared", "before", "carried"):
            yield declared(self.spec, "i", leaf, at)
            yield from load(self.spec, "i", leaf, at, f"a{each.start}", None)
        for leaf, at, _ in self.outs:
            if not self.spoken(leaf):
                size = 4 if self.fed(leaf) else self.each
                yield f"float f{leaf}_{at}[{size}] = {{}};"
        yield from ahead.begin(self.spec)
        yield "auto late = [&](int t) {"
        for leaf, at, _ in self.outs:
            if self.spec.outputs[leaf].kind in TIMED:
                yield from store(self.spec, "f", leaf, at, "t")
        yield "};"
        yield "if (owner) ahead(0);"

    def spoken(self, leaf: int) -> bool:
        """Say whether an output is the array of a stage's operands."""
        return self.spec.outputs[leaf].kind == "operand"

    def fed(self, leaf: int) -> bool:
        """Say whether an output is multiplied with what its rows are fed."""
        return self.spec.outputs[leaf].kind == "fed"

    def step(self) -> Iterator[str]:
        """Give one step."""
        yield from ahead.now(self.spec)
        at = 0
        for stage in self.spec.stages.stages:
            if stage.sums:
                aside = self.aside() if at == 0 else []
                yield from self.products.multiply(at, stage, aside)
                at += 1
            yield from self.equations(stage)
        yield "if (owner) {"
        yield f"UNROLL for (int e = 0; e < {self.each}; ++e) {{"
        for leaf, at, var in self.outs:
            if not self.spoken(leaf) and not self.fed(leaf):
                sign = "+=" if self.spec.outputs[leaf].kind == "summed" else "="
                value = converted(
                    self.read(var, set()), False, not literal(var) and kind(var) == "bool"
                )
                yield f"f{leaf}_{at}[e] {sign} {value};"
        for leaf, at, each in blocks(self.spec, "before", "carried"):
            yield f"i{leaf}_{at}[e] = f{each.whole}_{at}[e];"
        yield "}"
        for leaf, at, var in self.outs:
            if self.fed(leaf):
                yield from feeding.multiply(
                    self.spec, f"f{leaf}_{at}", lambda e, var=var: self.read(var, set(), str(e))
                )
        yield "}"

    def aside(self) -> list[str]:
        """Return what nobody waits for: the writing of the step before, the reading of those to come."""
        return [
            f"if (owner) {{ if (s) late({turn(self.spec, '(s - 1)')});",
            ahead.to_come(self.spec),
            "}",
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
        yield "if (owner) { late(" + turn(self.spec, "(steps - 1)") + ");"
        for leaf, at, _ in self.outs:
            if self.spec.outputs[leaf].kind in ("carried", "summed"):
                yield from store(self.spec, "f", leaf, at, None)
            elif self.fed(leaf):
                yield from feeding.end(self.spec, leaf, at)
        yield "}"
