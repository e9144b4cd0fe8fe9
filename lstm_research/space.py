"""What a search may vary, in Hydra's own grammar: one override is one distribution of Optuna.

interval(0, 0.5)                   a number between the two
tag(log, interval(1e-4, 1e-2))     the same, uniform in its logarithm
int(interval(8, 64))               a whole number, both ends included; tag(log, …) here too
range(16, 65, 16)                  16, 32, 48, 64
choice(lstm, gru), or lstm,gru     one of a list, in no order
glob(greff/*)                      one of the names of a group
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, RangeSweep

from lstm_research import catalogue, sweep
from lstm_research.config import ConfigError
from lstm_research.spelling import unknown

try:
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
except ImportError as error:
    raise ImportError("a search needs Optuna: pip install 'lstm-research[search]'") from error

Space = Mapping[str, BaseDistribution]
TAGS = ("log",)


def space(overrides: Sequence[Override]) -> dict[str, BaseDistribution]:
    """Return the distribution of every override that names several values, by its key.

    Raises ConfigError with a line for each that cannot be one.
    """
    found: dict[str, BaseDistribution] = {}
    faults = []
    for override in overrides:
        if override.is_sweep_override():
            try:
                found[override.get_key_element().lstrip("+")] = distribution(override)
            except ValueError as error:
                faults.append(f"{override.input_line}: {error}")
    if faults:
        raise ConfigError("\n".join(faults))
    return found


def distribution(override: Override) -> BaseDistribution:
    """Return the distribution of one override; raise ValueError where it has none."""
    value: Any = override.value()
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, logarithmic(value.tags)
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(float(low or 0), float(high or 0), log=log)
    if isinstance(value, RangeSweep) and not value.shuffle:
        return ranged(value)
    if isinstance(value, Glob):
        texts = value.filter(catalogue.names(override.key_or_group))
    else:
        assert isinstance(value, ChoiceSweep | RangeSweep)
        logarithmic(value.tags, none="a list has no logarithm; use interval or range")
        texts = list(dict.fromkeys(map(str, override.sweep_string_iterator())))
    if not texts:
        raise ValueError(f"no name of {override.key_or_group} is like this")
    return CategoricalDistribution(texts)


def ranged(value: RangeSweep) -> BaseDistribution:
    """Return the distribution of a range, which leaves its stop out, as Hydra does."""
    numbers: list[Any] = list(value.range())
    if not numbers:
        raise ValueError("an empty range")
    low, high, step = min(numbers), max(numbers), abs(value.step or 1)
    if logarithmic(value.tags) and step != 1:
        raise ValueError("a range in logarithms walks in steps of 1; use choice(…) for others")
    if any(isinstance(number, float) for number in numbers):
        raise ValueError("a range of a search is of whole numbers; use interval(…) or choice(…)")
    return IntDistribution(int(low), int(high), log=logarithmic(value.tags), step=int(step))


def logarithmic(tags: set[str], none: str | None = None) -> bool:
    """Return whether the tags ask for a logarithmic scale; raise ValueError for any other tag."""
    for tag in sorted(tags):
        if tag not in TAGS:
            raise ValueError(unknown("tag", tag, TAGS, "tag"))
        if none:
            raise ValueError(none)
    return bool(tags)


def words(params: Mapping[str, Any]) -> list[str]:
    """Return the overrides of one draw."""
    return [f"{'++' * ('.' in key)}{key}={value}" for key, value in params.items()]


def corners(space: Space) -> list[dict[str, Any]]:
    """Return draws that meet each end of each interval, and each choice, at least once.

    The others stand at their first value: what is wrong with a value alone is seen before the first run.
    """
    ends = {key: extremes(each) for key, each in space.items()}
    first = {key: values[0] for key, values in ends.items()}
    draws = [first | {key: value} for key, values in ends.items() for value in values[1:]]
    return [first, *draws]


def extremes(one: BaseDistribution) -> list[Any]:
    """Return every choice, or both ends, of a distribution."""
    if isinstance(one, CategoricalDistribution):
        return list(one.choices)
    assert isinstance(one, IntDistribution | FloatDistribution)
    return [one.low, one.high] if one.low < one.high else [one.low]


def check(fixed: Sequence[str], space: Space) -> None:
    """Raise ConfigError with every fault that a value of the space has, once each."""
    faults: list[str] = []
    for params in corners(space):
        try:
            sweep.specs([*fixed, *words(params)], sweep=True)
        except ConfigError as error:
            faults += [line for line in str(error).splitlines() if line not in faults]
    if faults:
        raise ConfigError("\n".join(faults))
