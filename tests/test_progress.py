"""The display: live on a terminal, silent elsewhere, and it counts what became of the runs."""

import io

import pytest
from rich.console import Console

from lstm_research import progress
from lstm_research.progress import display


def scene(shown) -> None:
    shown.event(0, "lstm · adding · seed 0", {"step": 50, "split": "valid", "mse": 0.123456})
    shown.end(0, "solved", True)
    shown.end(1, "finished", False)


def test_nothing_is_drawn_where_nobody_looks(capsys):
    with display([100, 100]) as shown:
        scene(shown)
        assert capsys.readouterr() == ("", "")
        shown.say("36 jobs")
    assert capsys.readouterr() == ("36 jobs\n", "")
    assert shown.counts == {"solved": 1, "there before": 1}


@pytest.fixture
def screen(monkeypatch) -> io.StringIO:
    file = io.StringIO()
    made = Console(file=file, force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr(progress, "Console", lambda stderr: made)
    return file


def test_a_terminal_shows_what_runs_how_far_it_is_and_what_became_of_the_others(screen):
    with display([100, 100, 100]) as shown:
        scene(shown)
        shown.event(2, "cifg · adding · seed 0", {"step": 50, "split": "valid", "mse": 0.123456})
        shown.say("3 jobs")
        shown.progress.refresh()
        text = screen.getvalue()
    assert "cifg · adding · seed 0" in text and "250/300" in text and "valid mse 0.1235" in text
    assert "1 solved" in text and "1 there before" in text and "2/3" in text and "3 jobs" in text
