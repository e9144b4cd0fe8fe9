"""Where a thread's part of an array lies, and the text that reads and writes it: pairs of neighbouring units.

Where its first pair lies is computed; the others lie at a distance that the compiler knows.
"""

from collections.abc import Iterator
from typing import Any

from lstm_research.cuda_plan import ASIDE, TIMED, Spec, count, like, used


def turn(spec: Spec, s: str) -> str:
    """Return the step in the arrays that is the s-th of the loop."""
    return f"steps - 1 - {s}" if spec.reverse else s


def pointers(spec: Spec) -> list[str]:
    """Return the parameters of a kernel that are arrays, as `shapes` has them."""
    numbers = ("Half" if i in spec.halves else "float" for i in range(spec.arguments))
    found = [f"const {each}* __restrict__ a{i}" for i, each in enumerate(numbers)]
    for i, each in enumerate(spec.outputs):
        if each.kind != "operand":
            found.append(f"{'Half' if each.kind == 'halves' else 'float'}* __restrict__ o{i}")
    found += [f"unsigned* x{i}" for i in range(len(spec.operands))]
    return found + (["unsigned* flags"] if spec.spread.joined == "flags" else [])


def moved(spec: Spec) -> Iterator[str]:
    """Give the moving of pointers to the arrays of a run."""
    if not spec.runs:
        return
    yield f"const size_t run = BLOCK / {spec.spread.members * spec.groups};"
    timed, sizes = f"(size_t)steps * {spec.rows}", dict[int, str]()
    for each in spec.inputs:
        rows = "1" if each.kind == "shared" else timed if each.kind in TIMED else str(spec.rows)
        sizes[each.start] = f"{rows} * {each.width}"
        if each.kind == "next":
            sizes[each.whole] = f"{timed} * {each.width}"
    sizes |= {argument: str(rows * columns) for argument, rows, columns in spec.matrices}
    for i, size in sizes.items():
        if spec.each[i]:
            yield f"a{i} += run * ({size});"
    for i, each in enumerate(spec.outputs):
        rows = timed if each.kind in TIMED else str(spec.rows)
        rows = str(spec.parts * spec.feeds) if each.kind == "fed" else rows
        if each.kind != "operand":
            yield f"o{i} += run * ({rows} * {each.width});"
    for i, group in enumerate(spec.operands):
        width = len(group) * spec.spread.units // 2
        if spec.kept:
            yield f"x{i} += run * ((size_t)steps * {spec.operand_rows} * {width});"


def index(spec: Spec, leaf: int, at: str) -> str:
    """Return where an input's block holds what belongs to an element."""
    return {"unit": f"({at}) & 1", "row": f"({at}) >> 1", "each": at}[like(spec, leaf)]


def blocks(spec: Spec, *kinds: str) -> list[tuple[int, int, Any]]:
    """Return (leaf, block, input) of the blocks of inputs of some kinds."""
    found = {(b.leaf, b.at): spec.inputs[b.leaf] for b in used(spec.stages).values()}
    return [(*key, each) for key, each in sorted(found.items()) if each.kind in kinds]


def declared(spec: Spec, prefix: str, leaf: int, at: int) -> str:
    """Return the declaration of the elements of a block; those of a step to come are as they lie."""
    if prefix == "n" and spec.inputs[leaf].kind == "halves":
        return f"unsigned {prefix}{leaf}_{at}[{spec.spread.pairs}];"
    return f"float {prefix}{leaf}_{at}[{count(spec, leaf)}];"


def place(spec: Spec, array: str, width: int, at: int, step: str | None) -> str:
    """Return where an array holds a thread's j-th pair; step None: of one without time."""
    row = "(size_t)first" if step is None else f"((size_t)({step}) * {spec.rows} + first)"
    unit = "" if width == 1 else f" + unit + {at * spec.hidden}"
    return f"{array} + {row} * {width}{unit} + {ASIDE} * {width}"


def load(
    spec: Spec, target: str, leaf: int, at: int, array: str, step: str | None
) -> Iterator[str]:
    """Give the reading of a block's elements; step None: of an array without time."""
    given, hidden, one = spec.inputs[leaf], spec.hidden, like(spec, leaf)
    block, halves = f"{target}{leaf}_{at}", given.kind == "halves"
    where, there = place(spec, array, given.width, at, step), "alive[j]"
    if one == "unit":
        where, there = f"{array} + unit + {at * hidden}" if given.width > 1 else array, "true"
    yield f"UNROLL for (int j = 0; j < {1 if one == 'unit' else spec.spread.pairs}; ++j) {{"
    if given.width == 1 and not halves:
        yield f"const float x = owner && {there} ? *({where}) : 0.0f;"
        both = f"{block}[2 * j] = {block}[2 * j + 1] = x; }}"
        yield f"{block}[j] = x; }}" if one == "row" else both
    else:
        to = f"{block} + {'j' if halves else '2 * j'}"
        yield f"pair<{even(spec)}>({where}, one && {there}, two && {there}, {to}); }}"


def store(spec: Spec, source: str, leaf: int, at: int, step: str | None) -> Iterator[str]:
    """Give the writing of a block's elements."""
    where = place(spec, f"o{leaf}", spec.outputs[leaf].width, at, step)
    yield f"UNROLL for (int j = 0; j < {spec.spread.pairs}; ++j)"
    yield f"write<{even(spec)}>({where}, one && alive[j], two && alive[j], {source}{leaf}_{at} + 2 * j);"


def even(spec: Spec) -> str:
    """Say whether two neighbouring units are read at once."""
    return "true" if spec.hidden % 2 == 0 else "false"
