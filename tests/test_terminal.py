"""The terminal: everything fits, nothing is cut, and a pipe gets plain text."""

import io
import re

from records import busy, made, record, seeds
from rich.text import Text

from lstm_research.terminal import put, show, terminal, writes


def test_five_variants_on_three_tasks_fit_a_hundred_columns_whole():
    for found in (busy(), busy(baseline="lstm")):
        text = terminal(found, width=100)
        assert max(map(len, text.splitlines())) <= 100
        body = text.split("Mean on")[0]
        assert all(row.label in body for row in found.rows)
        assert body.count("n=5 · solved") == 15 and body.count(" params · ") == 15
        assert body.count("[") == 15 and body.count("1 of 5 diverged") == 3


def test_a_narrow_terminal_moves_intervals_and_then_breaks_but_never_cuts():
    found = busy()
    lengths = []
    for width in (120, 80, 60, 45, 20):
        body = terminal(found, width=width).split("Mean on")[0]
        assert max(map(len, body.splitlines())) <= max(width, 45)  # one column takes 45
        assert body.count("n=5 · solved") == body.count("[") == 15 and "…" not in body
        lengths.append(len(body.splitlines()))
    assert lengths == sorted(lengths) and lengths[0] < lengths[-1]


def test_without_colour_the_text_is_plain_and_a_star_marks_the_best():
    found = made(seeds([0.1, 0.11, 0.12]), seeds([5.0, 5.1, 5.2], cell="gru"))
    plain, styled = terminal(found), terminal(found, color=True)
    assert "\x1b" not in plain and plain.count("] *") == 1
    assert "\x1b[1m0.110 [0.0852, 0.135]" in styled or "\x1b[1m0.110 [" in styled
    assert "] *" not in styled


def test_what_diverged_is_red_in_colour():
    runs = [*seeds([0.1]), record(seed=1, status="diverged")]
    assert re.search(r"\x1b\[31m\s*1 of 2 diverged", terminal(made(runs), color=True))


def test_a_pipe_gets_plain_text_of_any_width_without_broken_lines(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    found, file = busy(), io.StringIO()
    show(found, file)
    assert file.getvalue() == terminal(found)
    assert all(note in file.getvalue().splitlines() for note in found.notes)


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


def test_a_terminal_gets_colour_in_its_own_width_unless_no_color_is_set(monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    found, screen = busy(), Screen()
    show(found, screen)
    assert "\x1b[" in screen.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    show(found, screen := Screen())
    assert "\x1b[" not in screen.getvalue()
    assert 60 < max(map(len, screen.getvalue().splitlines())) <= 90


def test_a_file_that_knows_only_ascii_gets_ascii():
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    show(busy(baseline="lstm"), file)
    text = raw.getvalue().decode("ascii")
    assert "n=5 - solved" in text and "mse (min)" in text and "?" not in text


def test_a_drawing_in_a_pipe_is_plain_and_as_wide_as_it_takes(capsys):
    put(Text("x" * 300, style="bold red"))
    assert capsys.readouterr().out == "x" * 300 + "\n"


def test_marks_that_an_output_lacks_are_known_beforehand(monkeypatch):
    for encoding, known in (("utf-8", True), ("ascii", False)):
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        assert writes("▁") is known
