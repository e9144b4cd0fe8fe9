"""Temporal order: the order of X and Y decides, their places and the distractors do not."""

from functools import cache

import jax
import numpy as np
import pytest
from judged import score

from lstm_research.tasks.task import Batch
from lstm_research.tasks.temporal_order import TemporalOrder

MANY = 8000
PAPER = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}


@cache
def draw(symbols: int) -> tuple[TemporalOrder, Batch]:
    spec = TemporalOrder(symbols=symbols)
    batch = jax.jit(spec.build().draw, static_argnums=2)(None, jax.random.key(1), MANY)
    return spec, jax.tree.map(np.asarray, batch)


@pytest.mark.parametrize("symbols", [2, 3])
def test_a_memory_of_the_order_solves_it(symbols):
    spec, batch = draw(symbols)
    names = ["E", "B", "a", "b", "c", "d", "X", "Y"]
    outputs = np.zeros((MANY, 2**symbols))
    for row, tokens in enumerate(batch.inputs):
        order = [names[token] for token in tokens if names[token] in "XY"]
        outputs[row, int("".join("01"[name == "Y"] for name in order), 2)] = 20.0
    found = score(spec, outputs, batch)
    assert found["accuracy"] == found["within"] == 1.0 and found["nll"] < 1e-6
    assert spec.build().success.holds(found)


@pytest.mark.parametrize("symbols", [2, 3])
def test_no_memory_gets_the_stated_chance(symbols):
    spec, batch = draw(symbols)
    outputs = np.zeros((MANY, 2**symbols))
    outputs[:, 1] = 1e-4  # always the same class, by a hair
    found, chance = score(spec, outputs, batch), spec.build().chance
    assert found["accuracy"] == pytest.approx(chance["accuracy"], abs=0.025)
    assert found["nll"] == pytest.approx(chance["nll"], rel=1e-3)
    assert found["within"] == chance["within"] == 0.0


@pytest.mark.parametrize("symbols", [2, 3])
def test_symbols_stand_in_the_windows_of_the_paper_and_lengths_are_100_to_110(symbols):
    _, batch = draw(symbols)
    inputs, lengths = batch.inputs, batch.lengths
    assert set(lengths) == set(range(100, 111))
    rows, steps = np.nonzero(inputs >= 6)
    assert (np.bincount(rows) == symbols).all()
    for place, (low, high) in zip(steps.reshape(-1, symbols).T, PAPER[symbols], strict=True):
        shares = np.bincount(place, minlength=high + 1)[low:] / MANY
        assert len(shares) == 11 and np.allclose(shares, 1 / 11, atol=0.017)
    assert (inputs[:, 0] == 0).all() and (inputs[np.arange(MANY), lengths - 1] == 1).all()
    assert ((inputs[:, 1:99] >= 2).all()) and (inputs[:, 99:] != 0).all()


@pytest.mark.parametrize("symbols", [2, 3])
def test_classes_and_distractors_are_balanced(symbols):
    _, batch = draw(symbols)
    shares = np.bincount(batch.targets) / MANY
    assert len(shares) == 2**symbols and np.allclose(shares, 2.0**-symbols, atol=0.025)
    distractors = np.bincount(np.asarray(batch.inputs[:, 1:10]).ravel())[2:]
    assert len(distractors) == 4 and np.allclose(distractors / (9 * MANY), 1 / 4, atol=0.01)


def test_an_output_off_by_03_is_not_within():
    spec, batch = draw(2)
    for share, within in ((0.69, 0.0), (0.71, 1.0)):
        shares = np.full((MANY, 4), (1 - share) / 3)
        shares[np.arange(MANY), batch.targets] = share
        found = score(spec, np.log(shares), batch)
        assert found["within"] == within and found["accuracy"] == 1.0


@pytest.mark.parametrize("symbols", [2, 3])
def test_the_lag_is_that_of_the_first_symbol_and_fills_the_bins(symbols):
    spec, batch = draw(symbols)
    first = (batch.inputs >= 6).argmax(axis=1)
    assert (batch.extent == batch.lengths - 1 - first).all()
    bins = spec.build().slices.bins
    assert (bins[0][0], bins[-1][1]) == (batch.extent.min(), batch.extent.max()) == (79, 99)
