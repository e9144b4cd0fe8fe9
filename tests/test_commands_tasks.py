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


def test_show_takes_a_task_at_settings_of_its_own(capsys):
    assert main(["show", "task=copying", "task.delay=3", "task.symbols=2"]) == 0
    assert capsys.readouterr().out.startswith("copying, 7 steps")


@pytest.mark.parametrize(
    ("word", "hint"),
    [("task.dealy=3", "delay"), ("hidden=3", "task.KEY"), ("task.delay=-3", "delay=-3")],
)
def test_show_refuses_a_wrong_setting_by_name(capsys, word, hint):
    assert main(["show", "task=copying", word]) == 2
    assert hint in capsys.readouterr().err
