"""How the tables of the experiments write a middle with its range, and say where it comes from."""

import statistics
from collections.abc import Sequence
from typing import Any


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Write the median and, where they differ, the range: `700 (500-900)`; nothing for no value."""
    if not values:
        return ""
    middle, low, high = (
        short(each, digits) for each in (statistics.median(values), min(values), max(values))
    )
    return middle if low == high else f"{middle} ({low}-{high})"


def short(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits, whole numbers whole and thousands parted."""
    if value and abs(value) >= 10**digits:
        return f"{float(f'{value:.{digits}g}'):,.0f}"
    return f"{value:.{digits}g}"


def origin(lines: Sequence[dict[str, Any]]) -> str:
    """Name processors, how busy they were, versions and commits behind lines."""
    around = [line["environment"] for line in lines]
    commits = sorted(
        {f"{each['commit']}"[:10] + (" with changes" if each["dirty"] else "") for each in around}
    )
    versions = sorted({f"jax {each['versions']['jax']}" for each in around})
    machines = sorted(
        {f"{line['processor']}, {line['environment']['cores']} cores" for line in lines}
    )
    busy = spread([line["load"] for line in lines if line["load"] is not None], 2) or "unknown"
    return (
        f"{'; '.join(machines)}, load average {busy}; {', '.join(versions)}; "
        f"commit {', '.join(commits)}"
    )
