"""The page as a file: everything inside, nothing fetched, nothing that data could break out of."""

import json
import re

import pytest
from studied import spec, study

pytest.importorskip("altair", reason="the report draws with altair: pip install -e '.[report]'")
pytest.importorskip(
    "vl_convert", reason="the report draws with vl-convert: pip install -e '.[report]'"
)

from lstm_research import store
from lstm_research.config import named
from lstm_research.report import curves
from lstm_research.report.charts import charts
from lstm_research.report.data import data
from lstm_research.report.page import bundle, page

AROUND = {"made": "now", "root": "runs", "refresh": None}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    root = study(tmp_path_factory.mktemp("runs"))
    return data(store.load_runs(root), named("cell"), named("task"), named("wrap")) | AROUND


@pytest.fixture(scope="module")
def text(told):
    return page(told, "lstm-research: <gates>")


def test_the_data_come_back_from_the_page_as_they_went_in(told, text):
    (inside,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert json.loads(inside) == json.loads(json.dumps({**told, "charts": charts()}))


def test_no_text_of_a_run_ends_a_script(text):
    assert "</script> no room" not in text and "\\u003c/script> no room" in text
    assert "<title>lstm-research: &lt;gates&gt;</title>" in text
    assert len(re.findall("<script", text)) == len(re.findall("</script>", text)) == 3


def test_the_page_may_fetch_nothing_and_asks_for_nothing(text):
    own = text.replace(bundle(), "")
    assert "default-src 'none'" in own
    assert not re.findall(r"""(?:src|href)=["']?https?:""", own) and "<link" not in own
    assert "connect-src" not in own and "{{" not in own


def test_every_chart_asks_for_its_data_by_name_and_is_sound_vega_lite():
    import vl_convert

    rows = {
        "curves": [{"variant": "a", "seed": 0, "step": 1, "value": 1.0, "held": False, "bin": ""}],
        "slices": [{"variant": "a", "seed": 0, "at": 1, "value": 1.0, "held": False, "bin": "1"}],
        "entries": [{"variant": "a", "mean": 1, "low": 0, "high": 2, "n": 2}],
        "results": [{"variant": "a", "seed": 0, "value": 1, "status": "solved"}],
        "solved": [{"variant": "a", "seed": 0, "step": 1, "how": "solved"}],
        "guides": [{"name": "chance", "value": 0.5}],
    }
    for name, chart in charts().items():
        asked = set(re.findall(r'"data": \{"name": "(\w+)"\}', json.dumps(chart)))
        assert asked <= set(rows) and name in asked | {"results"}
        drawn = vl_convert.vegalite_to_svg(
            {**chart, "datasets": rows, "width": 300}, vl_version="6.4"
        )
        assert drawn.count("aria-roledescription") > 2


def test_the_curves_of_500_runs_and_all_else_fit_into_three_megabytes():
    """Four metrics of 1,000 steps each, and twice the spec for what else a run says."""
    curve = {f"valid m{k}": {step: step / 7 for step in range(1000)} for k in range(4)}
    many = dict.fromkeys(range(500), curve)
    thin = curves.gathered(many, curves.points(curves.count(many.values())))
    size = len(json.dumps({name: each._asdict() for name, each in thin.items()}))
    assert len(bundle()) + size + 500 * 2 * len(json.dumps(spec())) < 3_000_000
