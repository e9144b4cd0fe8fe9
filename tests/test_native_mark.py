"""A kernel has one mark, in every process; kernels that differ have different ones."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_cells import SPECS
from test_native import CELLS

from lstm_research import native_call, native_launch, native_mark, whole_step
from lstm_research.engines import unroll

HERE = Path(__file__).parent


def described(names, batch=4, hidden=8, steps=3, features=2, **settings):
    """Return the calls of the kernels of a training step of each cell."""
    calls = []

    def keep(*arguments):
        calls.append(native_call.Call(*arguments))
        return calls[-1]

    class Kept:
        Call, kernel_call, processor = (
            staticmethod(keep),
            native_call.kernel_call,
            native_call.processor,
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_launch, "native_call", Kept)
        jax.clear_caches()
        for name in names:
            cell = SPECS[name].build()
            weights = jax.eval_shape(
                lambda key, cell=cell: cell.init(key, features, hidden), jax.random.key(0)
            )
            x = jax.ShapeDtypeStruct((steps, batch, features), jnp.float32)

            def loss(weights, x, cell=cell):
                carry = cell.start((batch,), hidden)
                return unroll(cell, weights, carry, x, engine="native", **settings)[1].sum()

            jax.eval_shape(jax.grad(loss), weights._replace(row=None), x)
    return calls


def marks(calls):
    return [native_mark.mark(call.spec, call.steps) for call in calls]


def test_marks_are_equal_where_the_written_kernels_are():
    some = [*CELLS[:6], "lstm", "peephole", "gru", "greff/fgr"]
    calls = described(some) + described(["lstm"], batch=5) + described(["lstm"], hidden=16)
    calls += (
        described(["lstm"], reverse=True)
        + described(["lstm"], features=3)
        + described(["lstm"], steps=9)
    )
    pairs = set(zip(marks(calls), map(native_call.text, calls), strict=True))
    assert len({mark for mark, _ in pairs}) == len({text for _, text in pairs}) == len(pairs)
    assert len(pairs) > 12


def test_a_mark_is_that_of_another_process_and_of_another_trace():
    here = marks(described(["lstm", "gru"]))
    whole_step.known.cache_clear()
    assert marks(described(["lstm", "gru"])) == here
    code = "from test_native_mark import *; print(*marks(described(['lstm', 'gru'])))"
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HERE
    )
    assert set(here) <= set(
        there.stdout.split()
    )  # and those of finding out whether there is a kernel


def test_what_changes_the_writers_changes_the_mark(monkeypatch):
    (call, *_) = described(["lstm"])
    before = native_mark.mark(call.spec, call.steps)
    monkeypatch.setattr(native_mark, "sources", lambda: "others")
    assert native_mark.mark(call.spec, call.steps) != before != native_mark.mark(call.spec, 99)


def test_what_has_no_words_is_refused():
    with pytest.raises(TypeError, match="differs from process to process"):
        native_mark.words(object(), {})
    assert native_mark.words(np.float32(0.1), {}) != native_mark.words(np.float32(0.2), {})
