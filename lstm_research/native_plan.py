"""What a kernel is made of: what it reads and writes, how its stages are tiled, where values lie."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from lstm_research.blocked import literal
from lstm_research.native_stages import Block, Stage, Stages


class Input(NamedTuple):
    """An array that a step reads.

    kind: "steps", "halves" (steps in float16, of a GPU), "rows" (the same at every step), "shared",
    "before" (the step before of `whole`, an array of steps; `start` at first), "next" (the step after;
    `start` at last) or "carried" (what the step before left; `start` at first).
    start: a number of an argument; whole: one too, or of an output where `own`.
    """

    kind: str
    width: int
    start: int
    whole: int = 0
    own: bool = False


class Output(NamedTuple):
    """An array that a step writes: "steps", "carried" (only the last stays), or "summed" over time.

    "halves": steps in float16; "fed": multiplied with what a row is fed, summed over time and, in parts,
    over rows. Both of a GPU.
    "product": summed over time and rows, by a `Product`.
    """

    kind: str
    width: int
    rows: int  # of one step; of a product, those of the matrix


class Heard(NamedTuple):
    """The left side of a product over steps: an output, or an argument where `given`."""

    array: int
    width: int
    given: bool = False


class Product(NamedTuple):
    """A product over steps and rows: target[:, column..] += heard^T dz for each that hears a dz.

    each: what is heard, the target and its first column; dz and targets are places among the outputs.
    """

    dz: int
    each: tuple[tuple[Heard, int, int], ...]


class Spec(NamedTuple):
    """A kernel: what it reads and writes, and the processor's vectors."""

    stages: Stages
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    products: tuple[Product, ...]
    matrices: tuple[tuple[int, int], ...]  # (argument, columns) of each
    arguments: int
    rows: int  # of the batch
    hidden: int
    lanes: int
    registers: int  # sums that a tile may hold
    reverse: bool
    once: bool = False  # matrices are packed by a function of its own, before any call
    team: int = 1  # threads that share a call


class Place(NamedTuple):
    """An array at a step: its entry in the table of pointers, its width, and the block in it.

    width 0: one row for all.
    """

    entry: int
    width: int
    at: int


class Pass(NamedTuple):
    """Sums that a tile holds at once: for each operand, which sums read it, and what they read.

    base: where its panels begin in the packed matrices, in numbers; blocks: into how many an operand's units
    fall, each multiplied for all rows before the next; 0: tile by tile, all at once. tiles: of its rows.
    """

    sums: tuple[Any, ...]
    groups: tuple[tuple[Any, tuple[tuple[int, Block], ...]], ...]
    rows: int
    vectors: int
    base: int
    blocks: int
    tiles: int


class Memory(NamedTuple):
    """Where values lie."""

    hidden: int
    lanes: int
    inputs: Mapping[Any, Place]
    homes: Mapping[Any, Place]  # of values that more than one stage needs
    outputs: Sequence[Place]
    adding: Sequence[bool]  # by output: add to what is there
    packed: int  # the entry of the packed matrices
    constants: Mapping[Any, Any]


def depths(each: Pass, hidden: int) -> int:
    """Return how many vectors a vector of units takes in a panel."""
    return sum(len(terms) for _, terms in each.groups) * hidden


FLOATS = 4  # bytes of a number: what a vector is aligned to in the arrays of others
LINE = 16  # numbers in a line of the caches
CLOSE = 2**14  # bytes: half of the first cache
TOGETHER = 64, 256  # rows that a product over steps takes at once: at least, at most
NEAR = 3 * 2**14  # numbers of dz between, which stay in the second cache


def passes(spec: Spec, stage: Stage, base: int) -> list[Pass]:
    """Return the passes over a stage's sums: the cheapest tile, a sum in a register each."""
    units, count = spec.hidden // spec.lanes, len(stage.sums)
    found: list[tuple[float, int, int, int]] = []
    for parts in range(1, count + 1):
        n = -(-count // parts)
        if n <= spec.registers:
            m, p = tiled(spec.rows, units, n, spec.registers, spec.team)
            found.append((cost(spec.rows, units, m, p, n, spec.team) * parts, n, m, p))
    _, n, m, p = min(found)
    made: list[Pass] = []
    for begin in range(0, count, n):
        some = stage.sums[begin : begin + n]
        groups: dict[Any, list[tuple[int, Block]]] = {}
        for j, each in enumerate(some):
            for operand, block in each.terms:
                groups.setdefault(operand, []).append((j, block))
        heard = tuple((operand, tuple(terms)) for operand, terms in groups.items())
        now = Pass(tuple(each.made for each in some), heard, m, p, base, 0, -(-spec.rows // m))
        base += depths(now, spec.hidden) * spec.hidden
        made.append(now)
    panels = sum(depths(each, spec.hidden) for each in made) * p * spec.lanes * FLOATS
    if m == spec.rows or panels <= 2 * CLOSE:
        return made
    return [each._replace(blocks=cuts(spec, each)) for each in made]


def cuts(spec: Spec, now: Pass) -> int:
    """Return into how many blocks a group of a panel is cut, so that each stays in the first cache."""
    most = max(len(terms) for _, terms in now.groups) * now.vectors * spec.lanes * FLOATS
    sizes = (n for n in range(1, spec.hidden + 1) if spec.hidden % n == 0)
    return next((n for n in sizes if spec.hidden // n * most <= CLOSE), spec.hidden)


def tiled(rows: int, units: int, n: int, registers: int, team: int = 1) -> tuple[int, int]:
    """Return the cheapest tile (rows, vectors of units) of n sums that fits the registers."""
    sides = product(range(1, min(rows, registers) + 1), range(1, min(units, registers) + 1))
    able = [(m, p) for m, p in sides if m * p * n <= registers]
    return min(able, key=lambda side: cost(rows, units, *side, n, team))


def cost(rows: int, units: int, m: int, p: int, n: int, team: int = 1) -> float:
    """Return the cycles of a step of k in all tiles; of a team its busiest thread's, times its size."""
    loads = [0.0] * team
    for b, again in split(units, p):
        panel = sum(times * cycles(a, b, n) for a, times in split(rows, m))
        for _ in range(again):  # by whoever is free
            loads[loads.index(min(loads))] += panel
    return max(loads) * team


def split(count: int, size: int) -> list[tuple[int, int]]:
    """Return (size, how many) of the pieces of a count."""
    pieces = [(size, count // size), (count % size, 1)]
    return [piece for piece in pieces if all(piece)]


def unrolled(count: int) -> int:
    """Return how many turns of a loop are written one after another: that many divide all of them."""
    return next(n for n in (4, 2, 1) if count % n == 0)


def cycles(m: int, p: int, n: int) -> float:
    """Return what a step of k costs a tile: two products or two loads a cycle, four to finish one."""
    return max(m * p * n / 2, (m + p * n) / 2, 4.0) + (m + p * n) / 8


class Layout(NamedTuple):
    """Where everything lies: entries of the table of pointers, and places in the scratch, in numbers."""

    memory: Memory
    work: tuple[tuple[Stage, list[Pass]], ...]
    kept: list[
        int
    ]  # where values that cross stages begin, which have the entries before `memory.packed`
    turns: dict[int, int]  # by carried output: where its two buffers begin
    together: int  # steps of a product at once
    room: int  # where what it hears lies
    panel: int  # where its panel begins, one for each thread
    panel_size: int
    sums: int  # where the sums of a panel begin, for each thread
    sums_size: int
    scratch: int


def laid(spec: Spec) -> Layout:
    """Return the layout of a kernel: inputs, outputs, values that cross stages, packed matrices."""
    stages, inputs, outputs = spec.stages, spec.inputs, spec.outputs
    outs = stages.program.outputs
    at = [Block(leaf, k) for leaf, each in enumerate(stages.program.counts) for k in range(each)]
    places = [Place(len(inputs) + b.leaf, outputs[b.leaf].width, b.at) for b in at]
    adding = [outputs[b.leaf].kind == "summed" for b in at]
    held = {
        var: place
        for var, place, sums in zip(outs, places, adding, strict=True)
        if not sums and not literal(var) and var not in stages.inputs
    }
    crossing = list(
        dict.fromkeys(v for each in stages.stages for v in each.written if v not in held)
    )
    first = len(inputs) + len(outputs)
    homes = {var: Place(first + i, spec.hidden, 0) for i, var in enumerate(crossing)} | held
    sources = {
        var: Place(b.leaf, 0 if inputs[b.leaf].kind == "shared" else inputs[b.leaf].width, b.at)
        for var, b in stages.inputs.items()
    }
    memory = Memory(
        spec.hidden, spec.lanes, sources, homes, places, adding, first + len(crossing),
        dict(stages.program.constants),
    )  # fmt: skip
    work, base = list[tuple[Stage, list[Pass]]](), 0
    for stage in stages.stages:
        now = passes(spec, stage, base) if stage.sums else []
        base += sum(depths(each, spec.hidden) * spec.hidden for each in now)
        work.append((stage, now))
    slots = spec.rows * spec.hidden
    kept = [base + i * slots for i in range(len(crossing))]
    base += len(kept) * slots
    turns: dict[int, int] = {}
    for i, each in enumerate(outputs):
        if each.kind == "carried":
            turns[i], base = base, base + 2 * spec.rows * each.width
    widest = max((outputs[each.dz].width for each in spec.products), default=1)
    together = -(-min(max(NEAR // widest, TOGETHER[0]), TOGETHER[1]) // spec.rows)  # steps
    room = base
    heard = (sum(v.width for v, _, _ in each.each) for each in spec.products)
    base = lined(base + together * spec.rows * max(heard, default=0))
    panel, size = base, together * spec.rows * spec.registers * spec.lanes if spec.products else 0
    base += spec.team * size
    sums = base
    most = max((whole_sums(spec, now) for _, now in work if now), default=0)
    base += spec.team * most
    return Layout(memory, tuple(work), kept, turns, together, room, panel, size, sums, most, base)


def whole_sums(spec: Spec, now: Sequence[Pass]) -> int:
    """Return how many numbers the sums of a panel are, in whole lines of a cache."""
    rows = -(-spec.rows // now[0].rows) * now[0].rows
    return lined(sum(len(each.sums) for each in now) * rows * now[0].vectors * spec.lanes)


def lined(count: int) -> int:
    """Return how many numbers whole lines of a cache hold that hold so many."""
    return -(-count // LINE) * LINE


def shared(spec: Spec) -> dict[int, int]:
    """Return outputs that may lie where an input was, by the input's argument: it is read for the last
    time where the output is written, and has its width.
    """
    stages, found = spec.stages, dict[int, int]()
    operands = {v for each in stages.stages for one in each.sums for v, _ in one.terms}
    leaves = [leaf for leaf, n in enumerate(stages.program.counts) for _ in range(n)]
    for i, given in enumerate(spec.inputs):
        mine = {var for var, block in stages.inputs.items() if block.leaf == i}
        if given.kind != "steps" or given.width == 1 or mine & operands:
            continue
        read = [
            at
            for at, stage in enumerate(stages.stages)
            if any(v in mine for eq in stage.equations for v in eq.invars if not literal(v))
        ]
        for j, made in enumerate(spec.outputs):
            written = [
                at
                for at, stage in enumerate(stages.stages)
                if any(leaves[place] == j for place in stage.outputs)
            ]
            fits = (made.kind, made.width) == ("steps", given.width) and j not in found.values()
            if fits and read and written and max(read) <= min(written):
                found[given.start] = j
                break
    return found
