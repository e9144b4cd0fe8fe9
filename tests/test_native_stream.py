"""A step as machine code that Python calls equals the step as a program of JAX, and says what it holds."""

import jax
import numpy as np
import pytest
from sampled import first, sampled
from test_cells import SPECS
from test_native import CELLS

import lstm_research as lr
from lstm_research import engines, native_stream

H = 8


def begun(name, batch=(2,), features=3, hidden=H):
    cell = SPECS[name].build()
    weights = cell.init(jax.random.key(0), features, hidden)
    x = np.random.default_rng(0).normal(size=(5, *batch, features)).astype("f4")
    return cell, weights, cell.start(batch, hidden, np.float32), x


def equal(name, **sizes):
    cell, weights, carry, x = begun(name, **sizes)
    stream = lr.Stream(cell, weights, carry)
    for now in x:
        h = stream(now)
        carry, want = lr.step(cell, weights, carry, now)
        np.testing.assert_allclose(h, want, atol=2e-6)
        for one, other in zip(*map(jax.tree.leaves, (stream.carry, carry)), strict=True):
            np.testing.assert_allclose(one, other, atol=2e-6)
    return stream.stepper


@pytest.mark.parametrize("name", sampled(CELLS))
def test_every_cell_streams_what_it_steps(name):
    made = equal(name)
    assert (made is not None) == (SPECS[name].build().drive is lr.cell("lstm").drive)


@pytest.mark.parametrize("sizes", first([
    {"batch": (), "features": 1, "hidden": 33}, {"batch": (2, 2), "hidden": 1},
    {"batch": (1,), "features": 64, "hidden": 40},
], 2), ids=str)  # fmt: skip
def test_any_sizes(sizes):
    assert equal("peephole", **sizes) is not None


@pytest.mark.parametrize(
    "sizes", [{"features": native_stream.FEATURES + 1}, {"batch": (0,)}], ids=str
)
def test_what_has_no_kernel_is_a_program_of_jax(sizes):
    assert equal("lstm", **sizes) is None


def test_without_llvmlite_it_is_a_program_of_jax(monkeypatch):
    monkeypatch.setattr("lstm_research.stream.machine_code", lambda: None)
    assert equal("lstm") is None
    assert engines.machine_code() is not None


def test_float64_stays_float64(float64):
    cell = SPECS["lstm"].build()
    weights, carry = cell.init(jax.random.key(0), 3, H), cell.start((2,), H, np.float64)
    stream = lr.Stream(cell, weights, carry)
    assert stream.stepper is None and stream(np.ones((2, 3))).dtype == np.float64


def test_an_output_is_not_overwritten_by_the_next_step():
    cell, weights, carry, x = begun("lstm")
    stream = lr.Stream(cell, weights, carry)
    h, held = stream(x[0]), stream.carry
    before = h.copy(), jax.tree.map(np.copy, held)
    stream(x[1]), stream(x[2])
    np.testing.assert_array_equal(h, before[0])
    jax.tree.map(np.testing.assert_array_equal, held, before[1])


def test_a_wrong_shape_is_named():
    cell, weights, carry, _ = begun("lstm")
    with pytest.raises(ValueError, match=r"x has shape \(2, 4\); this stream takes \(2, 3\)"):
        lr.Stream(cell, weights, carry)(np.ones((2, 4)))
