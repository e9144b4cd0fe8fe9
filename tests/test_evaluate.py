"""Metrics against a plain count, and sums that add up over batches."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from lstm_research.evaluate import evaluate, metrics
from lstm_research.tasks.adding import Adding
from lstm_research.tasks.parity import Parity
from lstm_research.tasks.task import Batch, Slices, even

REGRESSION = dataclasses.replace(Adding(length=4).build(), tolerance=0.5, score=None)
CLASSES = dataclasses.replace(Parity(length=4).build(), score=None)


def means(task, outputs, batch) -> dict[str, float]:
    return evaluate(lambda each: metrics(task, outputs, each), [batch])


def test_regression_scores_error_and_share_within_tolerance():
    batch = Batch(
        jnp.zeros((3, 4, 2)), jnp.array([[1.0], [2.0], [9.0]]), jnp.array([1.0, 1.0, 0.0])
    )
    found = means(REGRESSION, jnp.array([[1.2], [3.0], [0.0]]), batch)
    assert found["mse"] == pytest.approx((0.04 + 1.0) / 2) and found["within"] == pytest.approx(0.5)


def test_classes_score_steps_rows_and_only_what_is_scored():
    outputs = jnp.array([[[2.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [2.0, 0.0]]])
    batch = Batch(jnp.zeros((2, 2), int), jnp.array([[0, 1], [0, 1]]), jnp.ones((2, 2)))
    found = means(CLASSES, outputs, batch)
    assert (found["accuracy"], found["sequence_accuracy"]) == (0.75, 0.5)
    only = means(CLASSES, outputs, batch._replace(scored=jnp.array([[1.0, 1.0], [1.0, 0.0]])))
    assert (only["accuracy"], only["sequence_accuracy"]) == (1.0, 1.0)


def test_cross_entropy_of_even_outputs_is_log_of_the_classes():
    batch = Batch(jnp.zeros((2, 2), int), jnp.array([[0, 1], [0, 1]]), jnp.ones((2, 2)))
    assert means(CLASSES, jnp.zeros((2, 2, 2)), batch)["nll"] == pytest.approx(np.log(2))


def test_batches_of_unequal_weight_add_up_to_the_whole():
    rng = np.random.default_rng(0)
    outputs, targets = rng.normal(size=(7, 1)), rng.normal(size=(7, 1))
    batch = Batch(jnp.zeros((7, 4, 2)), jnp.asarray(targets), jnp.ones(7))
    parts = [
        Batch(*(None if part is None else part[rows] for part in batch))
        for rows in (slice(2), slice(2, 7))
    ]
    pieces = dict(zip(map(id, parts), (outputs[:2], outputs[2:]), strict=True))
    split = evaluate(lambda each: metrics(REGRESSION, jnp.asarray(pieces[id(each)]), each), parts)
    assert split["mse"] == pytest.approx(
        means(REGRESSION, jnp.asarray(outputs), batch)["mse"], rel=1e-6
    )


def test_nothing_scored_is_nan():
    batch = Batch(jnp.zeros((1, 4, 2)), jnp.zeros((1, 1)), jnp.zeros(1))
    assert np.isnan(means(REGRESSION, jnp.zeros((1, 1)), batch)["mse"])


def test_slices_count_each_prediction_in_its_bin_and_leave_the_unscored_out():
    task = dataclasses.replace(CLASSES, slices=Slices("lag", ((1, 1), (2, 3))))
    outputs = jnp.array([[[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]]])
    batch = Batch(jnp.zeros((1, 3), int), jnp.array([[0, 0, 1]]), jnp.ones((1, 3)))
    batch = batch._replace(extent=jnp.array([[1, 2, 3]]))
    found = means(task, outputs, batch)
    assert found["accuracy@lag=1"] == 1.0 and found["accuracy@lag=2-3"] == 0.5
    rest = means(task, outputs, batch._replace(mask=jnp.array([[1.0, 0.0, 1.0]])))
    assert rest["accuracy@lag=2-3"] == 1.0
    batch = Batch(jnp.zeros((2, 4, 2)), jnp.array([[1.0], [2.0]]), jnp.ones(2))
    task = dataclasses.replace(REGRESSION, slices=Slices("length", ((3, 3), (4, 9))))
    found = means(task, jnp.array([[2.0], [2.5]]), batch._replace(extent=jnp.array([3, 9])))
    assert found["mse@length=3"] == 1.0 and found["mse@length=4-9"] == 0.25


def test_even_bins_cover_their_range_once():
    for low, high, many in ((1, 40, 10), (1, 500, 10), (3, 7, 10), (41, 500, 7)):
        bins = even("length", low, high, many).bins
        assert [n for a, b in bins for n in range(a, b + 1)] == [*range(low, high + 1)]
        assert len(bins) <= many
