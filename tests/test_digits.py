"""How many digits a number is given."""

import pytest

from lstm_research import digits


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((0.16667, 0.15, 0.18), "0.167 0.150 0.180"),
        ((0.99987, 0.99981, 0.99993), "0.99987 0.99981 0.99993"),
        ((1.0, 1.0, 1.0), "1.00 1.00 1.00"),
        ((0.0, 0.0, 0.0), "0.00 0.00 0.00"),
        ((0.0, -0.5, 0.5), "0.000 -0.500 0.500"),
        ((12.345, 11.0, 13.6), "12.3 11.0 13.6"),
        ((1234.5, 1200.0, 1269.0), "1234 1200 1269"),
        ((2.134e-4, 1.98e-4, 2.29e-4), "2.13e-4 1.98e-4 2.29e-4"),
        ((1e-4, -2e-2, 2.02e-2), "0.0001 -0.0200 0.0202"),
        ((3.2e6, 3.1e6, 3.3e6), "3.20e6 3.10e6 3.30e6"),
        ((0.00123,), "0.00123"),
        ((-0.00004, -0.1, 0.1), "0.000 -0.100 0.100"),
    ],
)
def test_a_number_has_the_digits_that_its_interval_deserves(numbers, said):
    assert " ".join(digits.interval(*numbers)) == said


def test_counts_times_and_probabilities_are_short():
    counts = [digits.count(n) for n in (0, 640, 999, 1000, 17281, 999_999, 1_234_567, 2 * 10**9)]
    assert counts == ["0", "640", "999", "1.00k", "17.3k", "1.00M", "1.23M", "2.00G"]
    assert [digits.milliseconds(t) for t in (0.0345, 1.234, 12.3, 350.0)] == [
        "0.035",
        "1.2",
        "12",
        "350",
    ]
    assert [digits.probability(p) for p in (0.0625, 1.0, 0.25)] == ["0.0625", "1", "0.25"]
