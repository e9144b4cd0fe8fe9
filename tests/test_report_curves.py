"""Curves for a page: few points, shared steps, no number invented."""

import math

import numpy as np
import pytest
from studied import line

from lstm_research.report.curves import LEAST, MOST, gathered, points, series, thinned


def test_a_short_curve_is_kept_whole():
    found = thinned({4: {10: 1.0, 20: 0.5}, 7: {10: 2.0}}, 100)
    assert found.steps == [10, 20]
    assert found.values == {4: [1.0, 0.5], 7: [2.0]}


def test_a_long_curve_becomes_means_of_bins_at_the_last_step_of_each():
    rng = np.random.default_rng(0)
    curve = {step: float(rng.uniform()) for step in range(5, 1005, 5)}
    found = thinned({0: curve}, 30)
    assert len(found.steps) == 30 and found.steps[-1] == 1000
    before = 0
    for step, value in zip(found.steps, found.values[0], strict=True):
        inside = [curve[s] for s in curve if before < s <= step]
        assert value == pytest.approx(sum(inside) / len(inside), rel=1e-4)
        before = step


def test_runs_of_one_task_share_their_steps_though_they_were_logged_at_others():
    found = thinned({0: {10: 1.0, 30: 3.0}, 1: {20: 2.0, 30: 4.0}}, 100)
    assert found.steps == [10, 20, 30]
    assert found.values == {0: [1.0, None, 3.0], 1: [None, 2.0, 4.0]}


def test_what_is_not_finite_is_no_point_and_ends_a_curve():
    found = thinned({0: {10: 1.0, 20: math.inf, 30: 2.0, 40: math.nan}}, 100)
    assert found.values[0] == [1.0, None, 2.0]


def test_the_points_of_a_curve_follow_from_the_room():
    assert points(0) == points(1) == MOST
    assert points(10**9) == LEAST
    assert LEAST < points(4000) < MOST


def test_a_curve_is_read_by_split_without_its_bins_of_length(tmp_path):
    file = tmp_path / "metrics.jsonl"
    assert series(tmp_path) == {}
    file.write_text(line({"step": 1, "split": "train", "loss": 2.0}))
    assert series(tmp_path) == {"train loss": {1: 2.0}}
    with file.open("a") as more:
        more.write(line({"step": 1, "split": "valid", "mse": 0.5, "mse@lag=1-5": 0.1}))
    assert series(tmp_path) == {"train loss": {1: 2.0}, "valid mse": {1: 0.5}}  # it has grown


def test_a_metric_that_one_run_lacks_has_the_others():
    found = gathered({0: {"train loss": {1: 1.0}}, 3: {"valid mse": {1: 2.0}}}, 10)
    assert found["train loss"].values == {0: [1.0]} and found["valid mse"].values == {3: [2.0]}
