"""From lines to figures: medians, the best setting of each rival, limits, and what was promised.

`lines` are those of speed.jsonl; the newest line of a section and a shape counts. A figure of a rival is
its best setting. Whoever splits the batch over devices as ours does is kept apart: no rival does it on
its own.
"""

import math
import statistics
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from race.products import flops, terms
from race.sections import CELLS, HELD, LIMIT, PEERS, PIECES, SPLIT

Record = dict[str, Any]
Line = dict[str, Any]
OURS = "ours, auto"


class Figure(NamedTuple):
    """A median in ms with its 10th and 90th percentile, and the setting that it comes from."""

    ms: float
    low: float
    high: float
    setting: str


class Promise(NamedTuple):
    """A target, what was measured, and whether it holds; `met` is None where a part is missing."""

    what: str
    wanted: str
    found: str
    met: bool | None


def newest(lines: Iterable[Line]) -> dict[tuple[str, tuple[int, ...]], Line]:
    """Return the newest line of each section and shape, in the order in which they first came."""
    return {(line["section"], tuple(line["shape"] or ())): line for line in lines}


def figure(record: Record) -> Figure | None:
    """Return the figure of a record; None where nothing was measured."""
    if record["status"] != "measured" or not record.get("ms"):
        return None
    taken = sorted(record["ms"])
    edge = len(taken) // 10
    return Figure(statistics.median(taken), taken[edge], taken[-1 - edge], record["setting"])


def best(
    line: Line, names: Iterable[str] | str, *, split: bool | None = None, **job: Any
) -> Figure | None:
    """Return the best figure among names, and settings; split: only such a setting, or none such."""
    wanted = {names} if isinstance(names, str) else set(names)
    found = [
        each
        for record in line["rivals"]
        if record["name"] in wanted
        and (split is None or (record["setting"] == SPLIT) == split)
        and all(record["job"].get(key) == value for key, value in job.items())
        and (each := figure(record))
    ]
    return min(found, default=None)


def limit(line: Line, setting: str) -> dict[str, float]:
    """Return ms a training step of each term of the limit in a setting, as measured alone."""
    counts = {name: count for name, (_, _, count) in terms(line["shape"]).items()} | {
        "all but R": 1
    }
    alone = {
        r["name"].removeprefix(LIMIT): figure(r) for r in line["rivals"] if r["setting"] == setting
    }
    return {name: found.ms * n for name, n in counts.items() if (found := alone.get(name))}


def square(line: Line) -> float | None:
    """Return ms of the training step's products at the rate of the large square product."""
    for record in line["rivals"]:
        found = figure(record)
        if found and record["name"].startswith(LIMIT) and record["name"].endswith("cubed"):
            return flops(line["shape"]) * found.ms / (2 * math.prod(record["job"]["product"]))
    return None


def parts(line: Line) -> dict[str, float]:
    """Return the parts of our training step that add up: R's products, dR, and all the rest."""
    ours = best(line, OURS)
    return limit(line, ours.setting) if ours else {}


def differing(line: Line) -> list[str]:
    """Return who began with another loss than ours, and so did other work."""
    groups: dict[str, float] = {}
    wrong: list[str] = []
    for record in line["rivals"]:
        job = record["job"]
        if "loss" not in record or job.get("bare") or job.get("work") == "product":
            continue
        first = groups.setdefault(
            str((job.get("work"), job.get("cell"), job.get("shape"))), record["loss"]
        )
        half = job.get("dtype", "float32") != "float32"
        if not math.isclose(record["loss"], first, rel_tol=3e-2 if half else 1e-4):
            wrong.append(f"{record['name']} ({record['loss']:.6g}, not {first:.6g})")
    return wrong


def ratio(other: Figure | None, ours: Figure | None) -> float | None:
    """Return how many times ours another takes."""
    return other.ms / ours.ms if other and ours else None


def growth(line: Line, name: str = OURS) -> tuple[float, float] | None:
    """Return (MiB of the longest step, exponent of the growth over the last doubling)."""
    found = {
        r["job"]["shape"][1]: (r["mib"], r["mib"] - r["before_mib"])
        for r in line["rivals"]
        if r["name"] == name and r["status"] == "measured"
    }
    if len(found) < 2:
        return None
    (short, (_, less)), (long, (most, more)) = sorted(found.items())[-2:]
    return most, math.log(more / less) / math.log(long / short)


def per_block(line: Line, cell: str) -> float | None:
    """Return the time of a cell a recurrent block over that of our LSTM."""
    blocks = CELLS[cell] / CELLS["lstm"]
    found = ratio(best(line, cell), best(line, "lstm"))
    return None if found is None else found / blocks


def rivals(line: Line, names: Iterable[str]) -> float | None:
    """Return how many times ours the best of some rivals takes, each in its own best setting."""
    return ratio(best(line, names, split=False), best(line, OURS))


def at_least(what: str, wanted: float, found: float | None, unit: str = "x") -> Promise:
    """Return a promise that a figure is no smaller than wanted."""
    said = "not measured" if found is None else f"{found:.2f}{unit}"
    return Promise(
        what, f"at least {wanted:g}{unit}", said, None if found is None else found >= wanted
    )


def at_most(what: str, wanted: float, found: float | None, unit: str = "") -> Promise:
    """Return a promise that a figure is no larger than wanted."""
    said = "not measured" if found is None else f"{found:.2f}{unit}"
    return Promise(
        what, f"at most {wanted:g}{unit}", said, None if found is None else found <= wanted
    )


def promises(lines: Iterable[Line]) -> list[Promise]:
    """Return every target that these lines can tell of."""
    return [
        each
        for line in newest(lines).values()
        for each in PROMISES.get(line["section"], none)(line)
    ]


def none(line: Line) -> list[Promise]:
    """Return nothing: this section promises nothing."""
    return []


def of_train(line: Line) -> list[Promise]:
    """Return what is promised of a training step on a CPU."""
    where = f"train {said(line['shape'])}"
    if line["shape"][3] >= 512:
        torch, peers = rivals(line, ["torch nn.LSTM"]), rivals(line, PEERS)
        return [
            at_least(f"{where}: torch", 1.3, torch),
            at_least(f"{where}: best of JAX", 2.0, peers),
            *of_held(line, where, 1.3),
        ]
    found = [at_least(f"{where}: best rival", 2.5, rivals(line, [*PEERS, "torch nn.LSTM"]))]
    found += of_held(line, where, 2.5)
    ours, square_ms = best(line, OURS), square(line)
    if tuple(line["shape"]) == (64, 100, 2, 128):
        part = 100 * square_ms / ours.ms if ours and square_ms else None
        found.append(at_least(f"{where}: of the GEMM limit", 60, part, " %"))
    return found


def of_held(line: Line, where: str, wanted: float) -> list[Promise]:
    """Return the same where everybody keeps freed memory, if that was measured."""
    names = {r["name"] for r in line["rivals"] if r["name"].endswith(HELD)}
    ours = {name for name in names if name.startswith("ours")}
    if not ours:
        return []
    over = ratio(best(line, names - ours), best(line, ours))
    return [at_least(f"{where}: best rival, all with {HELD}", wanted, over)]


def of_stream(line: Line) -> list[Promise]:
    """Return what is promised of a batch of one."""
    found: list[Promise] = []
    for work in ("step", "sequence"):
        ours = best(line, OURS, work=work)
        for names in (("torch nn.LSTM", "torch nn.LSTMCell"), ("onnxruntime",)):
            value = ratio(best(line, names, work=work), ours)
            found.append(
                at_least(f"batch 1, a {work} a call, {said(line['shape'])}: {names[0]}", 1.0, value)
            )
    return found


def of_variants(
    most: float, apart: tuple[str, ...] = (), block: bool = True
) -> Callable[[Line], list[Promise]]:
    """Return what is promised of gates: the slowest, a recurrent `block` or whole; `apart` are let off."""

    def check(line: Line) -> list[Promise]:
        times = (
            per_block if block else lambda line, cell: ratio(best(line, cell), best(line, "lstm"))
        )
        found = {
            cell: value
            for cell in CELLS
            if (value := times(line, cell)) and cell not in ("lstm", *apart)
        }
        worst = max(found, key=lambda cell: found[cell], default="gates")
        slowest = "slowest a block" if block else "slowest"
        what = f"{line['section']} {said(line['shape'])}: {slowest}, {worst}"
        return [at_most(what, most, found.get(worst), "x")]

    return check


def of_memory(line: Line) -> list[Promise]:
    """Return what is promised of the longest training step."""
    most, power = growth(line) or (None, None)
    least, root = growth(line, PIECES) or (None, None)
    return [
        at_most("memory at T=100,000, all h", 2048, most, " MiB"),
        at_most("memory at T=100,000, h read in pieces", 2048, least, " MiB"),
        at_most("growth of the memory, all h, power of T", 0.5, power),
        at_most("growth of the memory, h read in pieces, power of T", 0.5, root),
    ]


def of_start(line: Line) -> list[Promise]:
    """Return what is promised of a second launch."""
    record = line["rivals"][0]
    later = statistics.median(record["seconds"]) if record["status"] == "measured" else None
    return [at_most("second launch to the first training step", 3, later, " s")]


def of_gpu(line: Line) -> list[Promise]:
    """Return what is promised beside cuDNN, a dtype a line."""
    ours = sorted({r["name"] for r in line["rivals"] if r["name"].startswith("ours")})
    cudnn = sorted({r["name"] for r in line["rivals"] if r["name"].startswith("cuDNN")})
    return [
        at_least(
            f"{line['section']} {said(line['shape'])}, {dtype}: cuDNN", 1.0,
            ratio(best(line, cudnn, dtype=dtype), best(line, ours, dtype=dtype)),
        )
        for dtype in ("bfloat16", "float16")
    ]  # fmt: skip


def of_pack(line: Line) -> list[Promise]:
    """Return what is promised of many runs beside one."""
    ours = [figure(r) for r in line["rivals"] if r["name"].startswith("ours")]
    over = ratio(ours[1], ours[0])
    runs = line["rivals"][-1]["job"]["runs"]
    return [
        at_most(f"{line['section']} {said(line['shape'])}: {runs} runs beside one", 3, over, "x")
    ]


def said(shape: Iterable[int]) -> str:
    """Return a shape as the tables write it."""
    return "(" + ", ".join(map(str, shape)) + ")"


PROMISES: dict[str, Callable[[Line], list[Promise]]] = {
    "train": of_train, "stream": of_stream, "memory": of_memory, "start": of_start,
    "variants": of_variants(1.15, apart=("gru",)),
    "gpu train": of_gpu, "gpu variants": of_variants(1.2, block=False), "gpu pack": of_pack,
}  # fmt: skip
