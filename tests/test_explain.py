"""What is chosen, and why, in words."""

import jax
import pytest

from lstm_research import sweep
from lstm_research.cli import main
from lstm_research.explain import explain
from lstm_research.pack import split
from lstm_research.signature import program, signature

SMALL = ["task=adding", "task.length=9"]


def spec(*overrides):
    return sweep.specs([*SMALL, *overrides])[0]


def test_wide_runs_share_their_batch_and_narrow_ones_do_not():
    two = jax.devices()[:1] * 2
    wide = program(signature(spec("cell=lstm", "network.hidden=128", "budget.batch=64")))
    assert split(wide, two)[0] == 2 and split(wide, two[:1])[0] == 1
    for odd in ("network.hidden=8", "budget.batch=33"):
        narrow = spec("cell=lstm", "network.hidden=128", "budget.batch=64", odd)
        assert split(program(signature(narrow)), two)[0] == 1


@pytest.mark.parametrize(("overrides", "engine"), [
    (["cell=lstm", "network.hidden=8"], "native"),
    (["cell=lstm", "network.hidden=9"], "fused"),
    (["cell=onlstm", "network.hidden=8"], "fused"),
    (["cell=mingru", "network.hidden=8"], "parallel"),
    (["cell=indrnn", "network.hidden=8", "network.engine=newton"], "newton (asked for)"),
])  # fmt: skip
def test_the_engine_is_named_with_its_reason(overrides, engine):
    devices, said, kept = explain(spec(*overrides))
    assert said.startswith(f"engine   {engine}: ") and devices.startswith("devices  ")
    assert kept.startswith("keeps    gates: pre-activations and carries of all 9 steps; gates ")


def test_long_sequences_are_kept_in_pieces():
    long = spec("cell=lstm", "task.length=100000", "network.hidden=128")
    said = "keeps    pieces: the carry before every 316 steps, and runs those again; gates "
    assert explain(long)[2].startswith(said)


def test_what_is_kept_can_be_asked_for():
    said = "keeps    states (asked for): the carries of all 9 steps, and computes"
    assert explain(spec("cell=lstm", "network.keep=states"))[2].startswith(said)


def test_the_command_line_tells_each_program_once_and_runs_nothing(tmp_path, capsys):
    words = ["run", "-m", "--explain", "cell=lstm,mingru", *SMALL, "seed=0,1", f"runs={tmp_path}/x"]
    assert main(words) == 0
    assert capsys.readouterr().out.count("engine   ") == 2
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("workers", ["x", "0", "1.5"])
def test_a_number_of_cores_that_is_none_is_refused_with_its_path(workers, capsys):
    assert main(["run", "--explain", "cell=lstm", *SMALL, f"workers={workers}"]) == 2
    assert capsys.readouterr().err.startswith("workers: ")
