"""`lstm-research tasks` lists, prints and draws, and refuses by name."""

import json

import pytest

from lstm_research.cli import main


def test_json_is_an_object_a_line(capsys):
    assert main(["tasks", "adding", "copying", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["name"] for line in lines] == ["adding", "copying"]


def test_an_example_is_printed(capsys):
    assert main(["tasks", "temporal_order_6a", "--example"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("temporal_order_6a, ") and "target: " in out


def test_an_example_of_many_tasks_is_refused(capsys):
    assert main(["tasks", "--example"]) == 2
    assert "one task" in capsys.readouterr().err


def test_a_picture_ends_in_a_known_format(capsys, tmp_path):
    pytest.importorskip("altair", reason="needs the extra `report`")
    assert main(["tasks", "temporal_order_6a", "--example", str(tmp_path / "a.svg")]) == 0
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
    assert main(["tasks", "temporal_order_6a", "--example", str(tmp_path / "a.pdf")]) == 2
    assert "a.pdf" in capsys.readouterr().err


def test_an_unknown_task_has_its_nearest_spelling(capsys):
    assert main(["tasks", "addin"]) == 2
    assert "adding" in capsys.readouterr().err
