"""A program of blocks as stages: products, then what may be computed of their sums unit by unit.

A product needs the whole vector that it reads, so a step falls into stages. In stage s every sum of
products whose operands were ready after stage s - 1 is computed, a tile of rows and units at a time, and
while the tile is at hand every equation that follows from it. What another stage needs is written down:
an operand because all units hear it, a value because it is used again.

Products that are added to each other become one sum: dz R^T of four gates is one accumulator, not four.
"""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

from collections import Counter
from typing import Any, NamedTuple

from lstm_research.blocked import Program, literal
from lstm_research.blockwise import Unblockable

ROWS = 2  # the rows that a program is traced with: neither a number nor, by the width, a vector


class Block(NamedTuple):
    """A block of an array: the place of the array among its kind, and of the block in the array."""

    leaf: int
    at: int
    row: int = 0  # of a matrix: the block of units that it reads


class Sum(NamedTuple):
    """Products that add up: (operand, matrix block) of each, and the variable that they make."""

    terms: tuple[tuple[Any, Block], ...]
    made: Any


class Stage(NamedTuple):
    """What is done for a tile: the sums, the equations after them, and what is written."""

    sums: tuple[Sum, ...]
    equations: tuple[Any, ...]
    written: tuple[Any, ...]  # values for which another stage asks
    outputs: tuple[int, ...]  # places among the outputs of the program


class Stages(NamedTuple):
    """A program as stages."""

    program: Program
    stages: tuple[Stage, ...]
    inputs: dict[Any, Block]  # of arrays, not of matrices
    kept: tuple[Any, ...]  # values that pass from stage to stage and are neither inputs nor outputs


def staged(made: Program, leaves: list[int], grids: list[tuple[int, int]]) -> Stages:
    """Return a program as stages; leaves: blocks of each array, grids: those of each matrix."""
    inputs, matrices = placed(made, leaves, grids)
    uses = Counter(
        var for equation in made.equations for var in equation.invars if not literal(var)
    )
    uses.update(var for var in made.outputs if not literal(var))
    depth: dict[Any, int] = dict.fromkeys(inputs, 0) | {var: 0 for var, _ in made.constants}
    sums: dict[Any, Sum] = {}
    rest: list[Any] = []
    for equation in made.equations:
        reads = [var for var in equation.invars if not literal(var)]
        (out,) = equation.outvars
        if equation.primitive.name == "dot_general":
            operand, matrix = reads
            if matrix not in matrices or literal(equation.invars[0]):
                raise Unblockable("a recurrent matrix changes inside the loop")
            depth[out] = depth[operand] + 1
            sums[out] = Sum(((operand, matrices[matrix]),), out)
            continue
        if any(var in matrices for var in reads):
            raise Unblockable(f"{equation.primitive.name} reads a recurrent matrix as a whole")
        depth[out] = max((depth[var] for var in reads), default=0)
        if joined(equation, sums, uses, depth):
            terms = tuple(term for var in reads for term in sums.pop(var).terms)
            sums[out] = Sum(terms, out)
        else:
            rest.append(equation)
    last = max(depth.values(), default=0)
    place = places(made, rest, sums, depth, last)
    asked = crossing(made, rest, sums, depth, place, inputs)
    outputs = {var for var in made.outputs if not literal(var)}
    stages = tuple(
        Stage(
            tuple(each for var, each in sums.items() if depth[var] == s),
            tuple(eq for eq in rest if place[eq.outvars[0]] == s),
            tuple(var for var in asked if place.get(var, -1) == s),
            tuple(i for i, var in enumerate(made.outputs) if at(place, var, last) == s),
        )
        for s in range(last + 1)
    )
    kept = tuple(var for var in asked if var not in outputs)
    return Stages(made, tuple(stage for stage in stages if any(stage)), inputs, kept)


def at(place: dict[Any, int], var: Any, last: int) -> int:
    """Return the stage in which an output is written: inputs and numbers at the end."""
    return last if literal(var) else place.get(var, last)


def placed(
    made: Program, leaves: list[int], grids: list[tuple[int, int]]
) -> tuple[dict[Any, Block], dict[Any, Block]]:
    """Return where each input comes from, arrays and matrices apart."""
    blocks = [Block(leaf, k) for leaf, n in enumerate(leaves) for k in range(n)]
    pieces = [
        Block(leaf, column, row)
        for leaf, (rows, columns) in enumerate(grids)
        for row in range(rows)
        for column in range(columns)
    ]
    arrays, matrices = made.inputs[: len(blocks)], made.inputs[len(blocks) :]
    return dict(zip(arrays, blocks, strict=True)), dict(zip(matrices, pieces, strict=True))


def joined(equation: Any, sums: dict[Any, Sum], uses: Counter, depth: dict[Any, int]) -> bool:
    """Say whether an equation only adds two sums of the same stage, each used nowhere else."""
    if equation.primitive.name not in ("add", "add_any"):
        return False
    one, other = equation.invars
    both = one is not other and not literal(one) and not literal(other)
    return (
        both
        and all(v in sums and uses[v] == 1 for v in (one, other))
        and depth[one] == depth[other]
    )


def places(
    made: Program, rest: list[Any], sums: dict[Any, Sum], depth: dict[Any, int], last: int
) -> dict[Any, int]:
    """Return the stage of each equation's value: as late as its first use allows, outputs at once."""
    wanted: dict[Any, int] = {}

    def want(var: Any, stage: int) -> None:
        if not literal(var):
            wanted[var] = min(wanted.get(var, last), stage)

    for var in made.outputs:
        if not literal(var) and var in depth:
            want(var, depth[var])
    place = {var: depth[var] for var in sums}
    for each in sums.values():
        for operand, _ in each.terms:
            want(operand, depth[each.made] - 1)
    for equation in reversed(rest):
        (out,) = equation.outvars
        place[out] = max(depth[out], wanted.get(out, last))
        for var in equation.invars:
            want(var, place[out])
    return place


def crossing(
    made: Program, rest: list[Any], sums: dict[Any, Sum], depth: dict[Any, int],
    place: dict[Any, int], inputs: dict[Any, Block],
) -> list[Any]:  # fmt: skip
    """Return the values that a later stage reads, and the operands of products, inputs left out."""
    found: dict[Any, None] = {}
    fixed = {var for var, _ in made.constants} | set(inputs)
    for each in sums.values():
        found |= {operand: None for operand, _ in each.terms if operand not in fixed}
    for equation in rest:
        for var in equation.invars:
            if not literal(var) and var not in fixed and place[var] < place[equation.outvars[0]]:
                found[var] = None
    return list(found)
