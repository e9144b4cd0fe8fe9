"""Series in time: three generated ones, and a table of the user's; one column a quantity.

Generated in float64 on the host, step by step, once a task: chaos would carry another rounding far
away, so that two machines agree in statistics and not in digits.
"""

import csv
import math
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstm_research.axes import Float
from lstm_research.spelling import unknown
from lstm_research.tasks.data import DataError

TRANSIENT = 500  # samples thrown away before a generated series starts
FINE = 10  # integration steps in one unit of time of Mackey-Glass


class Series(NamedTuple):
    """Named columns over time."""

    columns: tuple[str, ...]
    values: Float[np.ndarray, "time columns"]


@lru_cache(maxsize=8)
def mackey_glass(tau: int, steps: int, seed: int) -> Series:
    """Return x' = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t), sampled every unit of time.

    Mackey & Glass 1977; Runge-Kutta of fourth order in tenths of a unit, the delayed value halfway
    between two of them their mean. The past is constant, uniform in 1..1.4 by seed.
    """
    delay, size = tau * FINE, 1 / FINE
    x = [float(np.random.default_rng(seed).uniform(1.0, 1.4))] * (delay + 1)
    slope = lambda now, past: 0.2 * past / (1 + past**10) - 0.1 * now
    for at in range(delay, delay + (TRANSIENT + steps - 1) * FINE):
        now, old, new = x[at], x[at - delay], x[at - delay + 1]
        half = (old + new) / 2
        k1 = slope(now, old)
        k2 = slope(now + size * k1 / 2, half)
        k3 = slope(now + size * k2 / 2, half)
        k4 = slope(now + size * k3, new)
        x.append(now + size * (k1 + 2 * k2 + 2 * k3 + k4) / 6)
    kept = x[delay + TRANSIENT * FINE :: FINE]
    return Series(("x",), np.array(kept)[:, None])


@lru_cache(maxsize=8)
def lorenz(steps: int, seed: int) -> Series:
    """Return x, y and z of Lorenz 1963 (10, 28, 8/3), sampled every 0.05 units of time.

    Runge-Kutta of fourth order in steps of 0.01, from a point near (1, 1, 1) by seed.
    """
    point = tuple((1 + 0.1 * np.random.default_rng(seed).standard_normal(3)).tolist())
    kept = []
    for _ in range(TRANSIENT + steps):
        kept.append(point)
        for _ in range(5):
            point = _further(point, 0.01)
    return Series(("x", "y", "z"), np.array(kept[TRANSIENT:]))


Point = tuple[float, ...]


def _further(point: Point, size: float) -> Point:
    """Return the point of Lorenz's flow `size` later, by one step of Runge-Kutta."""
    slope: Point = (0.0, 0.0, 0.0)
    total = list(slope)
    for share, weight in ((0.0, 1), (0.5, 2), (0.5, 2), (1.0, 1)):
        x, y, z = (p + size * share * k for p, k in zip(point, slope, strict=True))
        slope = (10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z)
        total = [sum_ + weight * k for sum_, k in zip(total, slope, strict=True)]
    return tuple(p + size * sum_ / 6 for p, sum_ in zip(point, total, strict=True))


@lru_cache(maxsize=8)
def narma10(steps: int, seed: int) -> Series:
    """Return u and y of NARMA-10 (Atiya & Parlos 2000): u uniform in 0..0.5, and

    y_{t+1} = 0.3 y_t + 0.05 y_t (y_t + ... + y_{t-9}) + 1.5 u_{t-9} u_t + 0.1

    ValueError: this seed's draw grows without bound, as a few do.
    """
    u = np.random.default_rng(seed).uniform(0, 0.5, TRANSIENT + steps)
    drive = 1.5 * u[:-9] * u[9:]  # drive[t - 9] belongs to step t
    y = [0.0] * 10
    for t in range(9, TRANSIENT + steps - 1):
        now = y[t]
        y.append(0.3 * now + 0.05 * now * math.fsum(y[t - 9 :]) + float(drive[t - 9]) + 0.1)
        if not abs(y[-1]) < 10:
            raise ValueError(f"seed={seed}: NARMA-10 grows without bound here; take another seed")
    return Series(("u", "y"), np.stack([u, np.array(y)], axis=1)[TRANSIENT:])


def table(path: Path, columns: tuple[str, ...] | None) -> Series:
    """Return columns of a CSV file whose first line names them; null: all of them.

    DataError names the line and the column of a cell that is empty or no finite number, a line of
    another width, or a column that is not there.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.reader(file))
    if len(lines) < 2:
        raise DataError(f"{path}: needs a line of names and lines of numbers", file=str(path))
    names = [name.strip() for name in lines[0]]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: line 1 gives two columns one name: {names}", file=str(path))
    for name in columns or ():
        if name not in names:
            raise DataError(f"{path}: {unknown('column', name, names, 'column')}", file=str(path))
    chosen = tuple(columns or names)
    places = [names.index(name) for name in chosen]
    rows = []
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(names):
            raise DataError(
                f"{path}: line {number} has {len(line)} cells, line 1 has {len(names)}",
                file=str(path),
            )
        cells = zip(chosen, places, strict=True)
        rows.append([_number(path, number, name, line[at]) for name, at in cells])
    return Series(chosen, np.array(rows))


def _number(path: Path, line: int, column: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(
            f"{path}: line {line}, column {column!r}: {cell!r} is no number. Fill the hole yourself, "
            "or name the columns to use in task.inputs and task.targets",
            file=str(path),
        )
    return value
