"""The list of runs: their names, their numbers, and which of them are meant."""

import io

import pytest
from records import CELLS, LSTM, TASKS, record
from rich.console import Console

from lstm_research.catalogue import UnknownName
from lstm_research.inventory import chosen, drawing, inventory

RECORDS = [
    record("lstm", value=0.125, status="solved"),
    record(LSTM | {"forget_bias": 2.0}, seed=1, study="more"),
    record("elman", "copying", status="failed"),
    record("gru", status="unfinished"),
]


def items(records=RECORDS):
    return inventory(records, CELLS, TASKS, {})


def test_a_run_is_named_as_in_tables_and_has_its_number():
    first, second, third, last = items()
    assert (first.cell, first.task, first.status, first.test) == ("lstm", "adding", "solved", 0.125)
    assert (second.cell, second.study) == ("lstm(forget_bias=2)", "more")
    assert third.test is None and third.error == "MemoryError: "
    assert last.status == "unfinished" and last.metric is None


def test_a_run_whose_spec_cannot_be_read_stays_in_the_list():
    (found,) = items([record(status="unfinished")._replace(spec={})])
    assert (found.cell, found.task, found.seed) == ("?", "?", None)


def test_a_filter_takes_a_name_its_changes_and_nothing_else():
    assert [each.cell for each in chosen(items(), cell="lstm")] == ["lstm", "lstm(forget_bias=2)"]
    assert [each.cell for each in chosen(items(), task="adding", study="gates")] == ["lstm", "gru"]
    assert chosen(items(), cell=None) == items() and chosen([], cell="lstm") == []


def test_a_filter_that_meets_no_run_names_the_nearest():
    with pytest.raises(UnknownName, match=r"--cell: 'elmen' .* 'elman'"):
        chosen(items(), cell="elmen")


def test_every_run_is_a_line():
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(drawing(items()))
    lines = console.export_text().splitlines()
    assert len(lines) == 2 + len(RECORDS) and "0.125" in lines[2] and "failed" in lines[4]
