"""The statistics: against SciPy, against enumeration, and against what they promise."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from lstm_research.stats import (
    Interval,
    bootstrap_interval,
    holm,
    mean_interval,
    paired_difference,
    sign_flip_p,
    smallest_p,
    welch,
)

SLEEP = (
    0.7,
    -1.6,
    -0.2,
    -1.2,
    -0.1,
    3.4,
    3.7,
    0.8,
    0.0,
    2.0,
)  # Student (1908), hours gained, drug 1
OTHER = (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)  # drug 2, the same ten patients


def draws(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


# ------------------------------------------------------------------ intervals


def test_the_interval_is_that_of_scipy():
    for n in (2, 3, 5, 30):
        x = draws(n)
        found = mean_interval(x, 0.9)
        low, high = scipy_stats.ttest_1samp(x, 0).confidence_interval(0.9)
        assert found == pytest.approx((x.mean(), low, high, n), rel=1e-12)


def test_the_interval_of_three_values_by_hand():
    found = mean_interval([1.0, 2.0, 3.0])
    t = 0.95 / math.sqrt(2 * 0.975 * 0.025)  # two degrees of freedom have a closed form: 4.303
    half = t / math.sqrt(3)
    assert found == pytest.approx((2.0, 2.0 - half, 2.0 + half, 3), rel=1e-12)


def test_one_value_has_no_interval_and_none_has_no_mean():
    one, none = mean_interval([0.5]), mean_interval([])
    assert one.mean == 0.5 and one.n == 1 and math.isnan(one.low) and math.isnan(one.high)
    assert none.n == 0 and math.isnan(none.mean)
    assert math.isnan(bootstrap_interval([0.5]).low)


def test_the_interval_of_three_values_holds_the_truth_nineteen_times_in_twenty():
    rng = np.random.default_rng(1)
    found = [mean_interval(x) for x in rng.normal(3.0, 2.0, size=(2000, 3))]
    covered = np.mean([interval.low <= 3.0 <= interval.high for interval in found])
    assert covered == pytest.approx(0.95, abs=0.015)  # three standard errors of 2000 trials


def test_a_value_that_is_not_finite_is_never_averaged():
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match=r"values\[1\] is (nan|inf): leave .* and count it"):
            mean_interval([1.0, bad])
        with pytest.raises(ValueError, match=r"values\[1\]"):
            paired_difference([1.0, bad], [1.0, 2.0])


def test_a_level_outside_zero_and_one_is_refused():
    with pytest.raises(ValueError, match="level=95 must lie between 0 and 1"):
        mean_interval([1.0, 2.0], 95)


def test_nested_values_are_refused():
    with pytest.raises(ValueError, match=r"got shape \(1, 2\)"):
        mean_interval([[1.0, 2.0]])


def test_the_bootstrap_is_that_of_scipy_and_repeats_itself():
    x = np.exp(draws(25))
    found = bootstrap_interval(x, seed=3, resamples=2000)
    rng = np.random.default_rng(3)
    expected = scipy_stats.bootstrap((x,), np.mean, n_resamples=2000, rng=rng, method="BCa")
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval), rel=1e-12)
    assert found == bootstrap_interval(x, seed=3, resamples=2000)
    assert found != bootstrap_interval(x, seed=4, resamples=2000)
    assert (
        found.high - found.mean > found.mean - found.low
    )  # skewed to the right, as the values are


def test_equal_values_have_an_interval_of_no_width():
    for interval in (mean_interval, bootstrap_interval):
        assert interval([0.25] * 4) == Interval(0.25, 0.25, 0.25, 4)


def test_the_bootstrap_of_five_values_promises_too_much():
    rng = np.random.default_rng(2)
    found = [bootstrap_interval(x, resamples=300) for x in rng.normal(size=(300, 5))]
    covered = np.mean([interval.low <= 0.0 <= interval.high for interval in found])
    assert 0.74 < covered < 0.90


# ------------------------------------------------------------------ paired


def enumerated(d) -> float:
    sums = [abs(sum(s * x for s, x in zip(signs, d, strict=True))) for signs in flips(len(d))]
    return sum(value >= abs(sum(d)) - 1e-12 for value in sums) / len(sums)


def flips(n: int):
    return itertools.product((-1, 1), repeat=n)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 9, 12])
def test_the_sign_flip_p_is_that_of_counting_every_flip(n):
    for seed in range(3):
        d = draws(n, seed) + 0.3
        assert sign_flip_p(d) == pytest.approx(enumerated(d), abs=1e-12)


def test_ties_and_zeros_count_as_reaching_the_sum():
    for d in ([1, 1, 1, -1], [0, 0, 2], [0.1, 0.2, -0.3], [1, -1], [0.1] * 7, [3, 0, 1, 1]):
        assert sign_flip_p(d) == pytest.approx(enumerated(d), abs=1e-12)


def test_no_difference_has_p_one():
    assert sign_flip_p([0.0, 0.0, 0.0]) == 1.0
    assert sign_flip_p([]) == 1.0
    assert sign_flip_p([0.1, 0.2, -0.3]) == 1.0


def test_the_sign_flip_p_is_that_of_scipy_on_students_sleep():
    d = np.subtract(SLEEP, OTHER)
    expected = scipy_stats.permutation_test(
        (d,), np.sum, permutation_type="samples", n_resamples=10**9
    )
    assert sign_flip_p(d) == pytest.approx(expected.pvalue, abs=1e-12)


def test_thirty_pairs_are_still_counted_exactly():
    assert sign_flip_p(np.ones(30)) == 2.0**-29
    assert sign_flip_p(1.0 + np.arange(30) / 64) == 2.0**-29


def test_more_than_forty_pairs_are_drawn_and_agree_with_the_normal_limit():
    d = draws(60, 5) + 0.2
    limit = 2 * scipy_stats.norm.sf(abs(d.sum()) / math.sqrt((d**2).sum()))
    assert sign_flip_p(d) == pytest.approx(limit, abs=0.01)  # drawn, and the limit is at infinity
    assert sign_flip_p(d) == sign_flip_p(d)


def test_five_seeds_cannot_reach_five_per_cent_and_six_can():
    assert [smallest_p(n) for n in (0, 1, 2, 3, 5, 6)] == [1.0, 1.0, 0.5, 0.25, 0.0625, 0.03125]
    for n in (3, 5, 6):  # the largest possible effect reaches exactly the smallest p
        found = paired_difference(np.arange(n) + 1e6, np.arange(n))
        assert found.p == found.smallest_p == smallest_p(n)


def test_a_paired_difference_is_the_one_sample_interval_of_the_differences():
    found = paired_difference(SLEEP, OTHER)
    expected = scipy_stats.ttest_rel(SLEEP, OTHER).confidence_interval()
    assert found.delta == pytest.approx(-1.58, abs=1e-12)  # as printed in Student (1908)
    assert (found.low, found.high, found.n) == pytest.approx((*expected, 10), rel=1e-12)


def test_swapping_the_sides_turns_the_sign_and_keeps_the_p():
    one, two = paired_difference(SLEEP, OTHER), paired_difference(OTHER, SLEEP)
    assert (one.delta, one.low, one.p) == (-two.delta, -two.high, two.p)


def test_pairing_sees_what_welch_cannot():
    seeds = 10 * draws(8)  # hard and easy seeds, the same for both sides
    paired, unpaired = paired_difference(seeds + 1, seeds), welch(seeds + 1, seeds)
    assert paired.p == smallest_p(8) and unpaired.p > 0.5


def test_sides_of_different_length_are_no_pairs():
    with pytest.raises(ValueError, match="a has 2 values, b has 3"):
        paired_difference([1, 2], [1, 2, 3])


def test_one_pair_has_a_difference_and_nothing_else():
    found = paired_difference([1.0], [0.5])
    assert found.delta == 0.5 and math.isnan(found.low) and found.p == 1.0


# ------------------------------------------------------------------ unpaired, and many


def test_welch_is_that_of_scipy():
    a, b = draws(5), 3 * draws(9, 1) + 1
    expected = scipy_stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval()  # pyright: ignore[reportAttributeAccessIssue]
    statistic = [getattr(expected, name) for name in ("statistic", "df", "pvalue")]
    numbers = (a.mean() - b.mean(), *interval, *statistic)
    assert welch(a, b) == pytest.approx(numbers, rel=1e-12)


def test_welch_of_too_little_knows_only_the_difference():
    for a, b in (([1.0], [2.0, 3.0]), ([1.0, 1.0], [0.5, 0.5])):
        found = welch(a, b)
        assert found.delta == np.mean(a) - np.mean(b) and np.isnan(found[1:]).all()
    assert math.isnan(welch([], [1.0, 2.0]).delta)


def test_holm_by_hand():
    """m = 4: 0.005·4, then 0.01·3 = 0.03, then 0.03·2 = 0.06, and 0.04·1 is held up at 0.06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02], abs=1e-12)
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02] and holm([]) == []


def test_holm_never_lowers_a_p_and_keeps_their_order():
    p = np.random.default_rng(0).uniform(size=20)
    adjusted = np.array(holm(p))
    assert (adjusted >= p).all() and (np.diff(adjusted[np.argsort(p)]) >= 0).all()
    assert holm(p)[int(p.argmin())] == pytest.approx(min(1, 20 * p.min()), abs=1e-12)


def test_holm_refuses_what_is_no_p():
    with pytest.raises(ValueError, match=r"lies in \[0, 1\]"):
        holm([0.5, 1.2])
