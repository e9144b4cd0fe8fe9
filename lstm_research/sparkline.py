"""A curve in one line of text."""

from collections.abc import Sequence
from math import isfinite

BARS, ASCII = "▁▂▃▄▅▆▇█", "_.-:=+*#"


def sparkline(values: Sequence[float | None], marks: str = BARS) -> str:
    """Return one mark a value, the least the lowest; a blank where there is no finite value.

    marks: from low to high. Values that are all the same are low.
    """
    known = [value for value in values if value is not None and isfinite(value)]
    if not known:
        return " " * len(values)
    low, span = min(known), max(known) - min(known)

    def mark(value: float | None) -> str:
        if value is None or not isfinite(value):
            return " "
        share = (value - low) / span if span else 0.0
        return marks[min(int(share * len(marks)), len(marks) - 1)]

    return "".join(map(mark, values))
