"""How many runs are spread over a GPU: as many blocks beside each other as a multiprocessor holds.

One run alone waits for its own operands most of the time; what counts for a pack is how much work there
is, and how many registers a thread wants: those that it does not get lie in memory, and a kernel that
spills a third of them takes several times as long.
"""

from lstm_research.cuda_plan import (
    TILE,
    TIMED,
    Spec,
    count,
    heard,
    held,
    spreads,
    sums,
    terms,
    used,
)

MOST, GIVEN = 255, 400  # registers of a thread, and those that it may ask for before it spills many
AHEAD = (*TIMED, "next")  # inputs of which a thread holds those of the next step too
FILE, WHOLE = 2**16, 227 * 2**10  # registers and bytes of shared memory of a multiprocessor


def packed(spec: Spec, blocks: int) -> Spec:
    """Return a kernel of many runs, spread for them.

    Its arrays stay as they are, but for the parts of sums that others add up.
    """
    now, stages = spec.spread, spec.stages
    able = [
        each
        for each in (now, *spreads(spec.hidden, spec.rows, stages, blocks))
        if each.units == now.units and each.joined != "flags"
    ]
    kinds = [spec._replace(spread=each) for each in able]
    best = min(kinds, key=lambda each: crowded(each, blocks))
    return best._replace(soon=best.blocks <= blocks)  # else others work while one waits


def crowded(spec: Spec, blocks: int) -> float:
    """Return about how many cycles a step of all runs takes, by the times of nine spreads on an H200."""
    spread, stages, wanted = spec.spread, spec.stages, registers(spec)
    own = -(-min(MOST, wanted) // 8) * 8  # of a thread; they are given by eights
    beside = max(1, min(FILE // (own * spread.threads), WHOLE // (spec.shared + 1024), 32))
    elements = spread.tiles * TILE * spread.rows
    equations = sum(each.primitive.name != "dot_general" for each in stages.program.equations)
    warps = -(-beside * spread.tiles * spread.slices // 4)  # of a quarter of a multiprocessor
    work = 13.6 * warps * terms(stages) * spread.chunks * 2 * spread.wide
    work += beside * 2.65 * elements * equations / 128
    work += beside * 3.2 * spread.tiles * heard(stages) * spread.units * spread.rows * 2 / 128
    if spread.slices > 1:  # whose sums are added up
        work += beside * (100 + 24 * spread.tiles * spread.slices * sums(stages) * spread.wide)
    work += beside * max(0, wanted - GIVEN) * spread.threads  # what is spilled is written and read
    idle = 700.0 if spread.members == 1 else 600.0 + 50 * spread.members
    step = (0.55 * work + idle) * (0.97 + 0.03 * spread.wide)
    return -(-spec.blocks // (blocks * beside)) * step


def registers(spec: Spec) -> int:
    """Return about how many registers a thread asks for: R, what it hears, and the values of its pairs.

    By what NVIDIA's compiler gave 30 spreads of two cells: up to GIVEN it makes do with MOST, nearly.
    """
    spread, stages = spec.spread, spec.stages
    leaves = [block.leaf for block in used(stages).values()]
    counts = zip(spec.outputs, stages.program.counts, strict=True)
    made = sum(n for output, n in counts if output.kind not in ("operand", "fed"))
    made += max(len(stage.sums) for stage in stages.stages)
    read = sum(count(spec, leaf) for leaf in leaves)
    read += sum(count(spec, leaf) for leaf in leaves if spec.inputs[leaf].kind in AHEAD)
    return held(spread, terms(stages))[0] + 62 + read + 2 * spread.pairs * made
