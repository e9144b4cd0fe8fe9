"""Traces of units over time as heat maps, one below the other, under the inputs that made them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lstm_research import figure

WIDEST, TALLEST = 960, 256  # of a panel
WIDE, TALL = 16, 12  # of a number, where there are few
GAP, LEGIBLE = 8, 6  # least pitch with a line between numbers, and with a name above
MOST = 12_000  # numbers in one picture: beyond it the quietest units are left out


class Panel(NamedTuple):
    """Numbers over time, a row a unit or feature."""

    title: str
    values: np.ndarray  # time rows
    signed: bool = False  # about 0 in two colours, else from 0 to 1 in one
    bound: float | None = None  # where the colours end; None: at the largest number


class Heading(NamedTuple):
    """What stands above a heat map: a name for each step, and those that are set off."""

    names: Sequence[str]
    marked: frozenset[int] = frozenset()  # steps


def heatmap(
    panels: Sequence[Panel], title: str, subtitle: str = "", heading: Heading | None = None
) -> Any:
    """Return a picture of panels one below the other over one axis of steps; marked steps have a frame."""
    return figure.styled(column(panels, heading), title, subtitle)


def column(panels: Sequence[Panel], heading: Heading | None = None) -> Any:
    """Return the panels of `heatmap` without title, to stand beside others."""
    above = [] if heading is None else [symbols(heading)]
    *upper, lowest = kept(panels)
    drawn = [panel(one, heading, last=False) for one in upper]
    drawn.append(panel(lowest, heading, last=True))
    return figure.vega().vconcat(*above, *drawn, spacing=8).resolve_scale(color="independent")


def kept(panels: Sequence[Panel]) -> list[Panel]:
    """Return panels that fit: of each the rows that move most, in their order."""
    steps = len(panels[0].values)
    most = max(1, MOST // (steps * len(panels)))
    found = []
    for one in panels:
        many = one.values.shape[1]
        if many > most:
            loud = np.sort(np.argsort(-one.values.std(0), kind="stable")[:most])
            one = one._replace(values=one.values[:, loud], title=f"{one.title} ({most} of {many})")
        found.append(one)
    return found


def pitch(many: int, most: int, wanted: int) -> int:
    """Return whole units of the drawing for each of many numbers in a row, so that edges are sharp."""
    return max(1, min(wanted, most // many))


def bands(many: int, each: int) -> Any:
    """Return a scale of many numbers with a line of one unit between them, where there is room."""
    gap = 1 / each if each >= GAP else 0
    domain = list(range(many))
    return figure.vega().Scale(type="band", domain=domain, paddingInner=gap, paddingOuter=0)


def axis(steps: int, last: bool) -> Any:
    """Return the axis of steps, from 0."""
    alt, each = figure.vega(), pitch(steps, WIDEST, WIDE)
    every = max(1, -(-30 // each))
    marks = alt.Axis(
        values=list(range(0, steps, every)), labelAngle=0, title="step", ticks=False, domain=False
    )
    return alt.X("step:O", axis=marks if last else None, scale=bands(steps, each))


def symbols(heading: Heading) -> Any:
    """Return the names of the steps in a row; where they would not fit, of the marked ones alone."""
    alt, steps = figure.vega(), len(heading.names)
    each = pitch(steps, WIDEST, WIDE)
    cells = [
        {"step": step, "name": str(name), "marked": step in heading.marked}
        for step, name in enumerate(heading.names)
        if each >= LEGIBLE or step in heading.marked
    ]
    return (
        alt.Chart(figure.rows(cells), width=alt.Step(each), height=TALL)
        .mark_text(fontSize=11 if each > 9 else 7)
        .encode(
            x=axis(steps, False),
            text="name:N",
            color=alt.condition(alt.datum.marked, alt.value(figure.ORANGE), alt.value("#666")),
        )
    )


def panel(one: Panel, heading: Heading | None, last: bool) -> Any:
    """Return one heat map; last: the lowest, which shows the axis of steps."""
    alt = figure.vega()
    steps, many = one.values.shape
    row = pitch(many, TALLEST, TALL)
    width, height = alt.Step(pitch(steps, WIDEST, WIDE)), row * many
    cells = [
        {"step": step, "unit": unit, "value": round(float(one.values[step, unit]), 4)}
        for step in range(steps)
        for unit in range(many)
    ]
    largest = float(np.abs(one.values).max()) or 1.0
    bound = round(largest if one.signed else max(largest, 1.0), 2)
    bound = bound if one.bound is None else one.bound
    scale = (
        alt.Scale(domain=[-bound, 0, bound], range=list(figure.SIGNS), type="linear")
        if one.signed
        else alt.Scale(domain=[0, bound], range=list(figure.SHADES), type="linear")
    )
    values = [-bound, 0, bound] if one.signed else [0, bound]
    legend = alt.Legend(
        title=None, gradientLength=max(24, min(height, 60)), values=values, gradientThickness=8
    )
    base = alt.Chart(figure.rows(cells), width=width, height=height)
    drawn = base.mark_rect().encode(
        x=axis(steps, last),
        y=alt.Y("unit:O", axis=None, scale=bands(many, row)),
        color=alt.Color("value:Q", scale=scale, legend=legend),
    )
    head = alt.TitleParams(one.title, anchor="start", fontSize=11, offset=4, fontWeight="normal")
    marks = sorted(heading.marked) if heading else []
    if marks:
        lines = alt.Chart(figure.rows([{"step": step} for step in marks])).mark_rect(
            fillOpacity=0, stroke=figure.ORANGE, strokeWidth=1.2
        ).encode(x=axis(steps, last), y=alt.value(0), y2=alt.value(height))  # fmt: skip
        return alt.layer(drawn, lines).properties(width=width, height=height, title=head)
    return drawn.properties(title=head)
