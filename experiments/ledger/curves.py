"""Pictures of curves with bands: one a task, a colour a cell."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lstm_research.figure import MissingPackage, required, save, vega


class Point(NamedTuple):
    """A bin, both ends inclusive, and what the seeds reached in it."""

    low: int
    high: int
    mean: float
    least: float
    most: float


class Curve(NamedTuple):
    """A cell on a task; trained: longest length or lag of training; chance: without memory."""

    task: str
    cell: str
    metric: str
    axis: str
    trained: int | None
    chance: float | None
    points: tuple[Point, ...]


def draw(curves: Sequence[Curve], folder: Path) -> list[Path]:
    """Draw a PNG a task, and return them; none where altair or vl-convert is absent."""
    try:
        required()
    except MissingPackage:
        return []
    names, paths = list(dict.fromkeys(curve.cell for curve in curves)), []
    for task, group in itertools.groupby(curves, key=lambda curve: curve.task):
        chart = panel(list(group), names).configure_view(stroke=None)
        chart = chart.configure_legend(labelFontSize=12, title=None)
        paths.append(save(chart, folder / picture(task), 1.3))
    return paths


def picture(task: str) -> str:
    """Return the file name of a task's picture; a name of a paper, `paper/name`, makes no folder."""
    return f"{task.replace('/', '-')}.png"


def panel(group: Sequence[Curve], names: Sequence[str]) -> Any:
    """Return the chart of one task: bands from the least to the most, means, chance, trained."""
    altair = vega()
    first = group[0]
    values = [
        {"cell": curve.cell, "at": (point.low + point.high) / 2, **point._asdict()}
        for curve in group
        for point in curve.points
    ]
    base = altair.Chart(altair.Data(values=values), title=first.task, width=420, height=250)
    x = altair.X("at:Q", title=first.axis, axis=altair.Axis(tickCount=6))
    colour = altair.Color(
        "cell:N",
        scale=altair.Scale(domain=list(names)),
        sort=list(names),
        legend=altair.Legend(symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=3),
    )
    band = base.mark_area(opacity=0.15).encode(x, altair.Y("least:Q"), altair.Y2("most:Q"), colour)
    mean = base.mark_line(point={"size": 18}, strokeWidth=1.5).encode(
        x, altair.Y("mean:Q", title=first.metric, scale=altair.Scale(zero=False)), colour
    )
    layers = [band, mean]
    for mark, value in (("y", first.chance), ("x", first.trained)):
        if value is not None:
            at = altair.Chart(altair.Data(values=[{mark: value}]))
            layers.append(
                at.mark_rule(strokeDash=[4, 4], color="grey").encode(**{mark: f"{mark}:Q"})
            )
    return altair.layer(*layers)
