"""What a handful of seeds can say, and what it cannot: intervals, tests, and the smallest p.

The one decision: with few seeds the Student interval and the exact test are the honest ones, so
they are the default; the bootstrap is for the larger n it was made for. Nothing here drops a
value: a NaN is an error, because a run without a number has to be counted by the caller.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

EXACT = 40  # most pairs whose 2**n sign assignments are counted without drawing


class Interval(NamedTuple):
    """A mean and the interval around it; `low` and `high` are NaN where n < 2."""

    mean: float
    low: float
    high: float
    n: int


class Paired(NamedTuple):
    """Mean of a - b, its interval, the exact p, the pairs, and the least p that so few can have."""

    delta: float
    low: float
    high: float
    p: float
    n: int
    smallest_p: float


class Welch(NamedTuple):
    """Welch's test: mean(a) - mean(b), its interval, t, degrees of freedom and two-sided p."""

    delta: float
    low: float
    high: float
    t: float
    freedom: float
    p: float


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return mean ± t s/√n, t the Student quantile of n - 1 degrees of freedom.

    level: coverage in (0, 1). One value has no interval (NaN), no value has no mean either. Raises
    ValueError on a value that is not finite. Source: Student (1908), Biometrika 6.
    """
    x = _finite(values)
    _check(level)
    if x.size == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(x.mean())
    if x.size == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = stdtrit(x.size - 1, (1 + level) / 2) * x.std(ddof=1) / math.sqrt(x.size)
    return Interval(mean, float(mean - half), float(mean + half), x.size)


def bootstrap_interval(
    values: ArrayLike, level: float = 0.95, *, resamples: int = 9999, seed: int = 0
) -> Interval:
    """Return the mean with its BCa bootstrap interval: asymmetric where the values are skewed.

    Drawn from `seed`, so that the same values give the same interval. Under about ten values it
    is too narrow (five Gaussian values: it covers about 84 % where 95 are asked for); take
    `mean_interval` there. Equal values give an interval of no width. Source: Efron (1987), JASA
    82.
    """
    x = _finite(values)
    _check(level)
    if x.size < 2 or np.ptp(x) == 0:
        return mean_interval(values, level)
    from scipy import stats  # a second and a half to import, and only the bootstrap needs it

    found = stats.bootstrap(
        (x,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(x.mean()), float(found.low), float(found.high), x.size)


def smallest_p(n: int) -> float:
    """Return 2/2ⁿ, below which no two-sided sign-flip test of n pairs can fall (1 for n < 2).

    Five seeds stop at 0.0625: no result of theirs is "significant at .05".
    """
    return min(1.0, 2.0 ** (1 - n))


def sign_flip_p(differences: ArrayLike) -> float:
    """Return the two-sided p of a mean difference under random signs: share of |Σ ±d| ≥ |Σ d|.

    Exact for up to 40 differences: all 2ⁿ assignments are counted, the sums of one half of the
    differences searched in the sorted sums of the other. Beyond that 99 999 assignments are drawn
    (seeded) and p = (1 + hits) / 100 000. No difference at all gives 1.
    Source: Fisher (1935), The Design of Experiments, §21.
    """
    d = _finite(differences)
    total = abs(d.sum())
    reach = (
        total * (1 - 1e-9) - 1e-12 * np.abs(d).sum()
    )  # sums equal but for rounding count as equal
    if reach <= 0:
        return 1.0
    if d.size > EXACT:
        signs = np.random.default_rng(0).choice((-1.0, 1.0), (99_999, d.size))
        return float((1 + np.count_nonzero(np.abs(signs @ d) >= reach)) / 100_000)
    left, right = _signed_sums(d[: d.size // 2]), np.sort(_signed_sums(d[d.size // 2 :]))
    above = right.size - np.searchsorted(right, reach - left, side="left")
    return float(2 * above.sum() / 2.0**d.size)  # the assignments come in pairs of opposite sum


def paired_difference(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Paired:
    """Compare a with b seed by seed: mean of a - b, Student interval, exact sign-flip p.

    a, b: values of the same seeds in the same order. Raises ValueError where the lengths differ.
    """
    x, y = _finite(a), _finite(b)
    if x.size != y.size:
        raise ValueError(
            f"pairs need one value of each side: a has {x.size} values, b has {y.size}"
        )
    delta = mean_interval(x - y, level)
    p = sign_flip_p(x - y)
    return Paired(delta.mean, delta.low, delta.high, p, delta.n, smallest_p(delta.n))


def welch(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Welch:
    """Compare the means of two unpaired samples whose variances may differ.

    t = (ā - b̄) / √(s²ₐ/nₐ + s²_b/n_b), with the degrees of freedom of Satterthwaite. Undefined
    (NaN but for delta) where a side has fewer than two values or neither has any spread. Source:
    Welch (1947), Biometrika 34.
    """
    x, y = _finite(a), _finite(b)
    _check(level)
    if min(x.size, y.size) < 2:
        delta = float(x.mean() - y.mean()) if min(x.size, y.size) else math.nan
        return Welch(delta, *[math.nan] * 5)
    delta = float(x.mean() - y.mean())
    u, v = x.var(ddof=1) / x.size, y.var(ddof=1) / y.size
    if u + v == 0:
        return Welch(delta, *[math.nan] * 5)
    error = math.sqrt(u + v)
    freedom = float((u + v) ** 2 / (u**2 / (x.size - 1) + v**2 / (y.size - 1)))
    half = stdtrit(freedom, (1 + level) / 2) * error
    p = float(2 * stdtr(freedom, -abs(delta) / error))
    return Welch(delta, float(delta - half), float(delta + half), delta / error, freedom, p)


def holm(p_values: ArrayLike) -> list[float]:
    """Return the p values corrected for testing them all, in the order they came in.

    Step-down: the k-th smallest of m is multiplied by m - k + 1, never falls below the one before
    it and never exceeds 1. Holds whatever the tests' dependence. Source: Holm (1979), Scand. J.
    Statist. 6.
    """
    p = _finite(p_values)
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"a p value lies in [0, 1], got {p.tolist()}")
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(raised, 1.0)
    return adjusted.tolist()


def _signed_sums(d: np.ndarray) -> np.ndarray:
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums - value, sums + value])
    return sums


def _finite(values: ArrayLike) -> np.ndarray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"expected a flat list of numbers, got shape {x.shape}")
    for index in np.flatnonzero(~np.isfinite(x)):
        raise ValueError(
            f"values[{index}] is {x[index]}: leave a run without a number out, and count it"
        )
    return x


def _check(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1, as 0.95")
