"""The pictures of the search: box plots as in the paper, and the test loss over each setting."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from greff.draws import RATE
from greff.outcome import CEILING, LEVEL, Group, Record, Trial, differs, groups, trial
from lstm_research.figure import save, vega

BLUE, GREY, RED = "#4c78a8", "#c8c8c8", "#d62728"
LEFT = {"anchor": "start", "fontSize": 13, "subtitleFontSize": 11, "subtitleColor": "#555"}


def draw(records: Sequence[Record], shares: Mapping[str, float] | None, folder: Path) -> list[Path]:
    """Write the pictures into a folder; return them."""
    found, trials = groups(records), list(map(trial, records))
    made = {"odyssey_boxes": boxes(found), "odyssey_settings": settings(trials, shares)}
    return [save(chart, folder / f"{name}.png", 1.3) for name, chart in made.items()]


def boxes(found: Sequence[Group]) -> Any:
    """Return the two panels of the paper: all trials, and the best tenth."""
    alt = vega()
    significant = {g.variant for g in found if g.all_welch is not None and g.all_welch.p < LEVEL}
    above = sum(value > CEILING for each in found for value in each.every)
    lost = sum(each.diverged for each in found)
    every = panel(
        {each.variant: each.every for each in found},
        significant,
        ("All trials", f"{above} above {CEILING:.0f} nats drawn there, {lost} diverged"),
    )
    top = panel(
        {each.variant: each.best for each in found},
        {each.variant for each in found if differs(each)},
        ("Best tenth by validation", f"trials a variant: {max(len(each.best) for each in found)}"),
    )
    note = "box: quartiles, whiskers: range, line: median, red: mean, blue: differs from V (Welch, p < 0.05)"
    title = alt.TitleParams("Test negative log-likelihood, nats a frame", subtitle=note, **LEFT)
    return alt.hconcat(every, top).properties(title=title).configure_view(stroke=None)


def panel(
    values: Mapping[str, Sequence[float]], significant: set[str], title: tuple[str, str]
) -> Any:
    """Return box plots of a number of samples side by side."""
    alt = vega()
    rows, points = [], []
    for variant, sample in values.items():
        if not sample:
            continue
        name, cut = variant.upper(), np.minimum(sample, CEILING)
        low, first, middle, third, high = np.percentile(cut, (0, 25, 50, 75, 100)).tolist()
        colour = BLUE if variant in significant else GREY
        rows.append(
            {"variant": name, "low": low, "first": first, "middle": middle, "third": third}
            | {"high": high, "mean": min(float(np.mean(sample)), CEILING), "colour": colour}
        )
        points += [{"variant": name, "value": float(value)} for value in cut]
    order = [variant.upper() for variant in values]
    x = alt.X("variant:N", sort=order, title=None, axis=alt.Axis(labelAngle=0))
    y = lambda field: alt.Y(f"{field}:Q", scale=alt.Scale(zero=False), title=None)
    base = alt.Chart(alt.Data(values=rows)).encode(x=x)
    whiskers = base.mark_rule(color="#666").encode(y=y("low"), y2="high:Q")
    box = base.mark_bar(size=22, stroke="#666").encode(
        y=y("first"), y2="third:Q", color=alt.Color("colour:N", scale=None)
    )
    median = base.mark_tick(size=22, thickness=2, color="black").encode(y=y("middle"))
    mean = base.mark_point(filled=True, size=45, color=RED, opacity=1).encode(y=y("mean"))
    dots = (
        alt.Chart(alt.Data(values=points))
        .mark_point(size=9, color="black", opacity=0.35)
        .encode(x=x, y=y("value"))
    )
    head = alt.TitleParams(title[0], subtitle=title[1], **LEFT)
    return alt.layer(whiskers, box, median, dots, mean).properties(
        width=360, height=280, title=head
    )


def settings(trials: Sequence[Trial], shares: Mapping[str, float] | None) -> Any:
    """Return the test loss over each setting, a point a trial, headed by the share it explains."""
    alt = vega()
    rows = [
        {
            "variant": "vanilla" if each.variant == "v" else "other variants",
            "test": min(each.test, CEILING),
            "rate": each.draw.rate,
            "hidden size": each.draw.hidden,
            "input noise": each.draw.noise,
            "1 - momentum": 1 - each.draw.momentum,
        }
        for each in trials
        if each.test is not None
    ]
    logs = {"rate": list(RATE), "hidden size": [18, 220], "1 - momentum": [0.009, 1.1]}
    panels = []
    for key in ("rate", "hidden size", "input noise", "1 - momentum"):
        domain = logs.get(key)
        scale = alt.Scale(type="log", domain=domain) if domain else alt.Scale(domain=[0, 1])
        axis = alt.Axis(format="~g", tickCount=5, grid=False)
        share = (shares or {}).get(key.removeprefix("1 - "))
        panels.append(
            alt.Chart(alt.Data(values=rows))
            .mark_point(filled=True, size=22)
            .encode(
                x=alt.X(f"{key}:Q", scale=scale, axis=axis),
                y=alt.Y("test:Q", scale=alt.Scale(zero=False), title="test NLL"),
                color=alt.Color(
                    "variant:N",
                    title=None,
                    scale=alt.Scale(domain=["vanilla", "other variants"], range=[RED, "#8da9c4"]),
                    legend=alt.Legend(orient="bottom"),
                ),
                order=alt.Order("variant:N"),
            )
            .properties(
                width=330,
                height=210,
                title=f"{key}: explains {share:.0%}" if share is not None else key,
            )
        )
    grid = alt.vconcat(alt.hconcat(*panels[:2]), alt.hconcat(*panels[2:]))
    note = f"a point a trial; above {CEILING:.0f} nats drawn there; share of the variance by fANOVA"
    title = alt.TitleParams("Test NLL over each setting of the search", subtitle=note, **LEFT)
    return grid.properties(title=title)
