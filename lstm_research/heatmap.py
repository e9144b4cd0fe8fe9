"""Traces of units over time as heat maps, one below the other, under the inputs that made them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lstm_research import figure

BAND = 16  # width of a step where it has a name, and least height of a row that has one
WIDEST, TALLEST = 900, 260  # of a panel
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
    steps = len(panels[0].values)
    width = min(WIDEST, max(260, BAND * steps))
    above = [] if heading is None else [symbols(heading, width)]
    *upper, lowest = kept(panels)
    drawn = [panel(one, width, heading, last=False) for one in upper]
    drawn.append(panel(lowest, width, heading, last=True))
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


def axis(steps: int, last: bool) -> Any:
    """Return the axis of steps, from 0."""
    alt = figure.vega()
    every = max(1, -(-steps // 20))
    marks = alt.Axis(
        values=list(range(0, steps, every)), labelAngle=0, title="step", ticks=False, domain=False
    )
    domain = alt.Scale(domain=list(range(steps)), paddingInner=0.04, paddingOuter=0)
    return alt.X("step:O", axis=marks if last else None, scale=domain)


def symbols(heading: Heading, width: int) -> Any:
    """Return the names of the steps in a row."""
    alt = figure.vega()
    cells = [
        {"step": step, "name": name, "marked": step in heading.marked}
        for step, name in enumerate(heading.names)
    ]
    size = 11 if width / len(cells) >= 10 else 7
    return (
        alt.Chart(figure.rows(cells), width=width, height=BAND)
        .mark_text(fontSize=size)
        .encode(
            x=axis(len(cells), False),
            text="name:N",
            color=alt.condition(alt.datum.marked, alt.value(figure.ORANGE), alt.value("#666")),
        )
    )


def panel(one: Panel, width: int, heading: Heading | None, last: bool) -> Any:
    """Return one heat map; last: the lowest, which shows the axis of steps."""
    alt = figure.vega()
    steps, many = one.values.shape
    height = int(min(TALLEST, max(40, many * min(BAND - 4, TALLEST / many))))
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
        title=None, gradientLength=min(height, 60), values=values, gradientThickness=8
    )
    base = alt.Chart(figure.rows(cells), width=width, height=height)
    drawn = base.mark_rect().encode(
        x=axis(steps, last),
        y=alt.Y(
            "unit:O",
            axis=None,
            scale=alt.Scale(domain=list(range(many)), paddingInner=0.04, paddingOuter=0),
        ),
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
