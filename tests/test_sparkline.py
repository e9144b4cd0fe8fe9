"""A curve in one line."""

import math

from lstm_research.sparkline import ASCII, BARS, sparkline


def test_marks_rise_with_the_values():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == BARS
    assert sparkline([7, 0], ASCII) == "#_"


def test_what_is_not_finite_is_a_blank():
    assert sparkline([0.0, None, math.nan, math.inf, 1.0]) == "▁   █"
    assert sparkline([None, math.nan]) == "  " and sparkline([]) == ""


def test_equal_values_are_low():
    assert sparkline([3.0, 3.0]) == "▁▁"
