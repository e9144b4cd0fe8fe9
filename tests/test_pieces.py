"""A sequence in pieces is the sequence: values, gradients, and how much memory they take."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from contract import FAST

from lstm_research import keep
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec

B, D, H = 2, 3, 4
CELL = GateSpec(peephole="ifo", coupled=False).build()


def pull(x, lengths, resets, reverse):
    """Return values and gradients of a loss that sees everything, freshly compiled."""
    weights, carry = CELL.init(jax.random.key(0), D, H), CELL.start((B,), H)

    def loss(weights, carry, x):
        last, h = unroll(CELL, weights, carry, x, lengths=lengths, resets=resets, reverse=reverse)
        return jnp.sin(h).sum() + sum((leaf**2).sum() for leaf in last), (last, h)

    return jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True), compiler_options=FAST)(
        weights, carry, x
    )


SLOW = pytest.mark.slow
CASES = [
    (11, True),
    *(pytest.param(*case, marks=SLOW) for case in ((11, False), (8, False), (8, True), (3, False))),
]


@pytest.mark.parametrize(("steps", "reverse"), CASES)
def test_pieces_change_nothing(float64, monkeypatch, steps, reverse):
    x = np.random.default_rng(0).normal(size=(steps, B, D))
    lengths = np.array([steps, steps // 2])
    resets = np.zeros((steps, B), bool)
    resets[2, 0] = True
    whole = pull(x, lengths, resets, reverse)
    monkeypatch.setattr(keep, "ROOM", 0)
    monkeypatch.setattr(keep, "SHORTEST", 4)
    assert keep.decide("auto", ("gates", "pieces"), steps, keep.Size(8, 8)).length == min(steps, 4)
    jax.clear_caches()  # the room is read while tracing
    agree(pull(x, lengths, resets, reverse), whole)
    jax.clear_caches()


def test_short_sequences_stay_whole_and_long_ones_grow_with_the_root():
    length = lambda steps, rows: (
        keep.decide(
            "auto", ("gates", "pieces"), steps, keep.Size(rows * 512 * 4, rows * 256 * 4)
        ).length
    )
    assert (length(100, 64), length(100_000, 8), length(400_000, 8)) == (100, 316, 632)


def temporary(steps: int) -> int:
    """Return the bytes that a training step needs beside its arguments and results."""
    weights = CELL.init(jax.random.key(0), 1, 32)
    shape = jax.ShapeDtypeStruct((steps, 8, 1), jnp.float32)

    def loss(weights, x):
        return (unroll(CELL, weights, CELL.start((8,), 32), x)[1] ** 2).mean()

    return (
        jax.jit(jax.grad(loss)).lower(weights, shape).compile().memory_analysis().temp_size_in_bytes
    )


@pytest.mark.slow
def test_a_long_sequence_takes_little_more_than_its_outputs(monkeypatch):
    """Outputs and their cotangents take 2 x T x 8 x 32 floats; the inner values would take ten."""
    steps = 20_000
    monkeypatch.setattr(keep, "ROOM", 0)
    jax.clear_caches()
    small = temporary(steps)
    jax.clear_caches()
    monkeypatch.undo()
    outputs = steps * 8 * 32 * 4
    assert small < 4 * outputs < temporary(steps)
