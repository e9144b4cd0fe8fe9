"""What lengths, resets and shapes mean; wrong ones are refused with their sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from blocks import random_carry, random_weights

from lstm_research.engines import unroll
from lstm_research.gated import GateSpec
from lstm_research.unroll import unroll_scan

CELL, GRU = (
    GateSpec().build(),
    GateSpec(coupled=True, output_gate=False, squash_output=False).build(),
)
WEIGHTS = random_weights(CELL, 2, 3, dtype=np.float32)
START = random_carry(CELL, (4,), 3, dtype=np.float32)
X = np.random.default_rng(0).normal(size=(5, 4, 2)).astype(np.float32)
ENGINES = pytest.mark.parametrize("engine", ["scan", "fused"])


def attempt(x=X, carry=START, weights=WEIGHTS, engine="auto", **masks):
    return unroll(CELL, weights, carry, x, engine=engine, **masks)


@ENGINES
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"x": X[..., :1]}, r"x has 1 features and the weights were made for 2"),
        ({"lengths": np.array([1, 2])}, r"lengths has shape \(2,\); the batch of x is \(4,\)"),
        ({"lengths": 3}, r"lengths has shape \(\); the batch of x is \(4,\)"),
        (
            {"resets": np.zeros((4, 5), bool)},
            r"resets has shape \(4, 5\); time and batch of x are \(5, 4\)",
        ),
        (
            {"carry": CELL.start((5,), 3)},
            r"carry has shape \(5, 3\); this cell and batch need \(4, 3\)",
        ),
        (
            {"carry": CELL.start((4,), 2)},
            r"carry has shape \(4, 2\); this cell and batch need \(4, 3\)",
        ),
        (
            {"carry": CELL.start((), 3)},
            r"carry has shape \(3,\); this cell and batch need \(4, 3\)",
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_arrays_that_do_not_belong_together_are_refused_with_both_shapes(engine, wrong, message):
    with pytest.raises(ValueError, match=message):
        attempt(engine=engine, **wrong)


def test_a_carry_of_another_cell_is_refused_with_its_kind():
    with pytest.raises(ValueError, match=r"Hidden.*Carry"):
        attempt(carry=GRU.start((4,), 3))


@ENGINES
@pytest.mark.parametrize("reverse", [False, True])
def test_a_reset_in_the_padding_does_nothing(float64, engine, reverse):
    """The carry is that of the last valid step, or the one that came in, for length 0."""
    weights, carry = random_weights(CELL, 2, 3), random_carry(CELL, (4,), 3)
    lengths, quiet = np.array([5, 3, 1, 0]), np.zeros((5, 4), bool)
    noisy = np.arange(5)[:, None] >= lengths
    runs = [
        unroll(
            CELL,
            weights,
            carry,
            X.astype(float),
            lengths=lengths,
            resets=resets,
            reverse=reverse,
            engine=engine,
        )
        for resets in (quiet, noisy)
    ]
    agree(runs[1], runs[0])


@ENGINES
def test_lengths_may_be_wide_integers(engine):
    want = attempt(engine=engine, lengths=np.array([5, 3, 1, 0], np.int32))
    same(attempt(engine=engine, lengths=np.array([5, 3, 1, 0], np.int64)), want)


@ENGINES
def test_resets_may_be_integers(engine):
    resets = np.zeros((5, 4), int)
    resets[2, 1] = 1
    same(attempt(engine=engine, resets=resets), attempt(engine=engine, resets=resets.astype(bool)))


@ENGINES
def test_precision_is_that_of_the_arrays(engine):
    last, h = attempt(engine=engine)
    assert {leaf.dtype for leaf in jax.tree.leaves((last, h))} == {jnp.dtype("float32")}


def test_the_plain_scan_is_the_engine_of_that_name():
    same(attempt(engine="scan"), unroll_scan(CELL, WEIGHTS, START, X))
