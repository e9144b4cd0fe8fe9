"""The pictures of an inspection: use of the gates, timescales, traces, gradient flow, spectra."""

from typing import Any

import numpy as np

from lstm_research import figure
from lstm_research.analysis.order import similar
from lstm_research.analysis.saturation import CANDIDATE, LEFT, RIGHT, Activity
from lstm_research.example import heading, inputs
from lstm_research.heatmap import Panel, heatmap
from lstm_research.inspection import Inspection, Layer, leaves, rank
from lstm_research.tasks.task import Task

NAMES = {
    "i": "input gate i", "f": "forget gate f", "o": "output gate o", "r": "reset gate r",
    "g": "candidate g", "c": "memory c", "h": "output h",
}  # fmt: skip
SMALL, WIDE = 150, 340  # sides of a panel
POINTS = 1500  # most eigenvalues drawn of one layer


def pictures(found: Inspection, task: Task, title: str) -> dict[str, Any]:
    """Return every picture that there is for these layers, by name."""
    makers = {
        "histograms": histograms, "timescales": timescale_picture, "gradient_flow": flow_picture,
        "spectrum": spectrum_picture,
    }  # fmt: skip
    made = {name: maker(found, title) for name, maker in makers.items()}
    made["traces"] = traces(found, task, title)
    return {name: chart for name, chart in made.items() if chart is not None}


def label(name: str) -> str:
    """Return the name of a gate or of a leaf in words."""
    return NAMES.get(name, name)


def histograms(found: Inspection, title: str) -> Any:
    """Return a histogram of each gate, and below it how long each unit is shut and open."""
    alt, drawn = figure.vega(), []
    for layer in found.layers:
        tops, bottoms = [], []
        for name, one in layer.gates.items():
            bars = [
                {"low": float(low), "high": float(high), "share": float(share), "none": 0}
                for low, high, share in zip(one.edges, one.edges[1:], one.shares, strict=False)
            ]
            span = alt.Scale(domain=[float(one.edges[0]), float(one.edges[-1])], nice=False)
            head = alt.TitleParams(f"{layer.name}: {label(name)}", anchor="start", fontSize=11)
            tops.append(
                alt.Chart(figure.rows(bars), width=SMALL, height=100, title=head)
                .mark_bar(color=figure.BLUE, stroke="white", strokeWidth=0.5)
                .encode(
                    x=alt.X("low:Q", title="activation", scale=span, axis=alt.Axis(tickCount=5)),
                    x2="high:Q",
                    y=alt.Y("share:Q", title="share", axis=alt.Axis(format="%", tickCount=4)),
                    y2="none:Q",
                )
            )
            bottoms += [] if one.left is None else [saturated(one)]
        if tops:
            drawn.append(alt.vconcat(alt.hconcat(*tops), alt.hconcat(*bottoms)))
    if not drawn:
        return None
    below = f"below: each unit by its share of steps under {LEFT} and over {RIGHT}"
    return figure.styled(alt.vconcat(*drawn), f"Gate activations, {title}", below)


def saturated(one: Activity) -> Any:
    """Return a unit a point: the share of its steps that are open against those that are shut."""
    alt = figure.vega()
    assert one.left is not None and one.right is not None
    points = [
        {"open": float(right), "shut": float(left)}
        for right, left in zip(one.right, one.left, strict=True)
    ]
    whole = alt.Scale(domain=[0, 1])
    percent = alt.Axis(format="%", values=[0, 0.5, 1])
    return (
        alt.Chart(figure.rows(points), width=SMALL, height=100)
        .mark_circle(color=figure.BLUE, opacity=0.6, size=28)
        .encode(
            x=alt.X("open:Q", scale=whole, axis=percent, title=f"over {RIGHT}"),
            y=alt.Y("shut:Q", scale=whole, axis=percent, title=f"under {LEFT}"),
        )
    )


def timescale_picture(found: Inspection, title: str) -> Any:
    """Return the timescales of each layer, the longest first, beside the length of a sequence."""
    alt, drawn = figure.vega(), []
    longest = int(np.asarray(found.layers[0].record.valid).sum(0).max())
    for layer in found.layers:
        if layer.timescales is None:
            continue
        finite = np.minimum(np.sort(layer.timescales)[::-1], 1e6)
        points = [{"rank": at + 1, "steps": float(tau)} for at, tau in enumerate(finite)]
        top = max(float(finite.max()) * 1.3, longest * 1.5)
        scale = alt.Scale(type="log", domain=[1, top], nice=False)
        dots = (
            alt.Chart(figure.rows(points), title=layer.name)
            .mark_circle(color=figure.BLUE, size=36, opacity=0.9)
            .encode(
                x=alt.X("rank:Q", title="unit, by rank", axis=alt.Axis(tickMinStep=1),
                        scale=alt.Scale(domain=[0, len(points) + 1], nice=False)),
                y=alt.Y("steps:Q", scale=scale, title="timescale 1/(1 − f), steps"),
            )
        )  # fmt: skip
        rule = alt.Chart(figure.rows([{"steps": longest, "name": f"longest sequence, {longest}"}]))
        line = rule.mark_rule(color=figure.ORANGE, strokeDash=[4, 3]).encode(y="steps:Q")
        word = rule.mark_text(
            align="right", dx=-4, dy=-6, color=figure.ORANGE, fontSize=10
        ).encode(y="steps:Q", x=alt.value(WIDE), text="name:N")  # fmt: skip
        drawn.append(alt.layer(dots, line, word).properties(width=WIDE, height=200))
    if not drawn:
        return None
    return figure.styled(alt.hconcat(*drawn), f"How long units remember, {title}")


def flow_picture(found: Inspection, title: str) -> Any:
    """Return the gradient of the loss by lag, and what is left of the memory's own derivative."""
    alt, drawn = figure.vega(), []
    for layer in found.layers:
        named = {name: f"∂L/∂{name}" for name in layer.flow}
        lines = [
            {"lag": lag, "what": named[name], "low": low or None, "mid": mid or None,
             "high": high or None}
            for name, bands in layer.flow.items()
            for lag, (low, mid, high) in enumerate(bands)
        ]  # fmt: skip
        log = alt.Scale(type="log")
        colour = alt.Color("what:N", title=None, scale=alt.Scale(
            range=[figure.BLUE, figure.ORANGE, figure.GREY, "#5b8c5a"]))  # fmt: skip
        base = alt.Chart(figure.rows(lines), width=WIDE, height=220, title=layer.name)
        x = alt.X("lag:Q", title="steps before the prediction")
        band = base.mark_area(opacity=0.18).encode(
            x=x, y=alt.Y("low:Q", scale=log, title="norm of the gradient"), y2="high:Q",
            color=colour,
        )  # fmt: skip
        line = base.mark_line(strokeWidth=1.8).encode(
            x=x, y=alt.Y("mid:Q", scale=log), color=colour
        )
        drawn.append(alt.hconcat(band + line, *own(layer)).resolve_scale(color="independent"))
    told = f"median and 10–90 % of {found.examples} examples; right: the first example"
    return figure.styled(alt.vconcat(*drawn), f"Gradient flow, {title}", told)


def own(layer: Layer) -> list[Any]:
    """Return the norm of the memory's derivative by lag, where it is known."""
    if layer.carried is None:
        return []
    alt, s = figure.vega(), layer.memory
    points = [{"lag": k, "norm": float(v) or None} for k, v in enumerate(layer.carried)]
    return [
        alt.Chart(figure.rows(points), width=WIDE, height=220)
        .mark_line(color=figure.BLUE, strokeWidth=1.8)
        .encode(
            x=alt.X("lag:Q", title="steps before the end"),
            y=alt.Y("norm:Q", scale=alt.Scale(type="log"), title=f"‖∂{s}_T/∂{s}_t‖, largest"),
        )
    ]


def spectrum_picture(found: Inspection, title: str) -> Any:
    """Return the eigenvalues of the step about the unit circle, and singular values over time."""
    alt, drawn = figure.vega(), []
    for layer in found.layers:
        if layer.spectrum is None:
            continue
        flat = layer.spectrum.eigenvalues.ravel()
        flat = flat[:: -(-len(flat) // POINTS)]
        bound = round(max(1.1, float(np.abs(flat).max()) * 1.05), 2)
        plane = alt.Scale(domain=[-bound, bound], nice=False)
        points = [{"re": float(z.real), "im": float(z.imag)} for z in flat]
        turn = np.linspace(0, 2 * np.pi, 121)
        ring = [{"re": np.cos(a), "im": np.sin(a), "at": k} for k, a in enumerate(turn.tolist())]
        x = alt.X("re:Q", scale=plane, title="real part")
        y = alt.Y("im:Q", scale=plane, title="imaginary part")
        circle = alt.Chart(figure.rows(ring)).mark_line(color=figure.GREY, strokeWidth=1)
        dots = alt.Chart(figure.rows(points)).mark_circle(
            color=figure.BLUE, opacity=0.25, size=14
        )  # fmt: skip
        left = alt.layer(circle.encode(x=x, y=y, order="at:Q"), dots.encode(x=x, y=y))
        left = left.properties(width=240, height=240, title=f"{layer.name}: eigenvalues")
        drawn.append(alt.hconcat(left, singular(layer.spectrum.singular)))
    if not drawn:
        return None
    told = "Jacobian of one step of the carry, at every step of the first example"
    return figure.styled(alt.vconcat(*drawn), f"Spectrum of a step, {title}", told)


def singular(values: np.ndarray) -> Any:
    """Return the largest, the median and the smallest singular value at each step."""
    alt = figure.vega()
    three = {"largest": values[:, 0], "median": np.median(values, -1)}
    lines = [
        {"step": step, "what": name, "value": max(float(v), 1e-6)}
        for name, series in three.items()
        for step, v in enumerate(series)
    ]
    colour = alt.Color(
        "what:N", title=None, sort=list(three), scale=alt.Scale(range=[figure.BLUE, figure.ORANGE])
    )
    return (
        alt.Chart(figure.rows(lines), width=WIDE, height=240, title="singular values")
        .mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X("step:Q", title="step"),
            y=alt.Y("value:Q", scale=alt.Scale(type="log"), title="singular value"),
            color=colour,
        )
    )


def panels(layer: Layer, row: int = 0) -> list[Panel]:
    """Return the gates, the memory and the output of one example, units of like memory together."""
    alive = np.flatnonzero(np.asarray(layer.record.valid)[:, row])
    carry = leaves(layer.record)
    order = similar(carry[layer.memory][alive, row])
    shown = {name: np.asarray(value) for name, value in layer.record.gates.items()}
    shown = {name: shown[name] for name in sorted(shown, key=rank)}
    shown |= {name: carry[name] for name in (layer.memory, "h") if name in carry}
    return [
        Panel(
            label(name),
            each[alive, row][:, order if each.shape[-1] == len(order) else slice(None)],
            signed=name in (*CANDIDATE, "c", "h", "z"),
        )
        for name, each in shown.items()
    ]


def traces(found: Inspection, task: Task, title: str) -> Any:
    """Return the first example: its inputs, and every gate, memory and output of every layer over time."""
    many = len(found.layers) > 1
    drawn = [] if task.vocabulary is not None else [inputs(found.batch, 0)]
    for layer in found.layers:
        drawn += [
            one._replace(title=f"{layer.name}: {one.title}" if many else one.title)
            for one in panels(layer)
        ]
    told = "a row a unit, units of like memory together; inputs above"
    return heatmap(drawn, f"One example, {title}", told, heading(task, found.batch, 0))
