"""What every cell of a table says, line by line, in plain text.

The one decision: the words are chosen here, once; a renderer escapes, joins and adorns them.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from lstm_research import digits
from lstm_research.entry import Entry
from lstm_research.table import Column, Row, Table


class Line(NamedTuple):
    """One line of a cell; `tone` is "head", "best", "bad", "quiet" or nothing."""

    text: str
    tone: str = ""


Cell = tuple[Line, ...]
COSTS: dict[str, tuple[str, Callable, float]] = {  # header, spelling, how much may still agree
    "parameters": ("parameters", digits.count, 1.0),
    "step_ms": ("ms/step", digits.milliseconds, 1.1),
}


def agreed(table: Table) -> bool:
    """Say whether every row has one cost for all its tasks (of ms/step: within 10 %)."""
    return all(_agrees(row, cost) for row in table.rows for cost in COSTS)


def grid(table: Table, *, stacked: bool = False, apart: bool | None = None) -> list[list[Cell]]:
    """Lay a table out as rows of cells, the first row the header.

    stacked: the interval has its own line under the mean, for narrow places. apart: parameters and
    ms/step have columns of their own, else they share a line in each cell; None asks `agreed`.
    """
    apart = agreed(table) if apart is None else apart
    costs = list(COSTS) if apart else []
    head = [(Line("variant", "head"),), *map(_title, table.columns)]
    head += [(Line(COSTS[cost][0], "head"),) for cost in costs]
    body = []
    for row in table.rows:
        cells = [
            _lines(each, column, not apart, stacked)
            for each, column in zip(row.entries, table.columns, strict=True)
        ]
        body.append([(Line(row.label),), *cells, *[(_cost(row.entries, cost),) for cost in costs]])
    return [head, *body]


def _agrees(row: Row, cost: str) -> bool:
    values = [getattr(each, cost) for each in row.entries if each and each.n > each.failed]
    known = [value for value in values if value is not None]
    return len(known) == len(values) and (not known or max(known) <= COSTS[cost][2] * min(known))


def _cost(entries: Sequence[Entry | None], cost: str) -> Line:
    known = [v for each in entries if each and (v := getattr(each, cost)) is not None]
    return Line(
        COSTS[cost][1](sum(known) / len(known) if cost == "step_ms" else known[0]) if known else ""
    )


def _title(column: Column) -> Cell:
    arrow = {"min": "↓", "max": "↑"}[column.goal]
    lines = [Line(column.label, "head"), Line(f"{column.metric} {arrow}".strip(), "quiet")]
    if column.chance is not None:
        lines.append(Line(f"chance {digits.interval(column.chance)[0]}", "quiet"))
    return tuple(lines)


def _lines(each: Entry | None, column: Column, costs: bool, stacked: bool) -> Cell:
    if each is None:
        return (Line(""),)
    lines = [Line(text, "best" if each.best else "") for text in _number(each, stacked)]
    solved = f" · solved {each.solved}" if column.criterion else ""
    lines.append(Line(f"n={each.n}{solved}", "quiet"))
    if column.criterion and each.sequences is not None:
        lines.append(Line(f"after {digits.count(round(each.sequences))} sequences", "quiet"))
    for name in ("diverged", "failed"):
        if found := getattr(each, name):
            lines.append(Line(f"{found} of {each.n} {name}", "bad"))
    if each.versus:
        delta = digits.interval(each.versus.delta)[0]
        lines.append(Line(f"Δ {delta} · p={digits.probability(each.versus.p)}", "quiet"))
    size = f"{digits.count(each.parameters)} params" if each.parameters is not None else ""
    time = f"{digits.milliseconds(each.step_ms)} ms" if each.step_ms is not None else ""
    if costs and (size or time):
        lines.append(Line(" · ".join(filter(None, (size, time))), "quiet"))
    return tuple(lines)


def _number(each: Entry, stacked: bool) -> list[str]:
    if each.mean is None:
        return ["—"]
    mean, *ends = digits.interval(each.mean, each.low, each.high)
    if not ends:
        return [mean]
    bracket = f"[{', '.join(ends)}]"
    return [mean, bracket] if stacked else [f"{mean} {bracket}"]
