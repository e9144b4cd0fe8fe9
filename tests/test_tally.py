"""Right answers are counted one by one, by whole rows, and until the first wrong one of a stream."""

import jax.numpy as jnp
import numpy as np
import pytest

from lstm_research.tasks.tally import before_error, expected, shares


def counted(right: list[int], asked: list[int], what: list[int] | None = None) -> float:
    rows = [np.array([each], bool) for each in (right, asked)]
    total, weight = before_error(*rows, None if what is None else np.array([what], bool))
    return float(total / weight)


def test_the_count_stops_at_the_first_wrong_prediction():
    assert counted([1, 1, 0, 1], [1, 1, 1, 1]) == 2
    assert counted([0, 1, 1, 1], [1, 1, 1, 1]) == 0
    assert counted([1, 1, 1, 1], [1, 1, 1, 1]) == 4


def test_what_is_not_asked_is_neither_wrong_nor_counted():
    assert counted([1, 0, 1, 0], [1, 0, 1, 1]) == 2


def test_only_what_counts_is_counted():
    assert counted([1, 1, 1, 1, 0, 1], [1] * 6, [0, 1, 0, 1, 0, 1]) == 2


def test_rows_that_ask_nothing_have_no_weight():
    right = np.array([[1, 0], [1, 1]], bool)
    total, weight = before_error(right, np.array([[1, 1], [0, 0]], bool))
    assert (float(total), float(weight)) == (1, 1)


@pytest.mark.parametrize(("right", "length"), [(0.5, 3), (0.9, 7), (0.0, 4), (1.0, 4)])
def test_expected_is_the_mean_over_all_outcomes(right, length):
    mean = length * right**length
    mean += sum(far * right**far * (1 - right) for far in range(length))
    assert expected(right, length) == pytest.approx(mean)


def test_shares_count_answers_and_whole_rows():
    right = jnp.array([[1, 0, 1], [1, 0, 1], [0, 0, 0]], bool)
    asked = jnp.array([[1, 1, 1], [1, 0, 1], [0, 0, 0]], bool)
    found = {name: (int(count), int(of)) for name, (count, of) in shares("x", right, asked).items()}
    assert found == {"x": (4, 5), "sequence_x": (1, 2)}
