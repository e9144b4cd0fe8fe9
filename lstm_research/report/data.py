"""Everything a page shows, as plain data: each number once, and every run by its place in a list.

The one decision: the page computes nothing that a reader could quote. Means, intervals and tests are those
of `table.py`, made here for every baseline that the page offers.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scipy.special import stdtrit

from lstm_research import digits
from lstm_research.entry import LEVEL, Entry, compared, fate
from lstm_research.grid import agreed
from lstm_research.label import known_as
from lstm_research.plain import canonical, plain
from lstm_research.report import curves, pictures
from lstm_research.store import Record
from lstm_research.table import Row, Run, Table, distinct, gathered, named

Names = Mapping[str, Mapping]
SPLIT = "test"
ROOM = 2_000_000  # characters of a page besides its libraries
COMPARISONS = 20_000  # most paired tests of a page
PARTS = ("cell", "wrap", "task", "network", "optimizer", "budget")
KEPT = (
    *("status", "steps", "solved_at", "diverged_at", "best_step", "parameters", "step_ms"),
    *("compile_s", "train_s", "error"),
)


class Shelf:
    """Values that many runs share, each kept once; a run holds its place."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        """Return the place of a value, kept if it is new."""
        key = canonical(value)
        if key not in self.places:
            self.places[key] = len(self.values)
            self.values.append(value)
        return self.places[key]


class Sorted(NamedTuple):
    """Runs with their names, the table of those that have ended, and the labels of both axes."""

    runs: list[Run]
    table: Table
    variants: list[str]
    tasks: list[str]


def data(
    records: Iterable[Record],
    cells: Names,
    tasks: Names,
    wraps: Names,
    *,
    baseline: str | None = None,
) -> dict[str, Any]:
    """Return the data of a page; raises as `table.table`. One spec in two studies is one run."""
    single = [record for record in distinct(records) if record.spec]
    baseline = known_as(baseline, cells)
    found = arranged(named(single, cells, tasks, wraps), baseline)
    shelves = {name: Shelf() for name in (*PARTS, "environment")}
    runs = [described(run, found, shelves) for run in found.runs]
    read, faults = readable([run.record.path for run in found.runs])
    most = curves.points(curves.count(read))
    by_task = [
        curves.gathered({at: read[at] for at, run in enumerate(runs) if run["task"] == task}, most)
        for task in range(len(found.tasks))
    ]
    whole = {
        "split": SPLIT,
        "level": LEVEL,
        "student": student(most_seeds(found.runs)),
        "variants": found.variants,
        "tasks": [titled(found.table, label) for label in found.tasks],
        "baseline": None if baseline is None else found.variants.index(baseline),
        "agreed": agreed(found.table),
        "entries": [[summary(each, found) for each in line] for line in lines(found)],
        "versus": versus(lines(found), 0 if baseline is None else found.variants.index(baseline)),
        "runs": runs,
        "shared": {name: shelf.values for name, shelf in shelves.items()},
        "curves": [{name: each._asdict() for name, each in one.items()} for one in by_task],
        "points": most,
        "notes": [*found.table.notes, *told(most, by_task), *faults],
    }  # fmt: skip
    return illustrated(whole, found.runs)


def illustrated(whole: dict[str, Any], runs: Sequence[Run]) -> dict[str, Any]:
    """Return the data with the pictures that still have room, of every variant before any twice."""
    first = sorted(range(len(runs)), key=lambda at: seed(runs[at]))
    files = {at: pictures.pictures(runs[at].record.path) for at in first}
    room = ROOM - len(json.dumps(whole, separators=(",", ":")))
    shown, left = pictures.within(files, room)
    note = f"{left} pictures had no room in this page; they lie in the runs' inspect folders."
    notes = [*whole["notes"], *([note] if left else [])]
    return {**whole, "pictures": {str(at): each for at, each in shown.items()}, "notes": notes}


def arranged(runs: Sequence[Run], baseline: str | None) -> Sorted:
    """Return runs in the order of the variants, and the table of those that have ended."""
    ended = [run for run in runs if run.record.result is not None]
    table = gathered(ended, len(runs) - len(ended), split=SPLIT, baseline=baseline)
    rows = [row.label for row in table.rows]
    order = {run.row: run.order for run in runs}
    waiting = sorted(set(order) - set(rows), key=order.__getitem__)
    variants = [*rows, *waiting]
    titles = [column.label for column in table.columns]
    tasks = [*titles, *sorted({run.column for run in runs} - set(titles))]
    place = lambda run: (variants.index(run.row), tasks.index(run.column), seed(run))
    return Sorted(sorted(runs, key=place), table, variants, tasks)


def seed(run: Run) -> int:
    """Return the seed of a run, -1 where its spec has none."""
    found = run.record.spec.get("seed")
    return found if isinstance(found, int) else -1


def lines(found: Sorted) -> list[list[Entry | None]]:
    """Return the entries by variant and task, None where nothing has ended."""
    row = {each.label: each for each in found.table.rows}
    absent = Row("", (None,) * len(found.table.columns))
    pad = [None] * (len(found.tasks) - len(found.table.columns))
    return [[*row.get(label, absent).entries, *pad] for label in found.variants]


def titled(table: Table, label: str) -> dict[str, Any]:
    """Return a task: its label, metric, direction, chance and whether it can be solved."""
    for column in table.columns:
        if column.label == label:
            return {
                "label": label,
                "metric": column.metric,
                "goal": column.goal,
                "chance": column.chance,
                "criterion": column.criterion,
            }
    return {"label": label, "metric": "", "goal": "min", "chance": None, "criterion": False}


def summary(each: Entry | None, found: Sorted) -> dict[str, Any] | None:
    """Return an entry with its numbers spelled as the table spells them."""
    if each is None:
        return None
    spelled = digits.interval(each.mean, each.low, each.high) if each.mean is not None else ["—"]
    return {
        "mean": each.mean,
        "low": each.low,
        "high": each.high,
        "text": spelled[0],
        "interval": f"[{', '.join(spelled[1:])}]" if len(spelled) > 1 else "",
        **{name: getattr(each, name) for name in ("n", "solved", "diverged", "failed", "best")},
        "parameters": each.parameters,
        "size": "" if each.parameters is None else digits.count(each.parameters),
        "step_ms": each.step_ms,
        "time": "" if each.step_ms is None else digits.milliseconds(each.step_ms),
        "sequences": each.sequences,
    }


def versus(entries: Sequence[Sequence[Entry | None]], first: int) -> dict[str, Any]:
    """Return the paired tests against every baseline that there is room for, `first` among them.

    `of[baseline][task][variant]` is [difference, Holm-corrected p, pairs of seeds], or None.
    """
    variants = len(entries)
    width = len(entries[0]) if entries else 0
    many = max(1, COMPARISONS // max(1, variants * width))
    bases = sorted({first, *range(min(many, variants))}) if variants else []
    of: dict[str, list] = {}
    for base in bases:
        of[str(base)] = []
        for task in range(width):
            column = compared([line[task] for line in entries], base)
            tests = [each.versus if each else None for each in column]
            of[str(base)].append(
                [[curves.short(t.delta), curves.short(t.p), t.pairs] if t else None for t in tests]
            )
    return {"baselines": bases, "of": of}


def most_seeds(runs: Iterable[Run]) -> int:
    """Return the runs of the variant and task that have most of them."""
    return max(Counter((run.row, run.column) for run in runs).values(), default=0)


def student(most: int) -> list[float | None]:
    """Return Student's quantile of the mean of n values, by n; None where n < 2 has no interval."""
    quantile: Callable[[int], float] = lambda n: float(stdtrit(n - 1, (1 + LEVEL) / 2))
    return [None if n < 2 else curves.short(quantile(n)) for n in range(most + 1)]


def described(run: Run, found: Sorted, shelves: Mapping[str, Shelf]) -> dict[str, Any]:
    """Return what a page knows of one run."""
    record, result = run.record, run.record.result or {}
    kept = {key: result.get(key) for key in KEPT if result.get(key) is not None}
    around = {k: v for k, v in record.environment.items() if k != "started"}
    metrics = {
        split: {
            name: number
            for name, value in each.items()
            if (number := finite(value)) is not None and (split == SPLIT or "@" not in name)
        }
        for split, each in (result.get("metrics") or {}).items()
        if isinstance(each, Mapping)
    }
    told = pictures.numbers(record.path)
    costs = {name: told[name] for name in pictures.COSTS if name in told}
    metric = result.get("metric")
    return {
        "id": f"{record.study}/{record.path.name}",
        "path": str(record.path),
        "variant": found.variants.index(run.row),
        "task": found.tasks.index(run.column),
        "seed": record.spec.get("seed"),
        "shared": {
            **{name: shelves[name].place(plain(record.spec.get(name))) for name in PARTS},
            "environment": shelves["environment"].place(around),
        },
        "started": record.environment.get("started"),
        "metrics": metrics,
        "value": finite(fate(result, metric, SPLIT)[1]) if metric else None,
        **kept,
        "status": record.status,
        **costs,
        **({"inspected": dict(told)} if told else {}),
    }


def finite(value: Any) -> float | None:
    """Return a number with six significant digits, None for what is none."""
    return (
        float(f"{value:.6g}") if isinstance(value, int | float) and math.isfinite(value) else None
    )


def readable(paths: Sequence[Path]) -> tuple[list[dict[str, curves.Series]], list[str]]:
    """Return the curves of runs, and a note for each that is damaged."""
    found, faults = [], []
    for path in paths:
        try:
            found.append(curves.series(path))
        except (OSError, ValueError) as error:
            found.append({})
            faults.append(f"The curve of {path} is left out: {error}.")
    return found, faults


def told(most: int, by_task: Sequence[Mapping[str, curves.Thinned]]) -> list[str]:
    """Say what the curves were thinned to, and what their bands are."""
    thin = any(len(each.steps) >= most for one in by_task for each in one.values())
    return [
        f"Curves have at most {most} points"
        + (", each the mean of a bin of steps." if thin else "; none of these was thinned.")
        + f" Bands: {LEVEL:.0%} Student interval over the seeds of a step; a run that stopped early"
        " (solved, or out of patience) keeps its last value, one that diverged or failed leaves."
        " Axes span the seeds; bands are cut there."
    ]
