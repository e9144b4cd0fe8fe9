"""The products of a kernel: R in registers, operands passed on to all who hear them, sums over warps.

Where a group is one block, operands pass through its shared memory, and a barrier joins its threads. A
group of up to sixteen blocks is a cluster: each tile sends what its units say to every member, in one
copy that rings a bell there (an mbarrier that counts bytes). A larger group writes operands into the
GPU's memory, where each block raises a flag for the others.

In shared memory an operand has its place twice, for even and odd steps: who sends that of a step has heard
all others of the step before, hence they have read that of the step before it.
"""

# pyright: reportUnknownVariableType=false

from collections.abc import Callable, Iterator
from typing import Any

from lstm_research import cuda_plan
from lstm_research.cuda_plan import ASIDE, INSIDE, Spec, products

WORDS = 48  # registers that hold what a warp has heard


class Products:
    """Writes what a kernel does for the stages that have products."""

    def __init__(
        self, spec: Spec, name: Callable[[Any], str], element: Callable[[Any, str], str]
    ) -> None:
        """Keep how values are named: name(var), and an element of one, element(var, index)."""
        self.spec, self.spread, self.name, self.element = spec, spec.spread, name, element
        self.products, self.half = products(spec), str(spec.precision == "float16").lower()
        self.places: dict[tuple[int, int, int], str] = {}  # of pieces of R: stage, product, piece
        self.offsets, begin = dict[str, int](), 0
        for part, size in cuda_plan.memory(spec.spread, spec.stages):
            self.offsets[part] = begin
            begin += size

    def part(self, name: str) -> str:
        """Return where a part of shared memory begins."""
        return f"shared + {self.offsets[name]}"

    def matrices(self) -> Iterator[str]:
        """Give the reading of R into registers, and into shared memory what those do not hold."""
        spread, at = self.spread, 0
        inside = cuda_plan.held(spread, sum(map(len, self.products)))[0] // 4
        yield f"unsigned held[{max(1, inside)}][4];"
        yield "Words* const shelf = (Words*)shared;"
        for i, stage in enumerate(self.products):
            for n, each in enumerate(stage):
                for piece in range(2 * spread.chunks):
                    begin = f"a{each.matrix} + {each.column * self.spec.hidden}"
                    size = f"{self.spec.hidden}, {each.columns}, {each.row * self.spec.hidden}"
                    k = f"slice * {spread.chunks * 32} + {piece // 2 * 32 + piece % 2 * 4} + r * 8"
                    if at < inside:
                        place = f"held[{at}]"
                        yield f"panel<{self.half}>({place}, {begin}, {size}, {k}, unit);"
                    else:
                        place = f"shelf[{(at - inside) * spread.threads} + THREAD]"
                        yield f"{{ unsigned now[4]; panel<{self.half}>(now, {begin}, {size}, {k}, unit);"
                        yield f"{place} = Words{{now[0], now[1], now[2], now[3]}}; }}"
                    self.places[i, n, piece] = place
                    at += 1

    def bells(self) -> Iterator[str]:
        """Give the hanging of the bells of a cluster, before anybody rings them."""
        if self.spread.joined == "cluster":
            for i in range(len(self.spec.operands)):
                yield f"unsigned char* const bell{i} = {self.part(f'bells{i}')};"
                yield f"if (THREAD == 0) hang(bell{i});"
            yield "gather();"

    def multiply(self, turn: int, stage: Any, aside: list[str]) -> Iterator[str]:
        """Give the passing on of a stage's operands, and its products.

        aside: what nobody waits for, done while there is something to wait for.
        """
        operands = self.spec.operands[turn]
        yield "if (owner) {"
        for at, var in enumerate(operands):
            yield from self.publish(turn, at, var, len(operands))
        yield "}"
        for each in stage.sums:
            yield f"float {self.name(each.made)}[{2 * self.spread.pairs}];"
        inside = self.spread.joined in INSIDE
        yield from (self.near if inside else self.far)(turn, len(operands), aside)
        if self.spread.slices > 1:
            size = self.spread.slices * len(stage.sums) * 2 * self.spread.wide * 32
            place = f"(odd * {self.spread.tiles} + tile) * {size} + lane"
            yield f"Two* const d{turn} = (Two*)({self.part(f'sums{turn}')}) + {place};"
        yield from self.sums(turn, stage, len(operands), inside)
        if self.spread.slices > 1:
            yield from self.add(turn, stage)

    def near(self, turn: int, count: int, aside: list[str]) -> Iterator[str]:
        """Give the passing on of operands through shared memory, and where a thread finds its own."""
        spread, block = self.spread, cuda_plan.block(self.spread, count)
        if spread.joined == "alone":
            yield from aside
            yield "barrier();"
        else:
            yield from self.post(turn, count, aside)
        yield f"const unsigned char* const e{turn} = {self.part(f'operands{turn}')} + q * 32"
        yield f"+ odd * {spread.units // 16 * block}"
        yield f"+ (slice * {spread.chunks * 2} + (r >> 1)) * {block} + (r & 1) * 16;"

    def far(self, turn: int, count: int, aside: list[str]) -> Iterator[str]:
        """Give the passing on of operands through the GPU's memory, and where a thread finds its own."""
        spec, spread, width = self.spec, self.spread, count * self.spread.units
        flag = f"flags + ((size_t)t * {len(spec.operands)} + {turn}) * {spec.groups} + group"
        yield f"barrier(); if (THREAD == 0) raise({flag});"
        yield from aside
        yield f"await({flag}, {spread.members});"
        row = f"((size_t)t * {spec.groups * spread.rows} + group * {spread.rows} + q)"
        yield f"const unsigned char* const e{turn} = (const unsigned char*)x{turn}"
        yield f"+ ({row} * {width} + slice * {spread.chunks * 32} + r * 8) * 2;"

    def sums(self, turn: int, stage: Any, count: int, inside: bool) -> Iterator[str]:
        """Give the products of each tile of sequences, what is heard read ahead of them."""
        spread, chains = self.spread, -(-4 // len(stage.sums))
        step = 2 * cuda_plan.block(spread, count) if inside else 64
        line, operand = (
            (32, 32 * spread.rows) if inside else (2 * count * spread.units, 2 * spread.units)
        )
        items = [(tile, at) for tile in range(spread.wide) for at in range(count)]
        ahead = min(len(items), max(2, WORDS // (4 * spread.chunks)))
        take = [
            f"take(w[{n % ahead}], e{turn} + {tile * 8 * line + at * operand}, {step});"
            for n, (tile, at) in enumerate(items)
        ]
        yield f"{{ unsigned w[{ahead}][{spread.chunks}][4];"
        yield from take[: max(1, ahead - 1)]
        for n, (tile, at) in enumerate(items):
            if at == 0:
                yield f"{{ float acc[{len(stage.sums)}][{chains}][4] = {{}};"
            if ahead > 1:
                yield from take[n + ahead - 1 : n + ahead]
            for piece in range(2 * spread.chunks):
                for k, each in enumerate(self.products[turn]):
                    if each.operand == at:
                        words = f"w[{n % ahead}][{piece // 2}]"
                        total = f"acc[{each.sum}][{piece % chains}]"
                        yield self.mma(self.places[turn, k, piece], total, words, 2 * (piece % 2))
            if at == count - 1:
                yield from self.gather(turn, stage, tile, chains)
                yield "}"
        yield "}"

    def mma(self, place: str, total: str, words: str, low: int) -> str:
        """Return the products of a piece of a matrix with what is at hand of an operand."""
        heard = f"{words}[{low}], {words}[{low + 1}]"
        if place.startswith("shelf"):
            now = f"const Words m = {place}; const unsigned g[4] = {{m.x, m.y, m.z, m.w}};"
            return f"{{ {now} mma<{self.half}>({total}, g, {heard}); }}"
        return f"mma<{self.half}>({total}, {place}, {heard});"

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
        yield f"if (owner) UNROLL for (int j = 0; j < {spread.pairs}; ++j) {{ const int pair = begun + j;"
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
        spread, size = self.spread, count * self.spread.rows * 32
        yield "if (owner) shown();"
        yield f"some(tile + 1, {32 * spread.slices});" if spread.slices > 1 else "row();"
        tile = f"(odd * {spread.units // 16} + member * {spread.tiles} + tile)"
        there = f"{self.part(f'operands{turn}')} + {tile} * {cuda_plan.block(spread, count)}"
        here = f"{self.part(f'letters{turn}')} + (odd * {spread.tiles} + tile) * {size}"
        to = f"(lane + member) % {spread.members}"
        yield f"if (slice == 0 && lane < {spread.members})"
        yield f"parcel({there}, {here}, {size}, bell{turn} + odd * 8, {to});"
        total = spread.rows * count * spread.units * 2
        yield f"if (THREAD == 0) expect(bell{turn} + odd * 8, {total});"
        yield from aside
        yield f"listen(bell{turn} + odd * 8, (s >> 1) & 1);"

    def publish(self, turn: int, at: int, var: Any, count: int) -> Iterator[str]:
        """Give the writing of an operand for all who hear it."""
        spread, spec = self.spread, self.spec
        low, high = (self.element(var, f"2 * j + {half}") for half in range(2))
        yield f"UNROLL for (int j = 0; j < {spread.pairs}; ++j) {{"
        yield f"const unsigned word = pack<{self.half}>(one ? {low} : 0.0f, two ? {high} : 0.0f);"
        if spread.joined in INSIDE:
            place = f"(odd * {spread.units // 16} + tile) * {cuda_plan.block(spread, count)}"
            start = f"operands{turn}"
            if spread.joined == "cluster":
                place = f"(odd * {spread.tiles} + tile) * {count * spread.rows * 32}"
                start = f"letters{turn}"
            place = f"{place} + own * 32 + q * 4 + {at * spread.rows * 32} + {ASIDE} * 32"
            yield f"*(unsigned*)({self.part(start)} + {place}) = word;"
        if spread.joined == "flags" or spec.kept:
            width = count * spread.units // 2
            row = f"((size_t)t * {spec.operand_rows} + first) * {width} + (unit >> 1)"
            there = "" if spread.joined == "flags" else "if (alive[j]) "
            yield f"{there}x{turn}[{row} + {at * spread.units // 2} + {ASIDE} * {width}] = word;"
        yield "}"
