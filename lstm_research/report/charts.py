"""The charts of a page as Vega-Lite, written with Altair; the page brings the data by name.

`curves`   a metric over steps: mean and Student band over seeds, single seeds on demand
`results`  mean, interval and every seed of each variant, beside what a memoryless guess reaches
`slices`   a metric over lengths or lags
`solved`   the step at which each seed solved the task, or stopped without

The page sets two parameters, `student` (quantile by number of seeds) and `floor` (least value of a
logarithmic axis), and takes the layer `single` out where single seeds are not asked for. Colours of text
and lines are those of the page.
"""

from typing import Any, Literal

import altair as alt

QUIET, FAINT = "rgba(127,127,127,0.45)", "rgba(127,127,127,0.18)"
INK = "currentColor"  # what the page says: dark on light, or light on dark
WIDE = {
    "width": "container",
    "autosize": alt.AutoSizeParams(type="fit-x", contains="padding"),
}
CONFIG = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "axis": {
        "labelColor": INK, "titleColor": INK, "titleFontWeight": "normal", "gridColor": FAINT,
        "domainColor": QUIET, "tickColor": QUIET, "labelLimit": 260,
    },
    "legend": {
        "labelColor": INK, "titleColor": INK, "labelLimit": 320, "orient": "bottom",
        "columns": 3, "symbolOpacity": 1, "title": None,
    },
    "view": {"stroke": None},
}  # fmt: skip
Layers = alt.LayerChart | alt.FacetChart  # as alt.layer says
SOLVED = {"solved": "circle", "stopped": "triangle-right"}


def charts() -> dict[str, dict[str, Any]]:
    """Return every chart as a Vega-Lite specification without its data."""
    made = {"curves": curves(), "results": results(), "slices": slices(), "solved": solved()}
    return {name: chart.configure(**CONFIG).to_dict() for name, chart in made.items()}


def parameters() -> list[alt.Parameter]:
    """Return what the page sets on a chart with seeds and bands."""
    return [
        alt.param(name="floor", value=-1e300),
        alt.param(name="student", value=[None, None]),
    ]


def banded(source: str, x: str) -> alt.Chart:
    """Return the mean over seeds at each x, with `low` and `high` of its Student interval."""
    half = "datum.n > 1 ? student[datum.n] * datum.spread / sqrt(datum.n) : 0"
    return (
        alt.Chart(alt.NamedData(source))
        .transform_aggregate(
            mean="mean(value)", spread="stdev(value)", n="count()", groupby=["variant", x, "bin"]
        )
        .transform_calculate(half=half)
        .transform_calculate(
            low="max(floor, datum.mean - datum.half)", high="max(floor, datum.mean + datum.half)"
        )
    )


def over(source: str, x: str, title: str, *, points: bool) -> Layers:
    """Return mean, band and single seeds of each variant over x."""
    at = alt.X(f"{x}:Q", title=title)
    colour = alt.Color("variant:N")
    base = banded(source, x)
    band = base.mark_area(opacity=0.18, clip=True).encode(
        x=at, y=alt.Y("low:Q", title=None), y2="high:Q", color=colour
    )
    tooltip = ["variant:N", *(["bin:N"] if points else [f"{x}:Q"])]
    tooltip += [alt.Tooltip(f"{name}:Q", format=".4~g") for name in ("mean", "low", "high", "n")]
    line = base.mark_line(strokeWidth=2, point=points, clip=True).encode(
        x=at, y=alt.Y("mean:Q", title=None), color=colour, tooltip=tooltip
    )
    single = (
        alt.Chart(alt.NamedData(source))
        .transform_filter("!datum.held")
        .mark_line(strokeWidth=1, opacity=0.6)
        .encode(
            x=at,
            y=alt.Y("value:Q", title=None),
            color=colour,
            detail="seed:N",
            tooltip=["variant:N", "seed:N", f"{x}:Q", alt.Tooltip("value:Q", format=".4~g")],
        )
        .properties(name="single")
    )
    return alt.layer(band, single, line)


def curves() -> Layers:
    """Return a metric over training steps."""
    chart = over("curves", "step", "training step", points=False)
    return chart.add_params(*parameters()).properties(**WIDE, height=320)


def slices() -> Layers:
    """Return a metric over the bins of a length or a lag; the page gives the axis its name."""
    chart = alt.layer(over("slices", "at", "length", points=True), guides("y"))
    return chart.add_params(*parameters()).properties(**WIDE, height=320)


def guides(axis: Literal["x", "y"]) -> alt.Chart:
    """Return dashed lines at what a memoryless guess reaches."""
    rule = (
        alt.Chart(alt.NamedData("guides"))
        .mark_rule(strokeDash=[5, 4], color="gray")
        .encode(tooltip=["name:N", alt.Tooltip("value:Q", format=".4~g")])
    )
    return rule.encode(y=alt.Y("value:Q")) if axis == "y" else rule.encode(x=alt.X("value:Q"))


def results() -> Layers:
    """Return mean, interval and seeds of each variant, one line a variant."""
    line = alt.Y("variant:N", title=None, sort=None)
    whole = alt.Chart(alt.NamedData("entries"))
    told = [
        "variant:N",
        *(alt.Tooltip(f"{name}:Q", format=".4~g") for name in ("mean", "low", "high")),
        "n:Q",
    ]
    value = alt.X("mean:Q", title=None, scale=alt.Scale(zero=False))
    interval = whole.mark_rule(strokeWidth=3, opacity=0.5).encode(
        x=alt.X("low:Q", title=None), x2="high:Q", y=line, color=alt.Color("variant:N", legend=None)
    )
    mean = whole.mark_point(filled=True, size=90, opacity=1).encode(
        x=value, y=line, color=alt.Color("variant:N", legend=None), tooltip=told
    )
    single = (
        alt.Chart(alt.NamedData("results"))
        .mark_tick(thickness=2, size=14, opacity=0.75)
        .encode(
            x=alt.X("value:Q", title=None),
            y=line,
            color=alt.Color("variant:N", legend=None),
            tooltip=["variant:N", "seed:N", alt.Tooltip("value:Q", format=".4~g"), "status:N"],
        )
    )
    chart = alt.layer(interval, single, mean, guides("x"))
    return chart.properties(**WIDE, height=alt.Step(24))


def solved() -> alt.Chart:
    """Return the step at which each seed solved the task, hollow where it stopped without."""
    return (
        alt.Chart(alt.NamedData("solved"))
        .mark_point(size=70, strokeWidth=2)
        .encode(
            x=alt.X("step:Q", title="training step"),
            y=alt.Y("variant:N", title=None, sort=None),
            color=alt.Color("variant:N", legend=None),
            fill=alt.condition(
                "datum.how == 'solved'",
                alt.Color("variant:N", legend=None),
                alt.value("transparent"),
            ),
            shape=alt.Shape(
                "how:N", scale=alt.Scale(domain=list(SOLVED), range=list(SOLVED.values()))
            ),
            tooltip=["variant:N", "seed:N", "how:N", "step:Q"],
        )
        .properties(**WIDE, height=alt.Step(24))
    )  # fmt: skip
