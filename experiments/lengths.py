"""How far does a cell remember: accuracy against length and lag, cell by cell?

    python experiments/lengths.py                 run what is missing, write lengths.md, .jsonl, pictures
    python experiments/lengths.py --only parity   these tasks
    python experiments/lengths.py --render        write table and pictures again, run nothing

Runs that are in lengths.jsonl or in the store are not run again, so it may be stopped at any moment.
The pictures need altair and vl-convert: pip install -e '.[report]'.

One layer, Adam, gradient norm clipped at 1, every cell at the same width, rate and number of sequences,
which are those of its task and were chosen for the LSTM alone: the curves compare cells as they come, not
cells at their best. Training never stops early; the weights tested are those of the best validation. A
point is the metric over all test predictions whose length or lag falls into its bin: the mean of the
seeds, and in the pictures a band from the worst to the best of them. Where a length of training is given,
the vertical line marks it and what lies to its right was never trained on.
"""

import argparse
import itertools
import math
import re
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ledger import lines, told
from ledger.curves import Curve, Point, draw, picture
from ledger.lines import Line

from lstm_research.cli import answered
from lstm_research.commands.run import launch
from lstm_research.local import Settings

RESULTS = Path(__file__).parent / "results"
LINES = RESULTS / "lengths.jsonl"
SEEDS = 3
CELLS = {
    "lstm": "LSTM",
    "peephole": "peephole LSTM",
    "cifg": "CIFG",
    "gru": "GRU",
    "slstm": "sLSTM",
    "minlstm": "minLSTM",
    "elman": "Elman",
}
BASE = {
    "network.hidden": 32,
    "optimizer.rate": 0.005,
    "budget.batch": 64,
    "budget.steps": 2000,
    "budget.evaluate_every": 200,
    "budget.stop_when_solved": "false",
}
BIN = re.compile(r"(?P<metric>.+)@(?P<name>.+)=(?P<low>\d+)(-(?P<high>\d+))?")


class Panel(NamedTuple):
    """A task of the comparison: what it sets, and the longest length or lag that it trains on."""

    setting: str
    trained: int | None = None


FAR = "task.test_length=200"
TASKS = {
    "parity_deletang": Panel(FAR, 40),
    "chomsky/even_pairs": Panel(FAR, 40),
    "chomsky/cycle_navigation": Panel(FAR, 40),
    "words/z5": Panel(FAR, 40),
    "automaton/tomita_6": Panel(FAR, 40),
    "dyck/dyck_1": Panel(FAR, 40),
    "anbn": Panel("", 10),
    "adding": Panel("task.length=50"),
    "reber": Panel(""),
}


def setting(task: str, cell: str) -> dict[str, Any]:
    """Return what a run sets, by key."""
    own = dict(word.split("=", 1) for word in TASKS[task].setting.split())
    return {"task": task, "cell": cell, **BASE, **own}


def brief(line: Line) -> Line:
    """Return a line without what neither table nor pictures need, so that the file stays small."""
    kept = ("status", "steps", "best_step", "metric", "goal", "chance", "parameters", "step_ms",
            "train_s", "compile_s")  # fmt: skip
    test = line["result"]["metrics"].get("test", {})
    return {**line, "result": {name: line["result"][name] for name in kept} | {"test": test}}


def gathered(wanted: Mapping[tuple[str, str], Sequence[Any]], known: Mapping[str, Line]) -> list:
    """Return the lines of the wanted runs that have ended, task by task and cell by cell."""
    return [
        {"task": task, "cell": cell, "trained": TASKS[task].trained}
        | {"setting": TASKS[task].setting}
        | (line if "test" in line["result"] else brief(line))
        for (task, cell), specs in wanted.items()
        for spec in specs
        if (line := known.get(lines.key(spec))) is not None
    ]


def bins(line: Line) -> dict[str, re.Match[str]]:
    """Return the bins of a line's metric, by the names of their numbers; those without one are left out.

    Where the task's own metric is not cut, the first that is stands for it.
    """
    result = line["result"]
    found = {name: BIN.fullmatch(name) for name in result["test"]}
    cut = {name: match for name, match in found.items() if match is not None}
    metrics = {match["metric"] for match in cut.values()}
    first = next(iter(cut.values()))["metric"] if cut else ""
    shown = result["metric"] if result["metric"] in metrics else first
    return {
        name: match
        for name, match in cut.items()
        if match["metric"] == shown and math.isfinite(result["test"][name])
    }


def curves(found: Iterable[Line]) -> Iterator[Curve]:
    """Return a curve for each task and cell: mean, worst and best of the seeds in each bin."""
    for (task, cell), group in itertools.groupby(found, key=lambda x: (x["task"], x["cell"])):
        runs = [line for line in group if line["result"]["test"]]
        if not runs:
            continue
        first = runs[0]["result"]
        points, metric, axis = [], first["metric"], "length"
        for name, match in bins(runs[0]).items():
            metric, axis = match["metric"], match["name"]
            values = [line["result"]["test"][name] for line in runs]
            ends = int(match["low"]), int(match["high"] or match["low"])
            points.append(Point(*ends, statistics.fmean(values), min(values), max(values)))
        points.sort()
        chance = first["chance"].get(metric)
        yield Curve(task, CELLS[cell], metric, axis, runs[0]["trained"], chance, tuple(points))


def rendered(path: Path) -> str:
    """Return the Markdown of the runs in a file."""
    found = lines.read(path)
    text = (__doc__ or "").split("\n\n")
    base = " ".join(f"{key}={value}" for key, value in BASE.items())
    cost = sum(line["result"]["train_s"] + line["result"]["compile_s"] for line in found) / 60
    bad = sum(line["result"]["status"] not in ("solved", "finished") for line in found)
    said = [
        f"# {text[0]}",
        text[-1].strip(),
        f"Every setting begins with `{base}`. {len(found)} runs, {bad} of them diverged; {cost:.0f} "
        f"core-minutes of training and compiling; {told.origin(found)}.",
    ]
    for task, group in itertools.groupby(curves(found), key=lambda curve: curve.task):
        own = next(line for line in found if line["task"] == task)
        seeds = len({line["spec"]["seed"] for line in found if line["task"] == task})
        said += table(list(group), own["setting"], seeds)
    return "\n\n".join(said) + "\n"


def table(group: Sequence[Curve], own: str, seeds: int) -> list[str]:
    """Return the section of a task: a row a cell, a column a bin."""
    first = group[0]
    chance = "" if first.chance is None else f"; chance {told.short(first.chance)}"
    trained = "" if first.trained is None else f"; trained up to {first.trained}"
    heads = [f"{p.low}-{p.high}" if p.high > p.low else f"{p.low}" for p in first.points]
    body = [
        f"| {first.metric} at {first.axis} | " + " | ".join(heads) + " |",
        "|---" * (len(heads) + 1) + "|",
    ]
    for curve in group:
        values = {(point.low, point.high): f"{point.mean:.3g}" for point in curve.points}
        row = [values.get((point.low, point.high), "") for point in first.points]
        body.append(f"| {curve.cell} | " + " | ".join(row) + " |")
    said = f"`{own}`{trained}{chance}; {seeds} seeds."
    shown = f"![{first.task}](lengths/{picture(first.task)})"
    return [f"## {first.task}", said, "\n".join(body), shown]


def main() -> int:
    """Run what is missing, save, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=tuple(TASKS), help="only these tasks")
    parser.add_argument(
        "--render", action="store_true", help="write table and pictures, run nothing"
    )
    parser.add_argument("--runs", default="runs", help="folder of the store (default: runs)")
    options = parser.parse_args()
    code = 0
    if not options.render:
        root, pairs = Path(options.runs), itertools.product(TASKS, CELLS)
        wanted = {pair: lines.specs(setting(*pair), "lengths", SEEDS) for pair in pairs}
        asked = [s for pair in wanted if pair[0] in (options.only or TASKS) for s in wanted[pair]]
        known = lines.known(LINES, root, "lengths")
        if missing := [spec for spec in asked if lines.key(spec) not in known]:
            code = launch(missing, Settings(root), "none")
        lines.write(LINES, gathered(wanted, lines.known(LINES, root, "lengths")))
    LINES.with_suffix(".md").write_text(rendered(LINES), encoding="utf-8")
    if not draw(list(curves(lines.read(LINES))), LINES.with_suffix("")):
        print("no pictures: pip install -e '.[report]'", file=sys.stderr)
    print(LINES.with_suffix(".md").read_text(encoding="utf-8"))
    return code


if __name__ == "__main__":
    sys.exit(answered(main))
