"""What a page knows: the numbers of the table, every run once, and what could not be read."""

import json

import pytest
from studied import ADDING, run, spec, study

from lstm_research import store
from lstm_research.config import named
from lstm_research.report.data import data, student, versus
from lstm_research.stats import mean_interval
from lstm_research.table import table


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "environment", lambda: {"commit": "c0ffee", "started": "2026-11-21"})
        return study(tmp_path_factory.mktemp("runs"))


def names():
    return named("cell"), named("task"), named("wrap")


@pytest.fixture(scope="module")
def found(root):
    return data(store.load_runs(root), *names())


def test_the_summary_is_the_table(root, found):
    expected = table(store.load_runs(root), *names())
    assert found["variants"] == [row.label for row in expected.rows]
    assert [task["label"] for task in found["tasks"]] == [each.label for each in expected.columns]
    for row, entries in zip(expected.rows, found["entries"], strict=True):
        for entry, shown in zip(row.entries, entries, strict=True):
            for name in ("mean", "low", "high", "n", "solved", "diverged", "failed", "best"):
                assert shown[name] == getattr(entry, name)


def test_the_tests_against_each_baseline_are_those_of_the_table(root, found):
    for at, label in enumerate(found["variants"]):
        expected = table(store.load_runs(root), *names(), baseline=label)
        for row in expected.rows:
            variant = found["variants"].index(row.label)
            for task, entry in enumerate(row.entries):
                told = found["versus"]["of"][str(at)][task][variant]
                test = entry.versus if entry else None
                assert (told is None) == (test is None)
                if test:
                    assert told == [pytest.approx(test.delta, rel=1e-4), test.p, test.pairs]


def test_an_unfinished_run_has_its_curve_and_no_result(found):
    (at,) = [at for at, each in enumerate(found["runs"]) if each["status"] == "unfinished"]
    assert found["runs"][at]["value"] is None
    task = found["runs"][at]["task"]
    assert len(found["curves"][task]["valid mse"]["values"][at]) == 40


def test_a_curve_ends_where_its_run_diverged_and_cut_metrics_are_no_curves(found):
    (at,) = [at for at, each in enumerate(found["runs"]) if each["status"] == "diverged"]
    curves = found["curves"][found["runs"][at]["task"]]
    assert len(curves["train loss"]["steps"]) == 41
    assert len(curves["train loss"]["values"][at]) == 40
    assert not [name for name in curves if "@" in name]


def test_slices_come_with_the_test_metrics(found):
    cut = [
        name for each in found["runs"] for name in each["metrics"].get("test", {}) if "@" in name
    ]
    assert len(cut) == 3 * 5  # three bins of the five runs of parity with a result
    assert not [
        name for each in found["runs"] for name in each["metrics"].get("valid", {}) if "@" in name
    ]


def test_costs_and_pictures_of_an_inspected_run_are_found(found):
    (at,) = [at for at, each in enumerate(found["runs"]) if "inspected" in each]
    assert found["runs"][at]["flops"] == 1234
    assert [each["name"] for each in found["pictures"][str(at)]] == ["gates"]


def test_a_setting_that_runs_share_stands_once(found):
    assert len(found["shared"]["cell"]) == 2 and len(found["shared"]["task"]) == 2
    assert len(found["shared"]["environment"]) == 1


def test_the_data_are_strict_json(found):
    assert json.loads(json.dumps(found, allow_nan=False))["split"] == "test"


def test_a_damaged_curve_is_left_out_and_said(tmp_path):
    path = run(tmp_path, spec())
    (path / "metrics.jsonl").write_text('{"step": 1\n{"step": 2}\n')
    found = data(store.load_runs(tmp_path), *names())
    assert found["curves"] == [{}]
    assert any("metrics.jsonl:1" in note for note in found["notes"])


def test_a_store_where_nothing_has_ended_has_a_page(tmp_path):
    run(tmp_path, spec(), "unfinished")
    found = data(store.load_runs(tmp_path), *names())
    assert found["entries"] == [[None]] and found["variants"] == ["lstm"]
    assert found["curves"][0]["valid mse"]["values"][0][0] == pytest.approx(0.8913, rel=1e-3)


def test_the_students_quantile_of_the_page_gives_the_interval_of_the_table():
    values = [0.1, 0.2, 0.4]
    mean, _, high, n = mean_interval(values)
    spread = (sum((value - mean) ** 2 for value in values) / (n - 1)) ** 0.5
    found = student(3)
    assert found[:2] == [None, None]
    assert mean + (found[3] or 0) * spread / n**0.5 == pytest.approx(high, rel=1e-4)


def test_baselines_are_as_many_as_there_is_room_for_and_the_chosen_one_is_among_them():
    entries = [[None] * 4 for _ in range(1000)]
    found = versus(entries, 700)
    assert found["baselines"] == [0, 1, 2, 3, 4, 700]
    assert versus([], 0)["baselines"] == []


def test_a_baseline_that_is_no_row_is_refused(root):
    with pytest.raises(ValueError, match="lstm"):
        data(store.load_runs(root), *names(), baseline="lstn")


def test_one_spec_in_two_studies_is_one_run(tmp_path):
    for name in ("one", "two"):
        run(tmp_path, spec(task=ADDING) | {"study": name})
    assert len(data(store.load_runs(tmp_path), *names())["runs"]) == 1
