"""One run in a terminal: how it ended, its curves, its settings, and where it ran."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lstm_research.plain import flatten
from lstm_research.report.curves import Series, thinned
from lstm_research.sparkline import BARS, sparkline
from lstm_research.store import Record

RESULT = (
    *("status", "steps", "best_step", "solved_at", "diverged_at", "parameters"),
    *("recurrent_parameters", "step_ms", "compile_s", "train_s", "error"),
)
WIDTH = 48  # marks of a curve


class Part(NamedTuple):
    """A heading, and what stands under it: names with their values."""

    title: str
    lines: tuple[tuple[str, str], ...]


def parts(
    record: Record, curves: Mapping[str, Series], title: str, marks: str = BARS
) -> Iterator[Part]:
    """Yield what there is to say of a run, one heading after the other."""
    result = record.result or {"status": record.status}
    told = {key: result[key] for key in RESULT if result.get(key) is not None}
    yield part(title, {"folder": record.path, **told})
    for split, metrics in (result.get("metrics") or {}).items():
        yield part(split, metrics)
    drawn = {name: line(name, curves[name], marks) for name in sorted(curves, reverse=True)}
    if drawn:
        yield Part("curves", tuple(drawn.items()))
    for name, value in record.spec.items():
        if isinstance(value, Mapping):
            yield part(name, value)
    yield part("environment", record.environment)


def part(title: str, values: Mapping[str, Any]) -> Part:
    """Return a heading with values laid flat."""
    flat = flatten(values)
    return Part(title, tuple((key, spelled(value)) for key, value in flat.items()))


def spelled(value: Any) -> str:
    """Return a value as a YAML would spell it, a float with five digits."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:.5g}" if isinstance(value, float) else str(value) or '""'


def line(name: str, curve: Series, marks: str) -> str:
    """Return a curve in one line: its marks, its first and last value, its steps."""
    steps = sorted(curve)
    (values,) = thinned({0: curve}, WIDTH).values.values()
    first, last = curve[steps[0]], curve[steps[-1]]
    return f"{sparkline(values, marks)}  {first:.4g} to {last:.4g}, steps {steps[0]} to {steps[-1]}"


def drawing(found: Sequence[Part]) -> Group:
    """Return the parts for rich, one below the other: headings bold, names dim."""
    width = max((len(name) for part in found for name, _ in part.lines), default=0)
    drawn: list[RenderableType] = []
    for title, lines in found:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True, min_width=width + 2)
        grid.add_column(overflow="fold")
        for name, value in lines:
            grid.add_row(Text(f"  {name}", style="dim"), value)
        drawn += [Text(title, style="bold"), grid, Text()]
    return Group(*drawn[:-1])
