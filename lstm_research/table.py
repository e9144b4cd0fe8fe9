"""Runs become a table: a row a variant, a column a task, an entry what the seeds say together.

The one decision: rows make themselves. A setting that differs between the runs of one task is part
of the row's name; one that differs only from task to task, as a budget may, is not.

    row     label of the cell and its wrapper, and the other settings that differ between runs of one task
    column  label of the task, its metric and direction, chance
    entry   mean, interval, n, solved, diverged, failed, parameters, ms/step, every seed's value
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from lstm_research.digits import probability
from lstm_research.entry import LEVEL, Entry, compared, entry, marked, natural
from lstm_research.label import known_as, label, nearest, show, variant
from lstm_research.plain import canonical, digest, flatten
from lstm_research.spelling import unknown
from lstm_research.stats import smallest_p
from lstm_research.store import Record, spec_hash

WORST = {"failed": 1, "unfinished": 2}


@dataclass(frozen=True)
class Column:
    """A task: its label, the metric shown, "min" or "max", and what a memoryless guess reaches.

    criterion: whether the task says when it is solved, so that a count of solved runs means
    anything.
    """

    label: str
    metric: str
    goal: str
    chance: float | None
    criterion: bool


@dataclass(frozen=True)
class Row:
    """A variant: its label and one entry a column, None where nothing has ended."""

    label: str
    entries: tuple[Entry | None, ...]


@dataclass(frozen=True)
class Table:
    """Columns, rows and the footnotes that say how to read them and where they come from."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    baseline: str | None = None


class Run(NamedTuple):
    """A record that has ended, with the names of its row and column."""

    row: str
    column: str
    record: Record
    order: tuple


def table(
    records: Iterable[Record],
    cells: Mapping[str, Mapping],
    tasks: Mapping[str, Mapping],
    wraps: Mapping[str, Mapping] = MappingProxyType({}),
    *,
    split: str = "test",
    baseline: str | None = None,
) -> Table:
    """Gather records into a table.

    cells, tasks, wraps: catalogue, name -> resolved dict. split: "test" or "valid". baseline: the row
    that the others are compared with, seed by seed, by any name of its cell. One spec in two studies is
    one run. Raises ValueError for a baseline that is no row, and for a column whose runs differ in their
    metric.
    """
    single = distinct(records)
    ended = [record for record in single if record.result is not None]
    runs = named(ended, cells, tasks, wraps)
    baseline = known_as(baseline, cells)
    return gathered(runs, len(single) - len(ended), split=split, baseline=baseline)


def gathered(
    runs: Sequence[Run], unfinished: int = 0, *, split: str = "test", baseline: str | None = None
) -> Table:
    """Gather runs that have ended and have their names; `unfinished` is how many were left out.

    Raises as `table`.
    """
    order = {run.row: run.order for run in runs}
    if baseline is not None and baseline not in order:
        raise ValueError(unknown("baseline", baseline, order, "row"))
    lines = sorted(order, key=lambda row: (row != baseline, order[row]))
    labels = sorted({run.column for run in runs}, key=natural)
    columns, entries = [], []
    for title in labels:
        mine = [run for run in runs if run.column == title]
        columns.append(column(title, [run.record for run in mine]))
        metric = columns[-1].metric
        cell = [[run.record for run in mine if run.row == row] for row in lines]
        found = [entry(each, metric, split) if each else None for each in cell]
        found = compared(found, lines.index(baseline)) if baseline is not None else found
        entries.append(marked(found, columns[-1].goal))
    rows = [Row(row, tuple(each[at] for each in entries)) for at, row in enumerate(lines)]
    notes = footnotes(rows, [run.record for run in runs], unfinished, split, baseline)
    return Table(tuple(columns), tuple(rows), notes, baseline)


def distinct(records: Iterable[Record]) -> list[Record]:
    """Keep one record a spec: one with a number if there is any, else one that has ended."""
    kept: dict[str, Record] = {}
    for record in sorted(records, key=lambda each: WORST.get(each.status, 0)):
        kept.setdefault(spec_hash(record.spec) if record.spec else str(record.path), record)
    return list(kept.values())


def named(
    records: Sequence[Record],
    cells: Mapping[str, Mapping],
    tasks: Mapping[str, Mapping],
    wraps: Mapping[str, Mapping],
) -> list[Run]:
    """Give every record the name of its row and of its column."""
    rest = [settings(record.spec) for record in records]
    task = [digest(record.spec["task"]) for record in records]
    varying = [
        key for key in dict.fromkeys(k for each in rest for k in each) if split_by(key, rest, task)
    ]
    short = Counter(key.rpartition(".")[2] for key in varying)
    places = list(cells)
    runs = []
    for record, others in zip(records, rest, strict=True):
        cell = record.spec["cell"]
        near = nearest(cell, cells)
        said = [variant(record.spec, cells, wraps)]
        for key in varying:
            leaf = key.rpartition(".")[2]
            said.append(f"{leaf if short[leaf] == 1 else key}={show(others.get(key))}")
        place = places.index(near.name) if near.name in cells else len(places)
        row = ", ".join(said)
        order = (place, len(near.changes), record.spec.get("wrap") is not None, natural(row))
        runs.append(Run(row, label(record.spec["task"], tasks), record, order))
    return runs


def settings(spec: Mapping) -> dict[str, Any]:
    """Return what a spec says beside study, seed and what is in the names of row and column, flat."""
    named = ("study", "cell", "wrap", "task", "seed")
    return flatten({k: v for k, v in spec.items() if k not in named})


def split_by(key: str, rest: Sequence[Mapping], tasks: Sequence[str]) -> bool:
    """Say whether a setting differs between runs of one task; a budget per task splits no row."""
    seen = {(task, canonical(each.get(key))) for task, each in zip(tasks, rest, strict=True)}
    return len(seen) > len({task for task, _ in seen})


def column(title: str, records: Sequence[Record]) -> Column:
    """Read metric, direction and chance from the results of a task."""
    results = [record.result for record in records if record.result]
    told = {(each["metric"], each["goal"]) for each in results if each["metric"]}
    if len(told) > 1:
        raise ValueError(f"{title}: runs of one task differ in their metric: {sorted(told)}")
    metric, goal = told.pop() if told else ("", "min")
    chances = [each["chance"][metric] for each in results if metric in (each["chance"] or {})]
    criterion = any(each.get("success", True) is not None for each in results)
    return Column(title, metric, goal, chances[0] if chances else None, criterion)


def footnotes(
    rows: Sequence[Row],
    records: Sequence[Record],
    unfinished: int,
    split: str,
    baseline: str | None,
) -> tuple[str, ...]:
    """Say how to read the table, what its seeds cannot show, and where it comes from."""
    entries = [each for row in rows for each in row.entries if each]
    notes = [
        f"Mean on {split} over the runs with a number, with its {LEVEL:.0%} Student interval; "
        "n counts every run that ended. Bold, or *: the best mean and all whose interval overlaps "
        "with that of the best, among variants none of whose runs diverged or failed."
    ]
    if baseline is not None:
        notes.append(
            f"Δ and p: against {baseline}, seed by seed; exact two-sided sign-flip test, "
            "Holm-corrected over the rows of a column."
        )
    if any(each.sequences is not None for each in entries):
        notes.append(
            "After N sequences: median over the solved runs of the training sequences until the "
            "first validation that met the task's criterion."
        )
    seeds = sorted({len(each.values) for each in entries} - {0})
    reach = [f"{n} seeds cannot reach p < {probability(smallest_p(n))}" for n in seeds if n > 1]
    if reach:
        notes.append(f"{', '.join(reach)} (exact paired sign-flip test, two-sided).")
    if 1 in seeds:
        notes.append("A single seed has no interval and shows nothing about the spread.")
    counts = {name: sum(getattr(each, name) for each in entries) for name in ("diverged", "failed")}
    told = [
        f"{len(records)} run{'s' * (len(records) != 1)}",
        *(f"{k} {name}" for name, k in counts.items() if k),
    ]
    left = f"; {unfinished} unfinished, left out" if unfinished else ""
    notes.append(f"{', '.join(told)}{left}. {'; '.join(provenance(records))}.")
    return tuple(notes)


def provenance(records: Sequence[Record]) -> list[str]:
    """Name the commits, jax versions and devices behind a table."""
    around = [record.environment for record in records]
    dirty = {each["commit"] for each in around if each.get("dirty") and each.get("commit")}
    commits = {str(each["commit"]) for each in around if each.get("commit")}
    named = {f"{c[:7]}{' (with changes)' if c in dirty else ''}" for c in commits}
    jax = {(each.get("versions") or {}).get("jax") for each in around} - {None}
    devices = {each.get("device") for each in around} - {None}
    said = [("commit", named or {"unknown"}), ("jax", jax or {"unknown"}), ("device", devices)]
    text = [f"{what} {', '.join(sorted(map(str, which)))}" for what, which in said if which]
    return [*text, "ms/step of different devices do not compare"] if len(devices) > 1 else text
