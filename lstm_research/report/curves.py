"""Learning curves for a page: few points, the same steps for every run of a task.

The one decision: the runs of a task share their steps, so that seeds can be averaged step by step. A
curve with more points than the page has room for becomes bins of neighbouring steps, each point the mean
of its bin at the last step of the bin.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstm_research.store import curve

MOST, LEAST = 100, 12  # points of a curve
ROOM = 130_000  # numbers of all curves of a page: about a megabyte
Series = dict[int, float]  # step -> value


class Thinned(NamedTuple):
    """A metric of all runs of a task: the steps, and by run a value a step, None where it has none."""

    steps: list[int]
    values: dict[int, list[float | None]]


def series(path: str | Path) -> dict[str, Series]:
    """Return every metric of a run's curve by name: `train loss`, `valid accuracy`, ...

    Metrics of one bin of lengths are left out. Raises ValueError as `store.curve`.
    """
    file = Path(path) / "metrics.jsonl"
    if not file.is_file():
        return {}
    known = file.stat()
    return _series(str(path), known.st_mtime_ns, known.st_size)


@lru_cache(maxsize=4096)  # a page that is written again while a sweep runs reads what has changed
def _series(path: str, _written: int, _size: int) -> dict[str, Series]:
    found: dict[str, Series] = {}
    for event in curve(path):
        for name, value in event.items():
            if name not in ("step", "split") and "@" not in name and isinstance(value, int | float):
                found.setdefault(f"{event['split']} {name}", {})[event["step"]] = value
    return found


def points(curves: int) -> int:
    """Return how many points each of so many curves may have."""
    return max(LEAST, min(MOST, ROOM // max(curves, 1)))


def thinned(curves: Mapping[int, Series], most: int) -> Thinned:
    """Bring the curves of one metric, by run, to at most so many steps that they share.

    What is not finite counts as not there; a curve ends with its last number.
    """
    steps = sorted({step for each in curves.values() for step in each})
    bins = np.array_split(np.array(steps, dtype=np.int64), min(most, len(steps))) if steps else []
    place = {step: at for at, group in enumerate(bins) for step in group.tolist()}
    values = {}
    for run, each in curves.items():
        inside: list[list[float]] = [[] for _ in bins]
        for step, value in each.items():
            if isfinite(value):
                inside[place[step]].append(value)
        values[run] = without_end([short(sum(got) / len(got)) if got else None for got in inside])
    return Thinned([int(group[-1]) for group in bins], values)


def without_end(values: Sequence[float | None]) -> list[float | None]:
    """Return values without the None at their end."""
    last = max((at for at, value in enumerate(values) if value is not None), default=-1)
    return list(values[: last + 1])


def gathered(of: Mapping[int, Mapping[str, Series]], most: int) -> dict[str, Thinned]:
    """Thin every metric of the runs of a task."""
    names = dict.fromkeys(name for metrics in of.values() for name in metrics)
    return {
        name: thinned({run: each[name] for run, each in of.items() if name in each}, most)
        for name in names
    }


def count(found: Iterable[Mapping[str, Series]]) -> int:
    """Return how many curves there are."""
    return sum(len(each) for each in found)


def short(value: float) -> float:
    """Return a number with five significant digits: more than a picture shows."""
    return float(f"{value:.5g}")
