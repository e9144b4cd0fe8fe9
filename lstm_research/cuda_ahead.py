"""The reading of what a step needs before that step: asked for some steps ahead, read one step ahead.

A thread asks the GPU's memory for a sector of its tile (`soon`), which then lies in the second cache; it
reads its own elements during the step before, and takes them when that step has ended, for who looked at
them would wait.
"""

from collections.abc import Iterator

from lstm_research import cuda_feeding as feeding
from lstm_research.cuda_arrays import blocks, declared, load, turn
from lstm_research.cuda_plan import ASIDE, TIMED, Spec, count

SOON = 4  # steps ahead of which inputs are asked for


def begin(spec: Spec) -> Iterator[str]:
    """Give the functions ahead(s) and soon(s), and the declarations of what they read."""
    for leaf, at, _ in blocks(spec, *TIMED, "next"):
        yield declared(spec, "i", leaf, at)
        yield declared(spec, "n", leaf, at)
    yield from feeding.begin(spec)
    yield "auto ahead = [&](int s) {"
    yield f"const int t = {turn(spec, 's')};"
    for leaf, at, each in blocks(spec, *TIMED):
        yield from load(spec, "n", leaf, at, f"a{each.start}", "t")
    for leaf, at, each in blocks(spec, "next"):
        array = f"(s == steps - 1 ? a{each.start} : a{each.whole})"
        step = f"(s == steps - 1 ? 0 : {turn(spec, '(s + 1)')})"
        yield from load(spec, "n", leaf, at, array, step)
    yield from feeding.ahead(spec)
    yield "};"
    if spec.soon:
        yield from soon(spec)


def soon(spec: Spec) -> Iterator[str]:
    """Give soon(s), and which sectors a thread asks for: of a tile's rows, blocks and halves the q-th."""
    arrays, asked = dict[int, list[int]](), list[str]()
    for leaf, at, each in blocks(spec, *TIMED, "next"):
        if each.width > 1:
            arrays.setdefault(leaf, []).append(at)
    for leaf, ats in arrays.items():
        each, next_one = spec.inputs[leaf], spec.inputs[leaf].kind == "next"
        long = 16 if each.kind == "halves" else 8  # numbers of a sector
        sectors, pairs = 16 // long, spec.spread.pairs
        many = len(ats) * pairs * sectors
        time = turn(spec, "(s + 1)" if next_one else "s")
        array = f"a{each.whole if next_one else each.start} + (size_t)({time}) * {spec.rows * each.width}"
        for first in range(0, many, 8):
            name = f"s{leaf}_{first}"
            yield f"int {name} = -1; {{ const int item = {first} + q, j = item / {sectors} % {pairs};"
            yield f"const int ats[] = {{{', '.join(map(str, ats))}}}, row = first + {ASIDE};"
            yield f"const int from = unit - 2 * q + item % {sectors} * {long};"
            yield f"if (owner && item < {many} && row < {spec.rows} && from < {spec.hidden})"
            block = f"ats[item / {sectors * pairs}] * {spec.hidden}"
            yield f"{name} = row * {each.width} + {block} + from; }}"
            asked.append(f"if ({name} >= 0) fetch({array} + {name});")
    yield "auto soon = [&](int s) {"
    yield from asked
    yield "};"


def now(spec: Spec) -> Iterator[str]:
    """Give the taking of what was read for this step."""
    for leaf, at, each in blocks(spec, *TIMED, "next"):
        take, read, size = f"i{leaf}_{at}", f"n{leaf}_{at}", count(spec, leaf)
        if each.kind == "halves":
            yield f"UNROLL for (int j = 0; j < {size // 2}; ++j) widen({read}[j], {take} + 2 * j);"
        else:
            yield f"UNROLL for (int e = 0; e < {size}; ++e) {take}[e] = {read}[e];"
    yield from feeding.now(spec)


def to_come(spec: Spec) -> str:
    """Return the reading for the step to come and the asking for those behind it."""
    asking = f"if (s + {SOON} < steps) soon(s + {SOON});" if spec.soon else ""
    return f"if (s + 1 < steps) ahead(s + 1); {asking}"
