"""A line composed by another process is what this one would compose; what goes wrong there costs nothing."""

import os
import subprocess
import sys

import pytest

from lstm_research import ahead, compose

LINE = ["-m", "cell=lstm,gru", "seed=range(3)", "task.length=9"]


@pytest.fixture(autouse=True)
def nothing_pending(monkeypatch):
    """A machine of two cores, on which nobody waits for another process."""
    monkeypatch.setattr(ahead, "PENDING", [])
    monkeypatch.setattr(ahead, "usable", lambda: 2)


PROCESS = """
import sys
from lstm_research import ahead
ahead.usable = lambda: 2
{before}
ahead.begin({line})
assert not {{"jax", "hydra"}} & {{*sys.modules}}, "imported before the other process was forked"
found = ahead.found({asked})
assert not ahead.PENDING
{after}
"""


def process(line, before="", after="", asked=None):
    """Run a line's composition in a process that has not imported JAX."""
    code = PROCESS.format(
        line=line, before=before, after=after, asked=line if asked is None else asked
    )
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    )


def test_the_other_process_composes_what_this_one_would():
    wanted = compose.every(LINE[1:], sweep=True)
    process(LINE, after=f"assert found == {wanted!r}, found")


@pytest.mark.parametrize("line", [["cell=["], ["seed=1,2"], ["sed=3"]])
def test_a_mistake_is_left_to_this_process(line):
    ended = process(line, after="assert found is None")
    assert not ended.stdout and not ended.stderr


def test_a_job_that_cannot_be_composed_is_told_as_here():
    line = ["cell=lstn"]
    wanted = compose.every(line)
    assert "'lstm'" in str(wanted)
    process(line, after=f"assert found == {wanted!r}, found")


def test_a_process_that_dies_is_as_none():
    before = "import os; ahead.composed = lambda line: os.kill(os.getpid(), 9)"
    process(LINE, before=before, after="assert found is None")


def test_another_line_is_not_mistaken_for_this_one():
    process(LINE, asked=["cell=gru"], after="assert found is None")


def test_one_core_composes_for_itself(monkeypatch):
    monkeypatch.setattr(ahead, "usable", lambda: 1)
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    ahead.begin(LINE)
    assert ahead.found(LINE) is None


def test_a_launch_needs_no_hydra_of_its_own(tmp_path):
    code = """
import sys
sys.argv = ["lstm-research", "run", "cell=lstn"]
from lstm_research import ahead, cli
ahead.usable = lambda: 2
try:
    cli.entry()
except SystemExit as end:
    assert end.code == 2, end.code
assert "hydra" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "'lstm'" in done.stderr
