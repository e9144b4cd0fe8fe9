"""How a step is spread over a GPU: which block of threads owns which units, which warp which products.

A group of `members` blocks, one a multiprocessor, owns a slice of the batch and all units of a layer; a
block owns `16 tiles` units. Products run on tiles of 16 units by 8 sequences; of a tile, each of
`slices` warps multiplies a part of the units that it hears, and what R it needs for that stays in its
registers (or, where they are too few, in shared memory) for the whole sequence.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from lstm_research.blocked import literal
from lstm_research.native_plan import Input, Output
from lstm_research.native_stages import Block, Stages

TILE, ROWS, CHUNK = 16, 8, 32  # units and sequences of a tile of products; units heard in one load
ASIDE = "((j >> 1) * 8 + (j & 1))"  # how many sequences the j-th pair of a thread is from its first
TIMED = ("steps", "halves")  # arrays of which every step has its part; halves: in float16
INSIDE = ("alone", "cluster")  # links through shared memory
CLUSTERS = (2, 4, 8, 16)  # blocks that may write into each other's shared memory
WARPS = 8  # of a block, at most
REGISTERS = 144  # that hold R, of a thread's 255
SHARED = 224 * 2**10  # bytes of a block's shared memory, about


class Spread(NamedTuple):
    """How the units and sequences of a layer are spread over blocks and warps."""

    members: int  # blocks that share the units of a layer
    tiles: int  # of 16 units, in a block
    slices: int  # warps that share the units heard by a tile
    wide: int  # tiles of 8 sequences
    link: str = ""  # how members hear each other

    @property
    def joined(self) -> str:
        """Return how members hear each other: "alone", "cluster", or "flags" through memory."""
        return self.link or (
            "alone" if self.members == 1 else "cluster" if self.members in CLUSTERS else "flags"
        )

    @property
    def units(self) -> int:
        """Return the units of all members, dead ones included."""
        return self.members * self.tiles * TILE

    @property
    def rows(self) -> int:
        """Return the sequences of a group."""
        return self.wide * ROWS

    @property
    def pairs(self) -> int:
        """Return how many pairs of units an owner finishes."""
        return max(1, 2 * self.wide // self.slices)

    @property
    def owners(self) -> int:
        """Return how many warps of a tile finish pairs."""
        return min(self.slices, 2 * self.wide)

    @property
    def threads(self) -> int:
        """Return the threads of a block."""
        return 32 * self.tiles * self.slices

    @property
    def chunks(self) -> int:
        """Return how many loads of an operand a warp takes."""
        return self.units // (CHUNK * self.slices)


class Product(NamedTuple):
    """A product of a stage: which operand, which sum, and which block of which matrix."""

    operand: int
    sum: int
    matrix: int  # its argument
    columns: int  # of the matrix
    row: int  # the block of units that it reads
    column: int


class Spec(NamedTuple):
    """A kernel: what it reads and writes, and how it is spread."""

    stages: Stages
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    operands: tuple[tuple[Any, ...], ...]  # of each stage with sums, in the order in which they lie
    matrices: tuple[tuple[int, int, int], ...]  # (argument, rows, columns) of each
    arguments: int
    rows: int  # of the batch
    hidden: int
    reverse: bool
    precision: str
    kept: bool  # operands are written also where no other block asks for them
    spread: Spread
    fed: tuple[
        int, ...
    ] = ()  # inputs that an output of kind "fed" is multiplied with, one number a row
    bias: bool = False  # and with 1
    soon: bool = True  # inputs are asked for from the GPU's memory some steps ahead
    runs: int = 0  # of a pack, side by side in the grid; 0: one that has no axis
    each: tuple[bool, ...] = ()  # by argument: every run has its own

    @property
    def groups(self) -> int:
        """Return how many slices the batch has."""
        return -(-self.rows // self.spread.rows)

    @property
    def halves(self) -> set[int]:
        """Return the arguments that are float16."""
        return {each.start for each in self.inputs if each.kind == "halves"}

    @property
    def operand_rows(self) -> int:
        """Return the rows of arrays of operands: of whole tiles where blocks hear each other there."""
        return self.groups * self.spread.rows if self.spread.joined == "flags" else self.rows

    @property
    def parts(self) -> int:
        """Return in how many parts an output of kind "fed" is summed up."""
        return self.groups * self.spread.owners

    @property
    def feeds(self) -> int:
        """Return with how many numbers a row an output of kind "fed" is multiplied."""
        return len(self.fed) + self.bias

    @property
    def shared(self) -> int:
        """Return the bytes of shared memory that a block takes."""
        return sum(size for _, size in memory(self.spread, self.stages))

    @property
    def blocks(self) -> int:
        """Return the blocks of the grid."""
        return self.spread.members * self.groups * max(1, self.runs)


def like(spec: Spec, leaf: int) -> str:
    """Return what the elements of an input's block are: one a unit, one a row, or one each."""
    found = spec.inputs[leaf]
    if found.kind == "shared":
        return "unit"
    return "row" if found.kind == "steps" and found.width == 1 and spec.hidden > 1 else "each"


def count(spec: Spec, leaf: int) -> int:
    """Return how many elements of an input's block a thread holds."""
    pairs = spec.spread.pairs
    return {"unit": 2, "row": pairs, "each": 2 * pairs}[like(spec, leaf)]


def products(spec: Spec) -> list[list[Product]]:
    """Return the products of each stage that has sums."""
    found: list[list[Product]] = []
    for stage, operands in zip(multiplied(spec.stages), spec.operands, strict=True):
        found.append([])
        for j, each in enumerate(stage.sums):
            for v, block in each.terms:
                argument, _, columns = spec.matrices[block.leaf]
                at = operands.index(v)
                found[-1].append(Product(at, j, argument, columns, block.row, block.at))
    return found


def multiplied(stages: Stages) -> list[Any]:
    """Return the stages that have products."""
    return [stage for stage in stages.stages if stage.sums]


def terms(stages: Stages) -> int:
    """Return how many blocks of matrices a step reads."""
    return sum(len(each.terms) for stage in stages.stages for each in stage.sums)


def sums(stages: Stages) -> int:
    """Return how many sums of products a step makes."""
    return sum(len(stage.sums) for stage in stages.stages)


def heard(stages: Stages) -> int:
    """Return how many operands a step passes on."""
    return sum(len({v for each in s.sums for v, _ in each.terms}) for s in stages.stages)


def used(stages: Stages) -> dict[Any, Block]:
    """Return the blocks of inputs that a step reads."""
    program = stages.program
    read = {v for eq in program.equations for v in eq.invars if not literal(v)}
    read |= {var for var in program.outputs if not literal(var)}
    return {var: block for var, block in stages.inputs.items() if var in read}


def held(spread: Spread, count: int) -> tuple[int, int]:
    """Return (registers of a thread, bytes of shared memory) that blocks of R take."""
    pieces = count * spread.chunks * 2
    inside = min(pieces, REGISTERS // 4)
    return inside * 4, (pieces - inside) * 16 * spread.threads


def reduced(spread: Spread, sums: int) -> int:
    """Return the bytes in which the warps of a tile add up their products, two turns of them."""
    if spread.slices == 1:
        return 0
    return 2 * spread.tiles * spread.slices * sums * 2 * spread.wide * 2 * 32 * 4


def block(spread: Spread, operands: int) -> int:
    """Return the bytes of a tile's operands in shared memory: the next tile's lie in other banks."""
    return operands * spread.rows * TILE * 2 + 64


def memory(spread: Spread, stages: Stages) -> list[tuple[str, int]]:
    """Return the parts of shared memory and their bytes."""
    parts = [("matrices", held(spread, terms(stages))[1])]
    for i, stage in enumerate(multiplied(stages)):
        count = len({v for each in stage.sums for v, _ in each.terms})
        if spread.joined in INSIDE:
            parts.append((f"operands{i}", 2 * spread.units // TILE * block(spread, count)))
        if spread.joined == "cluster":
            parts.append((f"letters{i}", 2 * spread.tiles * count * spread.rows * TILE * 2))
            parts.append((f"bells{i}", 16))
        parts.append((f"sums{i}", reduced(spread, len(stage.sums))))
    return parts


def spreads(hidden: int, rows: int, stages: Stages, blocks: int) -> Iterator[Spread]:
    """Give every way to spread a layer that fits `blocks` multiprocessors, their registers and memory."""
    count, most = terms(stages), max(len(stage.sums) for stage in stages.stages)
    for tiles in range(1, WARPS + 1):
        for slices in (1, 2, 4, 8):
            if tiles * slices > WARPS:
                continue
            members = -(-hidden // (TILE * tiles))
            if members > 1:
                members = next((n for n in CLUSTERS if n >= members), members)
            while members * tiles * TILE % (CHUNK * slices):
                members = members * 2 if members < CLUSTERS[-1] else members + 1
            for wide in (1, 2, 4, 8):
                now = Spread(members, tiles, slices, wide)
                groups = -(-rows // now.rows)
                if wide > 1 and rows <= ROWS * wide // 2:
                    continue
                if now.joined == "flags" and members * groups > blocks:
                    continue
                live = most * (min(wide, 2) if slices > 1 else wide) * 4
                if held(now, count)[0] + live > 192 or live > 64:
                    continue
                if sum(size for _, size in memory(now, stages)) <= SHARED:
                    yield now


def cost(spread: Spread, rows: int, stages: Stages, blocks: int) -> float:
    """Return about how many cycles a step takes."""
    groups = -(-rows // spread.rows)
    waves = -(-spread.members * groups // blocks)
    warps = -(-spread.tiles * spread.slices // 4)  # of a quarter of a multiprocessor
    multiply = warps * terms(stages) * spread.chunks * 2 * spread.wide * 7.0
    multiply += held(spread, terms(stages))[1] / 128 * spread.wide
    owners = spread.tiles * spread.owners
    finish = spread.tiles * TILE * spread.rows * 5 / 16 * max(1.0, 4 / owners)
    add = 0.0
    if spread.slices > 1:
        add = 60 + 2 * spread.tiles * spread.slices * sums(stages) * 2 * spread.wide * 2
    turns = len(multiplied(stages))
    wait = 1500.0 * turns  # these are of an H200, by the times of whole training steps
    if spread.joined == "flags":
        read = spread.rows * spread.units * heard(stages) * 2 * spread.tiles
        wait = 2400.0 * turns + max(read / 48, read * spread.members * groups / 3000)
    elif spread.joined == "cluster":
        wait = (950.0 + 100 * spread.members) * turns
        if spread.members > 8:
            wait = max(2550.0, 10.5 * spread.units) * turns
    return waves * (multiply + finish + add + wait)


def spread(hidden: int, rows: int, stages: Stages, blocks: int) -> Spread | None:
    """Return the way to spread a layer that should take the least time, None where none fits."""
    found = list(spreads(hidden, rows, stages, blocks))
    return min(found, key=lambda each: cost(each, rows, stages, blocks), default=None)
