"""The figures as Markdown: what was promised, then a table a section and shape."""

import statistics
from collections.abc import Callable
from typing import Any

from race import gpu
from race.figures import (
    OURS,
    Figure,
    Line,
    Record,
    best,
    differing,
    figure,
    newest,
    parts,
    per_block,
    promises,
    said,
    square,
)
from race.products import flops
from race.sections import CELLS, LIMIT, SPLIT

TITLES = {
    "train": "Training step", "forward": "Forward pass", "stream": "Batch of one: NumPy in, NumPy out",
    "variants": "Training step of our cells", "memory": "Memory of one training step",
    "start": "Time to the first training step", "gpu train": "Training step, GPU",
    "gpu forward": "Forward pass, GPU", "gpu variants": "Training step of our cells, GPU, bfloat16",
    "gpu pack": "Runs packed into one program, GPU, bfloat16",
}  # fmt: skip
MARK = {True: "yes", False: "**no**", None: ""}


def render(lines: list[Line]) -> str:
    """Return the whole page."""
    found = newest(lines)
    body = [head(list(found.values())), targets(lines)]
    body += [section(line) for line in sorted(found.values(), key=lambda line: order(line))]
    return "\n\n".join(body) + "\n"


def order(line: Line) -> int:
    """Return where a section stands on the page."""
    return list(TITLES).index(line["section"])


def head(lines: list[Line]) -> str:
    """Return title and provenance: machines, commits, versions, load."""
    text = ["# How fast: ours beside every other LSTM", PROCEDURE]
    machines = {about(line) for line in lines}
    return "\n\n".join([*text, *sorted(machines)])


PROCEDURE = (
    "One training step is forward, backward and gradient descent on the mean of h squared over all "
    "steps, float32 unless said, all from the same weights. ms: median of the rounds of one run, in which "
    "the contestants take turns; a figure stands for the best setting of its row. `python "
    "experiments/speed.py` measures it; every round is in the `.jsonl` beside this file."
)


def about(line: Line) -> str:
    """Return where a line was measured."""
    around, machine = line["environment"], line["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in around["versions"].items() if v)
    where = machine["gpu"] if line["section"].startswith("gpu") else machine["processor"]
    commit = str(around["commit"])[:10] + ("+" if around["dirty"] else "")
    return (
        f"Measured on {where}, {machine['cores']} cores, {machine['memory_gib']} GiB; commit {commit} "
        f"(+: with changes); {versions}."
    )


def targets(lines: list[Line]) -> str:
    """Return the table of what was promised."""
    rows = [f"| {p.what} | {p.wanted} | {p.found} | {MARK[p.met]} |" for p in promises(lines)]
    return "\n".join(["| target | wanted | measured | met |", "|---|---|---|---|", *rows])


def section(line: Line) -> str:
    """Return the table of a section and a shape, with when and how busy the machine was."""
    title = TITLES[line["section"]]
    if line["shape"]:
        names = ("batch", "time", "features", "hidden")
        title += ": " + ", ".join(f"{n} {v}" for n, v in zip(names, line["shape"], strict=True))
    before, after = line["machine"]["load"]
    foot = f"{line['environment']['started']}; load {before} before, {after} after; {line['took_s']} s."
    wrong = differing(line)
    if wrong:
        foot += f" **Other losses at the start, so other work: {'; '.join(wrong)}.**"
    return f"## {title}\n\n{TABLES[line['section']](line)}\n\n{foot}"


def rows(line: Line, groups: dict[str, list[Record]], base: Figure | None) -> list[str]:
    """Return a row a name: its best setting, or why there is none."""
    lines: list[str] = []
    for name, records in groups.items():
        taken = [each for record in records if (each := figure(record))]
        if not taken:
            why = "; ".join(sorted({f"{r['status']}: {r.get('reason', '')}" for r in records}))
            lines.append(f"| {name} | | | | {why} |")
            continue
        one = min(taken)
        times = f"{one.ms / base.ms:.2f}" if base else ""
        others = "; ".join(f"{each.setting} {number(each.ms)}" for each in taken if each is not one)
        spread = f"{number(one.low)} to {number(one.high)}"
        lines.append(
            f"| {name} | {number(one.ms)} | {spread} | {times} | {one.setting} | {others} |"
        )
    return lines


HEAD = "| | ms | 10 % to 90 % | times ours | setting | others, ms |\n|---|---|---|---|---|---|"


def number(ms: float) -> str:
    """Return milliseconds with three digits."""
    return f"{ms:.3g}" if ms < 100 else f"{ms:.0f}"


def grouped(line: Line, **job: Any) -> dict[str, list[Record]]:
    """Return the records of each name; a rival whose batch we split is a name of its own."""
    groups: dict[str, list[Record]] = {}
    for record in line["rivals"]:
        if record["name"].startswith(LIMIT):
            continue
        if any(record["job"].get(key) != value for key, value in job.items()):
            continue
        own = record["name"].startswith("ours") or record["name"] in CELLS
        name = (
            record["name"]
            if own or record["setting"] != SPLIT
            else f"{record['name']}, split by us"
        )
        groups.setdefault(name, []).append(record)
    return groups


def competition(line: Line) -> str:
    """Return who takes how long, and beside which limit."""
    table = "\n".join([HEAD, *rows(line, grouped(line), best(line, OURS))])
    return "\n\n".join([table, *limits(line)])


def limits(line: Line) -> list[str]:
    """Return the limit by the square product, and our step in parts with the largest named."""
    names = {r["name"] for r in line["rivals"] if r["name"].startswith("ours")}
    on_cpu = not line["section"].startswith("gpu")
    ours, ms, found = best(line, OURS if on_cpu else names), square(line), parts(line)
    if not ours or not ms:
        return []
    rate = flops(line["shape"]) / ms / 1e6
    text = [
        f"GEMM limit {number(ms)} ms: {flops(line['shape']) / 1e9:.2f} GFLOP a training step at "
        f"{rate:.0f} GFLOP/s, the rate of a large square product in this run. Ours is at "
        f"{100 * ms / ours.ms:.0f} % of it."
    ]
    if found:
        largest = max(found, key=lambda name: found[name])
        listed = "; ".join(f"{name} {number(value)}" for name, value in found.items())
        text.append(
            f"Parts of ours, each measured alone ({ours.setting}), ms: {listed}; together "
            f"{number(sum(found.values()))} of {number(ours.ms)}. Limiting term: {largest}."
        )
    return text


def streaming(line: Line) -> str:
    """Return two tables: a step a call, a sequence a call."""
    found: list[str] = []
    for work in ("step", "sequence"):
        table = rows(line, grouped(line, work=work), best(line, OURS, work=work))
        found.append("\n".join([f"A {work} a call:\n", HEAD, *table]))
    return "\n\n".join(found)


def cells(line: Line) -> str:
    """Return our cells beside our LSTM, whole and a recurrent block."""
    lines = ["| cell | ms | 10 % to 90 % | times LSTM | recurrent blocks | a block, times LSTM |"]
    lines.append("|---|---|---|---|---|---|")
    base = best(line, "lstm")
    for cell, blocks in CELLS.items():
        one, block = best(line, cell), per_block(line, cell)
        if one is None or base is None or block is None:
            why = next(
                (r.get("reason", r["status"]) for r in line["rivals"] if r["name"] == cell), ""
            )
            lines.append(f"| {cell} | {why} | | | {blocks} | |")
            continue
        spread = f"{number(one.low)} to {number(one.high)}"
        times = f"{one.ms / base.ms:.2f}"
        lines.append(f"| {cell} | {number(one.ms)} | {spread} | {times} | {blocks} | {block:.2f} |")
    return "\n".join(lines)


def memory(line: Line) -> str:
    """Return the most memory of each contestant and length."""
    lines = ["| | batch, time, features, hidden | MiB at most | MiB before |", "|---|---|---|---|"]
    for r in line["rivals"]:
        found = (r["mib"], r["before_mib"]) if r["status"] == "measured" else (r.get("reason"), "")
        lines.append(f"| {r['name']} | {said(r['job']['shape'])} | {found[0]} | {found[1]} |")
    return "\n".join(lines)


def start(line: Line) -> str:
    """Return the seconds of a first and of later launches."""
    (r,) = line["rivals"]
    if r["status"] != "measured":
        return f"{r['name']}: {r['reason']}"
    later = ", ".join(f"{s:.2f}" for s in r["seconds"])
    return (
        f"`{r['name']} {' '.join(r['job']['command'])}`: {r['first_s']:.2f} s with an empty cache of "
        f"programs, then {statistics.median(r['seconds']):.2f} s ({later})."
    )


def on_gpu(line: Line) -> str:
    """Return a row a contestant and dtype, µs a time step, times cuDNN's best of the dtype."""
    lines = [
        "| | dtype | ms | 10 % to 90 % | µs a time step | cuDNN over it |",
        "|---|---|---|---|---|---|",
    ]
    for r in line["rivals"]:
        if r["name"].startswith(LIMIT):
            continue
        dtype, one = r["job"].get("dtype", "float32"), figure(r)
        runs = r["job"].get("runs") or 1
        name = r["name"] if runs == 1 else f"{r['name']}, {runs} runs, for each"
        if one is None:
            lines.append(f"| {name} | {dtype} | {r['status']}: {r.get('reason', '')} | | | |")
            continue
        names = {x["name"] for x in line["rivals"] if x["name"].startswith("cuDNN")}
        base, ms = best(line, names, dtype=dtype), one.ms / runs
        over = f"{base.ms / ms:.2f}" if base else ""
        spread = f"{number(one.low / runs)} to {number(one.high / runs)}"
        step = 1e3 * ms / line["shape"][1]
        lines.append(f"| {name} | {dtype} | {number(ms)} | {spread} | {step:.2f} | {over} |")
    if line["section"] in ("gpu train", "gpu forward") and tuple(line["shape"]) == gpu.SHAPES[-1]:
        for row in gpu.PUBLISHED:
            ms = row.forward if line["section"] == "gpu forward" else row.train
            lines.append(f"| *{row.name}* | published | {ms} | | {ms / 1.024:.2f} | |")
        lines.append(f"\n*Published, H100:* {gpu.CITED}.")
    if (line["section"], tuple(line["shape"])) == ("gpu pack", gpu.PACK):
        lines.append(f"\n*Where it goes:* {gpu.PROFILE}.")
    return "\n\n".join(["\n".join(lines), *limits(line)])


def short(line: Line) -> str:
    """Return a line a contestant, for the terminal."""
    text = [f"{line['section']} {said(line['shape'] or ())}"]
    for r in line["rivals"]:
        kind = " ".join(str(r["job"][k]) for k in ("work", "dtype", "runs") if r["job"].get(k))
        text.append(f"  {r['name']:<34} {r.get('setting', ''):<16} {kind:<16} {value(r)}")
    return "\n".join(
        [*text, *(f"  {p.what}: {p.found}, wanted {p.wanted}" for p in promises([line]))]
    )


def value(record: Record) -> str:
    """Return what a record came to, in a word."""
    if one := figure(record):
        return f"{one.ms / (record['job'].get('runs') or 1):10.4f} ms"
    if "mib" in record:
        return f"{record['mib']} MiB at {said(record['job']['shape'])}"
    return str(record.get("seconds", f"{record['status']}: {record.get('reason')}"))


TABLES: dict[str, Callable[[Line], str]] = {
    "train": competition, "forward": competition, "stream": streaming, "variants": cells,
    "memory": memory, "start": start, "gpu train": on_gpu, "gpu forward": on_gpu,
    "gpu variants": cells, "gpu pack": on_gpu,
}  # fmt: skip
