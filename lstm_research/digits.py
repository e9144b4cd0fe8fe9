"""How many digits a number deserves: three, and more where its interval is narrower than that."""

import math


def interval(mean: float, low: float | None = None, high: float | None = None) -> list[str]:
    """Write a mean, and its interval where it has one, with the same decimals and exponent.

    Three significant digits of the larger of mean and half width, or as many as show one digit of
    the half width, six at most: `0.167`, `0.99987 [0.99981, 0.99993]`. Under 0.001 and from 100
    000 the exponent is written: `2.13e-4`.
    """
    half = (high - low) / 2 if low is not None and high is not None else 0.0
    scale = max(abs(mean), half)
    power = math.floor(math.log10(scale)) if scale else 0
    needed = power - math.floor(math.log10(half)) if half else 0
    digits = min(max(2, needed), 5)  # behind the first one
    values = [value for value in (mean, low, high) if value is not None]
    if power < -3 or power > 4:
        return [f"{_rounded(value / 10.0**power, digits)}e{power}" for value in values]
    return [_rounded(value, max(digits - power, 0)) for value in values]


def count(number: int) -> str:
    """Write a count with three significant digits: `640`, `17.0k`, `1.20M`."""
    if number < 1000:
        return str(number)
    rounded = float(f"{number:.3g}")
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if rounded >= size:
            return f"{rounded / size:.{2 - math.floor(math.log10(rounded / size))}f}{unit}"
    raise AssertionError(number)


def milliseconds(time: float) -> str:
    """Write a time with two significant digits: `0.035`, `1.2`, `350`."""
    return f"{float(f'{time:.2g}'):.10g}"


def probability(p: float) -> str:
    """Write a p value with three significant digits: `0.0625`, `1`."""
    return f"{p:.3g}"


def _rounded(value: float, decimals: int) -> str:
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # + 0.0: no minus before a zero
