"""A second launch of a command: nothing is traced, the results are the same, and XLA says nothing of it."""

import json
import os
import subprocess
import sys

import pytest
from test_kept_program import WORDS

LAUNCHED = """
import sys
from lstm_research import cli
def loaded():  # not before: a command says how much XLA logs, then loads it
    from lstm_research import kept_program
    kept_program.traced = lambda *given: sys.exit("traced again")
if sys.argv.pop(1) == "again":
    cli.settled = loaded
sys.exit(cli.entry())
"""


def launched(way, root, *words):
    environment = {**os.environ, "LSTM_RESEARCH_CACHE": str(root.parent / "cache")}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # JAX has set it in this process
    line = ["run", *WORDS, *words, "tracker=none", f"runs={root}"]
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHED, way, *line],
        timeout=300, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "aot_loader" not in done.stderr, "XLA's page of processor features for a kept program"
    return {
        path.parent.name.rpartition("-")[0]: json.loads(path.read_text())["metrics"]
        for path in sorted(root.rglob("result.json"))
    }


@pytest.mark.parametrize("words", [["seed=0"], ["-m", "seed=0,1", "cell=lstm,elman"]])
def test_a_second_launch_traces_nothing_and_finds_the_same(tmp_path, words):
    first = launched("first", tmp_path / "first", *words)
    assert first and first == launched("again", tmp_path / "again", *words)
