"""The text of a kernel: a loop over time in CUDA C++, in which a thread finishes the same units at each step.

A thread owns pairs of neighbouring units of some sequences, holds their carry and finishes every stage of
a step for them; only what all units hear leaves it, rounded as an operand. Between the blocks of a group
an operand passes through an array of its own place for every step: that array is filled with a word
that no operand has, a reader reads again until the word is another, and so no counter, fence or barrier
joins the blocks. The array is also what the gradients of the matrices are products of.
"""

from collections.abc import Callable, Iterator
from typing import Any

from lstm_research import cuda_plan
from lstm_research.blocked import literal
from lstm_research.cuda_math import converted, kind, number, written
from lstm_research.cuda_plan import INSIDE, Product, Spec, multiplied, products


SOON = 4  # steps ahead of which inputs are asked for from the GPU's memory
WORDS = 48  # registers that hold what a warp has heard


class Kernel:
    """Writes the text of a kernel."""

    def __init__(self, spec: Spec) -> None:
        """Name every value and write the text."""
        self.spec, self.spread, self.program = spec, spec.spread, spec.stages.program
        self.names: dict[Any, str] = {}
        self.each = 2 * self.spread.pairs
        self.products = products(spec)
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

    def read(self, var: Any, here: set[Any]) -> str:
        """Return an element of a value; here: what this loop over elements has computed."""
        if literal(var):
            return number(var.val)
        for constant, value in self.program.constants:
            if constant is var:
                return number(value)
        if var in self.spec.stages.inputs:
            block = self.spec.stages.inputs[var]
            return converted(f"i{block.leaf}_{block.at}[e]", kind(var) == "bool", False)
        return self.name(var) + ("" if var in here else "[e]")

    def lines(self) -> Iterator[str]:
        """Give the lines of the kernel."""
        spec, spread = self.spec, self.spread
        pointers = [f"const float* __restrict__ a{i}" for i in range(spec.arguments)]
        written_ = [i for i, each in enumerate(spec.outputs) if each.kind != "operand"]
        pointers += [f"float* __restrict__ o{i}" for i in written_]
        pointers += [f"unsigned* x{i}" for i in range(len(spec.operands))]
        if spread.joined == "flags":
            pointers.append("unsigned* flags")
        yield f'extern "C" KERNEL({spread.threads}, {spread.members if spread.joined in INSIDE else 1}) kernel({", ".join(pointers)}, int steps) {{'
        yield "SHARED(shared);"
        yield "const int lane = THREAD & 31, warp = THREAD >> 5, q = lane >> 2, r = lane & 3;"
        yield f"const int tile = warp / {spread.slices}, slice = warp % {spread.slices};"
        yield f"const int group = BLOCK / {spread.members} % {spec.groups}, member = BLOCK % {spread.members};"
        yield from self.moved()
        yield f"const int unit = (member * {spread.tiles} + tile) * 16 + 2 * q;"
        owners, slices = spread.owners, spread.slices
        yield f"const int turn = (slice + {slices} - tile * {owners} % {slices}) % {slices};"
        yield f"const bool owner = turn < {owners};"
        yield f"const bool one = owner && unit < {spec.hidden}, two = owner && unit + 1 < {spec.hidden};"
        pairs = self.each // 2
        yield f"int column[{pairs}]; bool alive[{pairs}];"
        yield f"for (int j = 0; j < {pairs}; ++j) {{ const int pair = {self.pair()};"
        yield f"column[j] = group * {spread.rows} + (pair >> 1) * 8 + 2 * r + (pair & 1);"
        yield f"alive[j] = column[j] < {spec.rows}; }}"
        yield from self.matrices()
        yield from self.begin()
        if spread.joined in ("cluster", "letters"):
            for i in range(len(spec.operands)):
                yield f"unsigned char* const bell{i} = shared + {self.offset(f'bells{i}')};"
                yield f"if (THREAD == 0) hang(bell{i});"
            yield "gather();"
        yield "for (int s = 0; s < steps; ++s) {"
        yield f"const int t = {self.place('s')}, odd = s & 1;"
        yield from self.step()
        yield "}"
        yield from self.end()
        yield "}"

    def pair(self) -> str:
        """Return which pair of its tile the j-th of a thread is."""
        return "j" if self.spread.slices == 1 else f"turn * {self.spread.pairs} + j"

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
            rows = {"steps": f"(size_t)steps * {spec.rows}", "shared": "1"}.get(each.kind, str(spec.rows))
            sizes[each.start] = f"{rows} * {each.width}"
            if each.kind == "next":
                sizes[each.whole] = f"(size_t)steps * {spec.rows} * {each.width}"
        sizes |= {argument: str(size) for argument, size in spec.sizes}
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

    def matrices(self) -> Iterator[str]:
        """Give the reading of R into registers, and into shared memory what those do not hold."""
        spread, at = self.spread, 0
        inside = cuda_plan.held(spread, sum(map(len, self.products)))[0] // 4
        self.places: dict[tuple[int, int, int], str] = {}
        yield f"unsigned held[{max(1, inside)}][4];"
        yield "Words* const shelf = (Words*)shared;"
        half = "true" if self.spec.precision == "float16" else "false"
        for i, stage in enumerate(self.products):
            for n, each in enumerate(stage):
                for piece in range(2 * spread.chunks):
                    begin = f"a{each.matrix} + {each.column * self.spec.hidden}"
                    size = f"{self.spec.hidden}, {each.columns}, {each.row * self.spec.hidden}"
                    k = f"slice * {spread.chunks * 32} + {piece // 2 * 32 + piece % 2 * 4} + r * 8"
                    if at < inside:
                        place = f"held[{at}]"
                        yield f"panel<{half}>({place}, {begin}, {size}, {k}, unit);"
                    else:
                        place = f"shelf[{(at - inside) * spread.threads} + THREAD]"
                        yield f"{{ unsigned now[4]; panel<{half}>(now, {begin}, {size}, {k}, unit);"
                        yield f"{place} = Words{{now[0], now[1], now[2], now[3]}}; }}"
                    self.places[i, n, piece] = place
                    at += 1

    def declared(self, prefix: str, leaf: int, at: int) -> str:
        """Return the declaration of the elements of a block."""
        return f"float {prefix}{leaf}_{at}[{self.each}];"

    def blocks(self, *kinds: str) -> list[tuple[int, int, Any]]:
        """Return (leaf, block, input) of the blocks of inputs of some kinds."""
        found = {(b.leaf, b.at): self.spec.inputs[b.leaf] for b in self.used().values()}
        return [(*key, each) for key, each in sorted(found.items()) if each.kind in kinds]

    def used(self) -> dict[Any, Any]:
        """Return the inputs that a step reads."""
        read = {v for eq in self.program.equations for v in eq.invars if not literal(v)}
        read |= {var for var in self.program.outputs if not literal(var)}
        return {var: block for var, block in self.spec.stages.inputs.items() if var in read}

    def load(self, target: str, leaf: int, at: int, pointer: str, step: str | None) -> Iterator[str]:
        """Give the reading of a block's elements; step None: of an array without time."""
        width, hidden = self.spec.inputs[leaf].width, self.spec.hidden
        shared = self.spec.inputs[leaf].kind == "shared"
        yield f"UNROLL for (int j = 0; j < {self.each // 2}; ++j) {{"
        row = "(size_t)0" if shared else "(size_t)column[j]"
        if step is not None:
            row = f"((size_t)({step}) * {self.spec.rows} + column[j])"
        there = "true" if shared else "alive[j]"
        if width == 1:
            yield f"const float x = owner && {there} ? {pointer}[{row}] : 0.0f;"
            yield f"{target}{leaf}_{at}[2 * j] = {target}{leaf}_{at}[2 * j + 1] = x; }}"
            return
        where = f"{pointer} + {row} * {width} + {at * hidden} + unit"
        even = "true" if hidden % 2 == 0 else "false"
        yield f"pair<{even}>({where}, one && {there}, two && {there}, {target}{leaf}_{at} + 2 * j); }}"

    def store(self, source: str, leaf: int, at: int, step: str | None) -> Iterator[str]:
        """Give the writing of a block's elements."""
        output, hidden = self.spec.outputs[leaf], self.spec.hidden
        yield f"UNROLL for (int j = 0; j < {self.each // 2}; ++j) {{"
        row = "(size_t)column[j]"
        if step is not None:
            row = f"((size_t)({step}) * {self.spec.rows} + column[j])"
        where = f"o{leaf} + {row} * {output.width} + {at * hidden} + unit"
        even = "true" if hidden % 2 == 0 else "false"
        yield f"write<{even}>({where}, one && alive[j], two && alive[j], {source}{leaf}_{at} + 2 * j); }}"

    def begin(self) -> Iterator[str]:
        """Give what is read before the first step, and the declarations of what outlives a step."""
        inputs = self.spec.inputs
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
            assert inputs[leaf].kind == "next"
            yield "if (s == steps - 1) {"
            yield from self.load("n", leaf, at, f"a{each.start}", None)
            yield "} else {"
            yield from self.load("n", leaf, at, f"a{each.whole}", self.place("(s + 1)"))
            yield "}"
        yield "};"
        yield "auto soon = [&](int s) {"
        yield f"const int t = {self.place('s')};"
        for leaf, at, each in self.blocks("steps", "next"):
            place = self.place("(s + 1)") if each.kind == "next" else "t"
            array = each.whole if each.kind == "next" else each.start
            if each.width > 1:
                yield f"UNROLL for (int j = 0; j < {self.each // 2}; ++j) if (one && alive[j] && q % 4 == 0)"
                yield f"fetch(a{array} + ((size_t)({place}) * {self.spec.rows} + column[j]) * {each.width} + {at * self.spec.hidden} + unit);"
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
            yield f"UNROLL for (int e = 0; e < {self.each}; ++e) i{leaf}_{at}[e] = n{leaf}_{at}[e];"
        turn = 0
        for stage in self.spec.stages.stages:
            if stage.sums:
                yield from self.multiply(turn, stage)
                turn += 1
            yield from self.equations(stage)
        yield "if (owner) {"
        yield f"UNROLL for (int e = 0; e < {self.each}; ++e) {{"
        for leaf, at, var in self.outs:
            if not self.spoken(leaf):
                sign = "+=" if self.spec.outputs[leaf].kind == "summed" else "="
                value = converted(self.read(var, set()), False, not literal(var) and kind(var) == "bool")
                yield f"f{leaf}_{at}[e] {sign} {value};"
        for leaf, at, each in self.blocks("before", "carried"):
            yield f"i{leaf}_{at}[e] = f{each.whole}_{at}[e];"
        yield "} }"

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

    def multiply(self, turn: int, stage: Any) -> Iterator[str]:
        """Give the passing on of a stage's operands, and its products."""
        spec, spread, operands = self.spec, self.spread, self.spec.operands[turn]
        yield "if (owner) {"
        for at, var in enumerate(operands):
            yield from self.publish(turn, at, var, len(operands))
        yield "}"
        aside = list[str]()
        if turn == 0:  # what nobody waits for, while there is something to wait for
            aside.append("if (owner) { if (s) late(" + self.place("(s - 1)") + ");")
            aside.append("if (s + 1 < steps) ahead(s + 1);")
            aside.append(f"if (s + {SOON} < steps) soon(s + {SOON}); }}")
        for each in stage.sums:
            yield f"float {self.name(each.made)}[{self.each}];"
        width = len(operands) * spread.units
        half = "true" if spec.precision == "float16" else "false"
        link = spread.joined
        if link in INSIDE:
            block = cuda_plan.block(spread, len(operands))
            if link == "alone":
                yield from aside
                yield "barrier();"
            else:
                yield from self.post(turn, len(operands), aside)
            yield f"const unsigned char* const e{turn} = shared + {self.offset(f'operands{turn}')} + q * 32"
            yield f"+ odd * {spread.units // 16 * block} + (slice * {spread.chunks * 2} + (r >> 1)) * {block} + (r & 1) * 16;"
            step, next_, line = 2 * block, 32 * spread.rows, 32
        else:
            rows, line = spec.groups * spread.rows, 2 * width
            step, next_ = 64, 2 * spread.units
            flag = f"flags + ((size_t)t * {len(spec.operands)} + {turn}) * {spec.groups} + group"
            yield f"barrier(); if (THREAD == 0) raise({flag});"
            yield from aside
            yield f"await({flag}, {spread.members});"
            yield f"const unsigned char* const e{turn} = (const unsigned char*)x{turn}"
            yield f"+ (((size_t)t * {rows} + group * {spread.rows} + q) * {width} + slice * {spread.chunks * 32} + r * 8) * 2;"
        chains = -(-4 // len(stage.sums))
        if spread.slices > 1:
            size = len(stage.sums) * 2 * spread.wide * 32
            yield f"Two* const d{turn} = (Two*)(shared + {self.offset(f'sums{turn}')}) + (odd * {spread.tiles} + tile) * {spread.slices * size} + lane;"
        items = [(tile, at) for tile in range(spread.wide) for at in range(len(operands))]
        ahead = min(len(items), max(2, WORDS // (4 * spread.chunks)))
        where = [
            f"e{turn} + {tile * 8 * line + at * next_}, {step}" for tile, at in items
        ]
        yield "{"
        yield f"unsigned w[{ahead}][{spread.chunks}][4];"
        yield f"take(w[0], {where[0]});"
        for n in range(1, ahead - 1):
            yield f"take(w[{n}], {where[n]});"
        for n, (tile, at) in enumerate(items):
            if at == 0:
                yield f"{{ float acc[{len(stage.sums)}][{chains}][4] = {{}};"
            if n + ahead - 1 < len(items) and ahead > 1:
                yield f"take(w[{(n + ahead - 1) % ahead}], {where[n + ahead - 1]});"
            for piece in range(2 * spread.chunks):
                for k, each in enumerate(self.products[turn]):
                    if each.operand == at:
                        words = f"w[{n % ahead}][{piece // 2}]"
                        yield self.mma(self.places[turn, k, piece], each, piece, words, chains, half)
            if at == len(operands) - 1:
                yield from self.gather(turn, stage, tile, chains)
                yield "}"
        yield "}"
        if spread.slices > 1:
            yield from self.add(turn, stage)

    def mma(
        self, place: str, each: Product, piece: int, words: str, chains: int, half: str
    ) -> str:
        """Return the products of a piece of a matrix with what is at hand of an operand."""
        total, low = f"acc[{each.sum}][{piece % chains}]", 2 * (piece % 2)
        heard = f"{words}[{low}], {words}[{low + 1}]"
        if place.startswith("shelf"):
            now = f"const Words m = {place}; const unsigned g[4] = {{m.x, m.y, m.z, m.w}};"
            return f"{{ {now} mma<{half}>({total}, g, {heard}); }}"
        return f"mma<{half}>({total}, {place}, {heard});"

    def gather(self, turn: int, stage: Any, tile: int, chains: int) -> Iterator[str]:
        """Give what becomes of the sums of a warp: values, or its part of them for the owners."""
        for j, each in enumerate(stage.sums):
            for odd in range(2):
                pair = tile * 2 + odd
                low, high = (
                    " + ".join(f"acc[{j}][{c}][{odd + 2 * h}]" for c in range(chains))
                    for h in range(2)
                )
                if self.spread.slices == 1:
                    name = self.name(each.made)
                    yield f"{name}[{2 * pair}] = {low}; {name}[{2 * pair + 1}] = {high};"
                else:
                    size = 2 * self.spread.wide
                    place = f"((slice * {len(stage.sums)} + {j}) * {size} + {pair}) * 32"
                    yield f"d{turn}[{place}] = Two{{{low}, {high}}};"

    def add(self, turn: int, stage: Any) -> Iterator[str]:
        """Give the sums over the warps of a tile."""
        spread = self.spread
        yield f"some(tile + 1, {32 * spread.slices});"
        yield f"if (owner) UNROLL for (int j = 0; j < {spread.pairs}; ++j) {{ const int pair = {self.pair()};"
        for j, each in enumerate(stage.sums):
            name, size = self.name(each.made), 2 * spread.wide
            yield f"float low{j} = 0.0f, high{j} = 0.0f;"
            yield f"UNROLL for (int k = 0; k < {spread.slices}; ++k) {{"
            yield f"const Two part = d{turn}[((k * {len(stage.sums)} + {j}) * {size} + pair) * 32];"
            yield f"low{j} += part.x; high{j} += part.y; }}"
            yield f"{name}[2 * j] = low{j}; {name}[2 * j + 1] = high{j};"
        yield "}"

    def post(self, turn: int, count: int, aside: list[str]) -> Iterator[str]:
        """Give the sending of a tile's operands to every member, and the waiting for theirs."""
        spread, threads = self.spread, 32 * self.spread.slices
        size, block = count * spread.rows * 32, cuda_plan.block(spread, count)
        if spread.joined == "cluster":
            yield "if (owner) shown();"
        yield f"some(tile + 1, {threads});" if spread.slices > 1 else "row();"
        yield f"unsigned char* const from{turn} = shared + {self.offset(f'letters{turn}')} + (odd * {spread.tiles} + tile) * {size};"
        there = f"shared + {self.offset(f'operands{turn}')} + (odd * {spread.units // 16} + member * {spread.tiles} + tile) * {block}"
        if spread.joined == "cluster":
            yield f"if (slice == 0 && lane < {spread.members})"
            yield f"parcel({there}, from{turn}, {size}, bell{turn} + odd * 8, (lane + member) % {spread.members});"
        else:
            yield f"for (int i = slice * 32 + lane; i < {size // 16 * spread.members}; i += {threads}) {{"
            yield f"const int place = i % {size // 16} * 16, to = (i / {size // 16} + member) % {spread.members};"
            yield f"send({there} + place, from{turn} + place, bell{turn} + odd * 8, to); }}"
        yield f"if (THREAD == 0) expect(bell{turn} + odd * 8, {spread.rows * count * spread.units * 2});"
        yield from aside
        yield f"listen(bell{turn} + odd * 8, (s >> 1) & 1);"

    def publish(self, turn: int, at: int, var: Any, count: int) -> Iterator[str]:
        """Give the writing of an operand for all who hear it."""
        spread, spec = self.spread, self.spec
        half = "true" if spec.precision == "float16" else "false"
        element: Callable[[str], str] = lambda e: self.read(var, set()).replace("[e]", f"[{e}]")
        yield f"UNROLL for (int j = 0; j < {self.each // 2}; ++j) {{"
        yield f"const unsigned word = pack<{half}>(one ? {element('2 * j')} : 0.0f, two ? {element('2 * j + 1')} : 0.0f);"
        if spread.joined in INSIDE:
            block = cuda_plan.block(spread, count)
            start = f"{self.offset(f'operands{turn}')} + (odd * {spread.units // 16} + tile) * {block}"
            if spread.joined != "alone":
                size = count * spread.rows * 32
                start = f"{self.offset(f'letters{turn}')} + (odd * {spread.tiles} + tile) * {size}"
            row = f"({at * spread.rows} + column[j] - group * {spread.rows})"
            yield f"*(unsigned*)(shared + {start} + {row} * 32 + q * 4) = word;"
        if spread.joined == "flags" or spec.kept:
            rows, width = spec.groups * spread.rows, count * spread.units
            place = f"x{turn} + ((((size_t)t * {rows} + column[j]) * {width} + {at * spread.units} + unit) >> 1)"
            yield f"*({place}) = word;"
        yield "}"

    def offset(self, part: str) -> int:
        """Return where a part of shared memory begins."""
        begin = 0
        for name, size in cuda_plan.memory(self.spread, self.spec.stages):
            if name == part:
                return begin
            begin += size
        raise KeyError(part)

    def end(self) -> Iterator[str]:
        """Give what is written after the last step."""
        yield "if (owner) { late(" + self.place("(steps - 1)") + ");"
        for leaf, at, _ in self.outs:
            if self.spec.outputs[leaf].kind in ("carried", "summed"):
                yield from self.store("f", leaf, at, None)
        yield "}"


def shared_bytes(spec: Spec) -> int:
    """Return the bytes of shared memory that a block takes."""
    return sum(size for _, size in cuda_plan.memory(spec.spread, spec.stages))


def stages_with_products(spec: Spec) -> int:
    """Return how many arrays of operands a kernel has."""
    return len(multiplied(spec.stages))
