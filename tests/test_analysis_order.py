"""Units of one behaviour stand together, whatever their places were."""

import numpy as np

from lstm_research.analysis.order import similar


def test_units_of_one_behaviour_stand_together():
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.repeat([0, 1, 2], 4))
    behaviours = np.array([[1.0] * 9, [0, 0, 0, 1, 1, 1, 0, 0, 0], [0.0] * 9])
    traces = behaviours[kinds].T + 0.01 * rng.normal(size=(9, 12))
    order = similar(traces)
    assert sorted(order) == list(range(12))
    assert (np.diff(kinds[order]) != 0).sum() == 2
    assert kinds[order][0] == 0


def test_one_unit_and_two_have_an_order():
    assert similar(np.ones((3, 1))).tolist() == [0]
    assert similar(np.array([[0.0, 1.0]])).tolist() == [1, 0]
