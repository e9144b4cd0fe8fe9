"""A timescale is the decay of a memory that its forget gate multiplies."""

import numpy as np

from lstm_research.analysis.timescales import timescales


def test_a_constant_gate_has_the_timescale_of_its_decay():
    f = np.broadcast_to([0.0, 0.5, 0.9, 0.999], (7, 2, 4))
    found = timescales(f, np.ones((7, 2), bool))
    np.testing.assert_allclose(found, [1, 2, 10, 1000])
    np.testing.assert_allclose(0.999 ** found[3], np.exp(-1), atol=1e-3)


def test_padding_does_not_count_and_a_gate_that_keeps_all_never_forgets():
    f = np.stack([np.full((2, 1), 1.0), np.full((2, 1), 0.5)])
    assert timescales(f, np.array([[True, True], [False, False]])) == np.inf
