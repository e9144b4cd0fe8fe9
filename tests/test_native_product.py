"""The product over steps equals one product of everything, whatever the rests of its tiles."""

import numpy as np
import pytest
from agreement import agree
from sampled import first
from test_native import SPECS, gradients, problem

from lstm_research import native


@pytest.mark.parametrize(("steps", "batch", "hidden"), [(700, 1, 8), (130, 3, 24), (3, 300, 16)])
@pytest.mark.parametrize("reverse", first([False, True]))
def test_the_gradient_of_a_matrix(steps, batch, hidden, reverse):
    """Steps that fill no whole number of turns, more rows in a step than a turn takes."""
    weights, *rest = problem(SPECS["gru"], steps, batch, 2, hidden, dtype=np.float32)
    weights = weights._replace(r=tuple(0.3 * r for r in weights.r))
    got = gradients(SPECS["gru"], "native", reverse)(weights, *rest)[1][0]
    want = gradients(SPECS["gru"], "fused", reverse)(weights, *rest)[1][0]
    agree(got, want, 1e-4 if steps > 500 else 1e-5)


def test_a_large_matrix_is_left_to_one_product_after_the_kernel(monkeypatch):
    data = problem(SPECS["gru"], 5, 3, 2, 8, dtype=np.float32)
    want = gradients(SPECS["gru"], "native")(*data)
    monkeypatch.setattr(native, "NEAR", 8)
    agree(gradients(SPECS["gru"], "native")(*data), want, 1e-6)
