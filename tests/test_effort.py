"""How hard XLA tries: quickly where a process was told so, in full where a program trains for long."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from lstm_research import effort, kept_program


def test_a_process_that_says_how_it_compiles_is_left_alone(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    assert effort.quick() == "" and effort.options("cpu") == {effort.EMITTERS: False}
    monkeypatch.setenv("XLA_FLAGS", f"--{effort.EMITTERS}=true")
    assert effort.quick() == "" and effort.options("cpu") == {}


def test_flags_are_for_versions_of_jaxlib_that_know_them(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(effort.metadata, "version", lambda name: "0.10.1")
    assert effort.quick() == effort.QUICK
    monkeypatch.setattr(effort.metadata, "version", lambda name: "0.11.0")
    assert effort.quick() == "" and effort.options("cpu") == {}


def test_only_a_quick_process_has_something_to_undo(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    assert effort.options("cpu") == effort.options("cpu", long=False) == {effort.EMITTERS: False}
    monkeypatch.setenv("XLA_FLAGS", f"--some=1 {effort.QUICK}")
    assert effort.options("cpu") == effort.FULL and effort.options("cpu", long=False) == {}
    assert effort.options("gpu") == {}


def test_every_flag_has_its_option():
    named = {flag.removeprefix("--").split("=")[0] for flag in effort.QUICK.split()}
    assert named == {effort.EMITTERS, *effort.FULL}


def test_the_options_reach_xla():
    f = lambda x: jnp.tanh(x) + 1
    given = lambda: (jax.ShapeDtypeStruct((3,), jnp.float32),)
    found = kept_program.compiled(None, f, given, options=effort.FULL)(jnp.ones(3))
    assert jnp.allclose(found, jnp.tanh(1.0) + 1)
    with pytest.raises(Exception, match="no_such_option"):
        kept_program.compiled(None, f, given, options={"no_such_option": True})


SHARED = """
import os
from lstm_research import effort, start
start.cores(2)
start.cores(2)  # again, as a worker does that was forked
assert os.environ["XLA_FLAGS"].count(effort.QUICK) == os.environ["XLA_FLAGS"].count("xla_backend") == 1
start.keep()
from lstm_research.pack import Pack
from lstm_research.plan import packed, plan
from lstm_research.sweep import specs
def pack(steps):
    line = ["cell=lstm", "task=adding", "task.held_out=4", f"budget.steps={steps}"]
    (group,) = plan(specs(line), 2)
    return packed(group)
few, many = pack(20), pack(200_000)
assert few.options == {} and many.options == effort.FULL
marks = {Pack(few.program, 2, long=long).known("advance") for long in (False, True)}
assert len(marks) == 2 and None not in marks, marks
"""


@pytest.mark.skipif(not effort.known(), reason="this jaxlib may not know the flags")
def test_a_sweep_compiles_quickly_what_trains_for_seconds(tmp_path, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS", raising=False)
    monkeypatch.setenv("LSTM_RESEARCH_CACHE", str(tmp_path))
    monkeypatch.setenv("LSTM_RESEARCH_PROGRAMS", "kept")
    subprocess.run([sys.executable, "-W", "error", "-c", SHARED], check=True, timeout=120)
