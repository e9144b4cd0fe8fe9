"""The catalogue of tasks says what each task says of itself."""

import io

import pytest
from rich.console import Console

from lstm_research import catalogue
from lstm_research.face import task
from lstm_research.task_listing import criterion, drawing, entry, given
from lstm_research.tasks.data import DataError
from lstm_research.tasks.forecasting import Forecasting
from lstm_research.tasks.task import Success


def test_an_entry_says_what_the_task_says():
    each, built = entry("adding"), task("adding")
    assert (each.metric, each.goal, each.chance) == ("mse", "min", dict(built.chance))
    assert each.inputs == "2 floats" and each.outputs == "1 number, at the end"
    assert each.success == "mse <= 0.01" and each.source == built.source
    assert each.settings["length"] == 100 and each.what.startswith("Inputs are pairs")


def test_tokens_and_classes_are_counted():
    each = entry("temporal_order_6a")
    assert each.inputs == "a token of 8" and each.outputs == "a class of 4, at the end"
    assert entry("copying").outputs == "a class of 9, at each step"


def test_quantiles_are_counted():
    assert given(Forecasting(quantiles=3).build()) == "3 quantiles, at each step"


def test_a_task_without_its_data_is_listed_with_the_reason(monkeypatch):
    def absent(self):
        raise DataError("fetch it so", file="jsb.mat")

    monkeypatch.setattr("lstm_research.tasks.music.Music.build", absent)
    each = entry("jsb")
    assert each.missing == "fetch it so" and each.metric is None and each.caption


def test_the_table_has_a_row_a_task_and_no_name_is_cut():
    out = io.StringIO()
    found = [entry(name) for name in ("adding", "temporal_order_6a")]
    Console(file=out, width=120).print(drawing(found))
    assert "temporal_order_6a" in out.getvalue() and "within >= 1" in out.getvalue()


def test_an_unknown_name_has_its_nearest_spelling():
    with pytest.raises(catalogue.UnknownName, match="adding"):
        entry("addin")


def test_a_criterion_has_its_bounds():
    assert criterion(Success("a", at_least=1.0, at_most=2.0)) == "a >= 1 and <= 2"
