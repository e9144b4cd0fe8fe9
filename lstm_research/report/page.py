"""One HTML file that holds its data, its charts and everything that draws them; no network is asked.

Vega, Vega-Lite and Vega-Embed come from vl-convert, in the version that Altair writes for.
"""

import functools
import html
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

import altair
import vl_convert

from lstm_research.report.charts import charts

SCRIPTS = ("page.js", "page_charts.js", "page_runs.js")


def page(data: Mapping[str, Any], title: str) -> str:
    """Return the page of `data.data`; besides it holds `made` (when), `root`, and `refresh` or None."""
    parts = {
        "title": html.escape(title),
        "style": asset("page.css"),
        "data": inert(json.dumps({**data, "charts": charts()}, allow_nan=False, separators=(",", ":"))),
        "bundle": bundle(),
        "script": "\n".join(asset(name) for name in SCRIPTS),
    }  # fmt: skip
    pieces = asset("page.html").split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}}")
        filled += [parts[name], rest]
    return "".join(filled)


def inert(text: str) -> str:
    """Return JSON that no HTML parser takes for the end of its script."""
    return text.replace("<", "\\u003c")


@functools.cache
def bundle() -> str:
    """Return the libraries that draw, as one script."""
    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    known = vl_convert.get_vegalite_versions()
    version = version if version in known else known[-1]
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version).replace(
        "</script", "<\\/script"
    )


@functools.cache
def asset(name: str) -> str:
    """Return a file that lies beside this one."""
    return resources.files("lstm_research.report").joinpath(name).read_text(encoding="utf-8")
