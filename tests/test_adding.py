"""The adding problem: an oracle solves it, a constant gets the chance, marks fall as told."""

from functools import cache

import jax
import numpy as np
import pytest
from judged import score
from sampled import first

from lstm_research.tasks.adding import Adding
from lstm_research.tasks.task import Batch

FORMS = {"arjovsky": 9, "tcn": 9, "hochreiter1997": 100}  # and the length to test at
MANY = 20_000


@cache
def draw(form: str) -> tuple[Adding, Batch]:
    spec = Adding(form=form, length=FORMS[form])
    batch = jax.jit(spec.build().draw, static_argnums=2)(None, jax.random.key(1), MANY)
    return spec, jax.tree.map(np.asarray, batch)


def marks(batch: Batch) -> np.ndarray:
    """Return the two marked steps of each row."""
    rows, steps = np.nonzero(np.asarray(batch.inputs[..., 1]) == 1)
    assert (np.bincount(rows) == 2).all()
    return steps.reshape(-1, 2)


@pytest.mark.parametrize("form", first(FORMS))
def test_a_memory_of_the_marked_values_solves_it(form):
    spec, batch = draw(form)
    answers = []
    for row in batch.inputs.astype(np.float64):
        kept = sum(value for value, mark in row if mark == 1)
        answers.append([0.5 + kept / 4 if form == "hochreiter1997" else kept])
    found = score(spec, np.array(answers), batch)
    assert found["mse"] < 1e-12 and found["within"] == 1.0  # 1e-6 squared
    assert spec.build().success.holds(found)


@pytest.mark.parametrize("form", FORMS)
def test_the_best_constant_gets_the_stated_chance(form):
    spec, batch = draw(form)
    best = 0.5 if form == "hochreiter1997" else 1.0
    found, chance = score(spec, np.full((MANY, 1), best), batch), spec.build().chance
    assert found["mse"] == pytest.approx(chance["mse"], rel=0.04)  # 5 standard errors
    assert found["within"] == pytest.approx(chance["within"], abs=0.013)
    assert abs(float(batch.targets.mean()) - best) < 0.015


def test_arjovsky_marks_one_step_in_each_half():
    _, batch = draw("arjovsky")
    first, second = marks(batch).T
    assert set(first) == set(range(4)) and set(second) == set(range(4, 9))
    assert np.allclose(np.bincount(first) / MANY, 1 / 4, atol=0.016)
    assert np.allclose(np.bincount(second)[4:] / MANY, 1 / 5, atol=0.015)


def test_tcn_marks_every_pair_of_steps_alike():
    _, batch = draw("tcn")
    first, second = marks(batch).T
    shares = np.bincount(first * 9 + second, minlength=81) / MANY
    assert np.allclose(shares[shares > 0], 1 / 36, atol=0.006) and (shares > 0).sum() == 36


@pytest.mark.parametrize("form", ["arjovsky", "tcn"])
def test_modern_values_are_uniform_in_0_1(form):
    _, batch = draw(form)
    values = np.asarray(batch.inputs[..., 0])
    assert 0 <= values.min() < 1e-3 and 0.999 < values.max() < 1
    assert abs(values.mean() - 0.5) < 0.01 and abs(values.var() - 1 / 12) < 0.003


def test_1997_marks_lengths_and_ends_are_those_of_the_paper():
    _, batch = draw("hochreiter1997")
    inputs, lengths = batch.inputs, batch.lengths
    steps = marks(batch)
    assert set(lengths) == set(range(100, 111))
    assert np.allclose(np.bincount(lengths)[100:] / MANY, 1 / 11, atol=0.011)
    assert (steps.min(axis=1) < 10).all() and steps.max() == 49
    assert (inputs[np.arange(MANY), lengths - 1, 1] == -1).all()
    unmarked = (steps != 0).all(axis=1)
    assert (inputs[unmarked, 0, 1] == -1).all()
    assert (inputs[~unmarked, 0, 0] == 0).all()  # X1 := 0
    assert np.mean(~unmarked) == pytest.approx(0.1 + 0.9 / 49, abs=0.012)
    assert (inputs[np.arange(110) >= lengths[:, None]] == 0).all()
    assert (batch.targets >= 0).all() and (batch.targets <= 1).all()


def test_the_1997_second_mark_is_uniform_over_49_pairs_that_are_left():
    _, batch = draw("hochreiter1997")
    late = marks(batch).max(axis=1)
    shares = np.bincount(late, minlength=50)[10:] / MANY
    assert np.allclose(shares, 1 / 49, atol=0.006)


def test_forms_share_their_values_so_that_they_compare_in_pairs():
    one, other = draw("arjovsky")[1], draw("tcn")[1]
    assert (one.inputs[..., 0] == other.inputs[..., 0]).all()


@pytest.mark.parametrize("form", FORMS)
def test_the_lag_is_that_of_the_first_mark_and_lies_in_the_bins(form):
    spec, batch = draw(form)
    ends = batch.lengths if batch.lengths is not None else FORMS[form]
    assert (batch.extent == ends - 1 - marks(batch).min(axis=1)).all()
    bins = spec.build().slices.bins
    assert bins[0][0] <= batch.extent.min() and batch.extent.max() <= bins[-1][1]
    if form != "hochreiter1997":  # there the longest lag is rare
        assert (bins[0][0], bins[-1][1]) == (batch.extent.min(), batch.extent.max())
