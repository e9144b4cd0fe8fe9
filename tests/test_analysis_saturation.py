"""Saturation is counted over valid steps alone, by unit; histograms add up to 1."""

import numpy as np

from lstm_research.analysis.saturation import BINS, activity

VALUES = np.array([[[0.0, 0.5], [0.95, 0.5]], [[1.0, 0.05], [0.0, 0.0]]])  # time batch unit
VALID = np.array([[True, True], [True, False]])


def test_shut_and_open_are_shares_of_the_valid_steps_of_a_unit():
    found = activity("f", VALUES, VALID)
    np.testing.assert_allclose(found.left, [1 / 3, 1 / 3])
    np.testing.assert_allclose(found.right, [2 / 3, 0])
    np.testing.assert_allclose(found.mean, [1.95 / 3, 1.05 / 3])


def test_a_histogram_covers_every_activation_once():
    rng = np.random.default_rng(0)
    for name, scale in (("f", 0.3), ("g", 1.0), ("g", 5.0), ("d_2", 1.0)):
        values = rng.uniform(-1 if name == "g" else 0, 1, (4, 3, 2)) * scale
        found = activity(name, values, np.ones((4, 3), bool))
        assert len(found.shares) == BINS and abs(found.shares.sum() - 1) < 1e-12
        assert found.edges[0] <= values.min() and found.edges[-1] >= values.max()


def test_a_gate_is_drawn_over_its_whole_range_and_a_candidate_about_zero():
    small = np.full((1, 1, 1), 0.2)
    assert tuple(activity("f", small, VALID[:1, :1]).edges[[0, -1]]) == (0, 1)
    assert tuple(activity("g", small, VALID[:1, :1]).edges[[0, -1]]) == (-1, 1)


def test_a_candidate_is_no_gate_that_saturates():
    found = activity("g", VALUES, VALID)
    assert found.left is None and found.right is None
