"""Gradients of W inside a kernel: dz of a step times the few numbers that each row is fed.

A product over rows, of a tile of 16 units by 8 numbers. What a thread has finished of dz and read of x
lies as the matrix units take it, so nothing is passed on; the sums stay in four registers a block.
"""

from collections.abc import Callable, Iterator

from lstm_research.cuda_plan import ASIDE, Spec


def begin(spec: Spec) -> Iterator[str]:
    """Give which of the numbers a thread reads: of its rows, the q-th; q as many as there are: 1."""
    if not spec.feeds:
        return
    given = "".join(f"q == {k} ? a{spec.inputs[leaf].start} : " for k, leaf in enumerate(spec.fed))
    yield f"const float* const feed = ({given}nullptr) + first;"
    yield f"const float mark = q == {len(spec.fed) if spec.bias else -1} ? 1.0f : 0.0f;"
    yield f"float fed[{spec.spread.pairs}], feeds[{spec.spread.pairs}];"


def ahead(spec: Spec) -> Iterator[str]:
    """Give the reading of the numbers of step t."""
    if spec.feeds:
        yield f"UNROLL for (int j = 0; j < {spec.spread.pairs}; ++j) {{ feeds[j] = mark;"
        place = f"feed[(size_t)t * {spec.rows} + {ASIDE}]"
        yield f"if (q < {len(spec.fed)} && alive[j]) feeds[j] = {place}; }}"


def now(spec: Spec) -> Iterator[str]:
    """Give the taking of what was read for this step."""
    if spec.feeds:
        yield f"UNROLL for (int j = 0; j < {spec.spread.pairs}; ++j) fed[j] = feeds[j];"


def multiply(spec: Spec, sums: str, read: Callable[[int], str]) -> Iterator[str]:
    """Give the products of a block; read(e): its e-th element of a thread, two of each pair."""
    half, pairs = str(spec.precision == "float16").lower(), spec.spread.pairs
    whole = spec.rows % spec.spread.rows == 0  # else rows that are no sequences hold anything

    def element(j: int, unit: int) -> str:
        lives = ["one" if unit == 0 else "two"] if spec.hidden != spec.spread.units else []
        lives += [] if whole else [f"alive[{j}]"]
        value = read(2 * j + unit)
        return f"({' && '.join(lives)} ? {value} : 0.0f)" if lives else value

    def both(j: int, value: Callable[[int], str]) -> str:
        """Return a pair of rows in one word; a thread that has one row of two finishes half of it."""
        if j >= pairs:
            return "0u"
        if pairs > 1:
            return f"pack<{half}>({value(j)}, {value(j + 1)})"
        return f"pack<{half}>(begun & 1 ? 0.0f : {value(j)}, begun & 1 ? {value(j)} : 0.0f)"

    for j in range(0, pairs, 4):  # two tiles of rows at once
        words = [
            both(k, lambda i, unit=unit: element(i, unit)) for k in (j, j + 2) for unit in (0, 1)
        ]
        numbers = [both(k, lambda i: f"fed[{i}]") for k in (j, j + 2)]
        yield f"{{ const unsigned dz[4] = {{{', '.join(words)}}};"
        yield f"mma<{half}>({sums}, dz, {', '.join(numbers)}); }}"


def end(spec: Spec, leaf: int, at: int) -> Iterator[str]:
    """Give the writing of the sums of a block."""
    width = spec.outputs[leaf].width
    for n in range(2):
        row = f"((size_t)(group * {spec.spread.owners} + turn) * {spec.feeds} + 2 * r + {n})"
        place = f"o{leaf} + {row} * {width} + unit + {at * spec.hidden}"
        yield f"if (2 * r + {n} < {spec.feeds}) {{"
        for unit, lives in enumerate(("one", "two")):
            yield f"if ({lives}) ({place})[{unit}] = f{leaf}_{at}[{n + 2 * unit}];"
        yield "}"
