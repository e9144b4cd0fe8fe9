"""What the seeds of one variant on one task say together: one entry of a table.

The one decision: a run that diverged or failed is counted and has no number. The mean is over the
others, and such a mean never competes for bold, for it is a mean over survivors.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from lstm_research.stats import holm, mean_interval, paired_difference
from lstm_research.store import Record

LEVEL = 0.95


@dataclass(frozen=True)
class Versus:
    """A paired comparison with the baseline: mean difference, Holm-corrected p, pairs of seeds."""

    delta: float
    p: float
    pairs: int


@dataclass(frozen=True)
class Entry:
    """What the seeds of one variant on one task came to; None where there is no such number.

    n counts every run that ended; `values` holds (seed, metric) of those that have a number.
    sequences: median over the solved runs of the training sequences until the first validation that
    met the criterion.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    solved: int
    diverged: int
    failed: int
    parameters: int | None
    step_ms: float | None
    values: tuple[tuple[int, float], ...]
    best: bool = False
    versus: Versus | None = None
    sequences: float | None = None


def entry(records: Sequence[Record], metric: str, split: str) -> Entry:
    """Summarise the seeds of one variant on one task."""
    ordered = sorted(records, key=lambda record: natural(str(record.spec.get("seed"))))
    fates = [fate(record.result or {}, metric, split) for record in ordered]
    values = tuple(
        (record.spec["seed"], value)
        for record, (_, value) in zip(ordered, fates, strict=True)
        if value is not None
    )
    interval = mean_interval([value for _, value in values], LEVEL)
    counted = Counter(status for status, _ in fates)
    results = [record.result or {} for record in ordered]
    sizes = {each["parameters"] for each in results} - {None}
    needed = [
        sequences(record)
        for record, (status, _) in zip(ordered, fates, strict=True)
        if status == "solved"
    ]
    times = [each["step_ms"] for each in results if each["step_ms"] is not None]
    return Entry(
        mean=interval.mean if values else None,
        low=interval.low if len(values) > 1 else None,
        high=interval.high if len(values) > 1 else None,
        n=len(ordered),
        solved=counted["solved"],
        diverged=counted["diverged"],
        failed=counted["failed"],
        parameters=sizes.pop() if len(sizes) == 1 else None,
        step_ms=median(times) if times else None,
        values=values,
        sequences=median(needed) if needed else None,
    )


def sequences(record: Record) -> int:
    """Return how many training sequences a solved run had seen when validation first said so."""
    return (record.result or {})["solved_at"] * record.spec["budget"]["batch"]


def fate(result: Mapping, metric: str, split: str) -> tuple[str, float | None]:
    """Return how a run counts, and its number if it has one.

    A number that is not finite counts as diverged, a missing one as failed, whatever the status.
    """
    status = result["status"]
    if status in ("diverged", "failed"):
        return status, None
    value = (result["metrics"].get(split) or {}).get(metric)
    if value is None:
        return "failed", None
    if not abs(value) < float("inf"):
        return "diverged", None
    solved = status == "solved" or result["solved_at"] is not None
    return ("solved" if solved else status), float(value)


def marked(entries: Sequence[Entry | None], goal: str) -> list[Entry | None]:
    """Mark the best mean, and every mean whose interval overlaps with that of the best."""
    means = {
        index: each.mean
        for index, each in enumerate(entries)
        if each and each.mean is not None and len(each.values) == each.n
    }
    best = entries[(max if goal == "max" else min)(means, key=means.__getitem__)] if means else None
    return [
        replace(each, best=_ties(each, best)) if each and best and index in means else each
        for index, each in enumerate(entries)
    ]


def _ties(each: Entry, best: Entry) -> bool:
    if each.low is None or each.high is None or best.low is None or best.high is None:
        return each.mean == best.mean
    return each.low <= best.high and best.low <= each.high


def compared(entries: Sequence[Entry | None], at: int) -> list[Entry | None]:
    """Compare every entry with the one at `at` over the seeds that both have a number for."""
    base = entries[at]
    ours = dict(base.values) if base else {}
    tests = {}
    for index, each in enumerate(entries):
        theirs = dict(each.values) if each and index != at else {}
        seeds = [seed for seed in ours if seed in theirs]
        if seeds:
            pair = paired_difference([theirs[s] for s in seeds], [ours[s] for s in seeds], LEVEL)
            tests[index] = pair
    raised = holm([pair.p for pair in tests.values()])
    found = {i: Versus(tests[i].delta, p, tests[i].n) for i, p in zip(tests, raised, strict=True)}
    return [replace(each, versus=found.get(i)) if each else None for i, each in enumerate(entries)]


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key that puts `2` before `10`."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]
