"""Multiplication: a memory of two values solves it, constants get the stated chance."""

import numpy as np
import pytest
from judged import draw, score

from lstm_research.tasks.adding import Adding
from lstm_research.tasks.multiplication import Multiplication

MANY = 20_000
SPEC = Multiplication(length=30)


def test_a_memory_of_the_marked_values_solves_it():
    batch = draw(SPEC, MANY)
    answers, lags = [], []
    for row, length in zip(batch.inputs, batch.lengths, strict=True):
        marked = [(step, value) for step, (value, mark) in enumerate(row) if mark == 1]
        answers.append([marked[0][1] * marked[1][1]])
        lags.append(length - 1 - marked[0][0])
    found = score(SPEC, np.array(answers), batch)
    assert found["mse"] < 1e-12 and found["within"] == 1.0  # 1e-6 squared
    assert SPEC.build().success.holds(found)
    assert (batch.extent == lags).all()
    low, high = SPEC.build().slices.bins[0][0], SPEC.build().slices.bins[-1][1]
    assert low <= min(lags) and max(lags) <= high


def test_the_best_constants_get_the_stated_chance():
    batch, chance = draw(SPEC, MANY), SPEC.build().chance
    mean = float(batch.targets.mean())
    assert score(SPEC, np.full((MANY, 1), mean), batch)["mse"] == pytest.approx(
        chance["mse"], rel=0.05
    )
    low = score(SPEC, np.full((MANY, 1), 0.04), batch)["within"]
    assert low == pytest.approx(chance["within"], abs=0.016)
    for other in (0.06, 0.1, 0.25):
        assert score(SPEC, np.full((MANY, 1), other), batch)["within"] < low


def test_marks_and_lengths_are_those_of_adding_1997():
    batch = draw(SPEC, MANY)
    adding = draw(Adding(form="hochreiter1997", length=30), MANY)
    assert (batch.inputs[..., 1] == adding.inputs[..., 1]).all()
    assert (batch.lengths == adding.lengths).all()


def test_values_are_uniform_and_a_marked_first_pair_counts_as_one():
    batch = draw(SPEC, MANY)
    values, marks = batch.inputs[..., 0], batch.inputs[..., 1]
    first = marks[:, 0] == 1
    assert (values[first, 0] == 1).all() and (values[~first, 0] < 1).all()
    assert values[:, 1:30].min() >= 0 and values[:, 1:30].mean() == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize(("wrong", "solved"), [(13, True), (12, False)])
def test_fewer_than_so_many_wrong_answers_solve_it(wrong, solved):
    success = Multiplication(wrong=wrong).build().success
    assert success.holds({"within": 1 - 12 / 2000}) is solved
