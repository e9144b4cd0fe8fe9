"""Costs counted by hand from the equations."""

import pytest

from lstm_research import catalogue
from lstm_research.analysis.cost import cost
from lstm_research.cells import CELLS

D, H = 3, 8


@pytest.mark.parametrize(
    ("name", "parameters", "products", "carry"),
    [
        ("lstm", 4 * H * (D + H + 1), 2 * 4 * H * (D + H), 2 * H),
        ("gru", 3 * H * (D + H + 1) + H, 2 * 3 * H * (D + H), H),
        ("elman", H * (D + H + 1), 2 * H * (D + H), H),
    ],
)
def test_costs_are_those_of_the_equations(name, parameters, products, carry):
    found = cost(catalogue.spec(CELLS, "cell", name, {}).build(), D, H)
    assert (found.parameters, found.products) == (parameters, products)
    assert found.weight_bytes == 4 * parameters and found.carry_bytes == 4 * carry
    assert found.flops is not None and found.transcendentals is not None
    assert products <= found.flops <= products + 60 * H
    assert H <= found.transcendentals <= 6 * H


def test_what_is_kept_of_a_step_is_its_blocks_carry_and_input():
    found = cost(catalogue.spec(CELLS, "cell", "lstm", {}).build(), D, H)
    assert found.kept_bytes == 4 * (4 * H + 2 * H + D)
