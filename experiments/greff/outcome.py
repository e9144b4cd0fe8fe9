"""What the runs came to: the trials of each variant, its best tenth, and its distance from vanilla.

The one decision: a trial that diverged has no number. It is counted, and left out of means, quartiles
and pairs.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from greff.draws import VARIANTS, Draw, names
from lstm_research.plain import digest
from lstm_research.stats import Interval, Welch, bootstrap_interval, mean_interval, welch

Record = dict[str, Any]  # spec, environment and result of one run
SHARE = 0.1
CEILING = 13.0  # nats; what lies above is drawn there, and counted
LEVEL = 0.05  # of significance, as in the paper


class Trial(NamedTuple):
    """One run: its variant, its draw, and its negative log-likelihoods; None where it diverged."""

    variant: str
    draw: Draw
    valid: float | None
    test: float | None


class Group(NamedTuple):
    """The trials of one variant beside those of vanilla."""

    variant: str
    trials: int
    diverged: int
    every: tuple[float, ...]  # test of all that have a number, in the order of the draws
    best: tuple[float, ...]  # test of the best tenth by validation
    weights: tuple[int, int]  # fewest and most trained numbers
    all_welch: Welch | None  # against vanilla; None for vanilla
    best_welch: Welch | None
    paired: Interval | None  # difference from vanilla draw by draw, with its bootstrap interval


def trial(record: Record) -> Trial:
    """Return the trial of a run."""
    spec, found = record["spec"], record["result"]["metrics"]
    rule = spec["optimizer"]
    drawn = Draw(
        spec["seed"],
        spec["network"]["hidden"],
        rule["rate"],
        rule["momentum"],
        rule["input_noise"],
    )
    variant = names()[digest(spec["cell"])]
    sound = record["result"]["status"] in ("finished", "solved")
    numbers = [found[split]["nll"] if sound else None for split in ("valid", "test")]
    return Trial(variant, drawn, *numbers)


def best(trials: Sequence[Trial]) -> list[Trial]:
    """Return the best tenth of trials by validation, rounded up."""
    sound = [each for each in trials if each.valid is not None]
    sound.sort(key=lambda each: (each.valid, each.draw.number))
    return sound[: math.ceil(SHARE * len(trials))]


def tests(trials: Iterable[Trial]) -> tuple[float, ...]:
    """Return the test numbers of those that have one."""
    return tuple(each.test for each in trials if each.test is not None)


def by_variant(records: Iterable[Record]) -> dict[str, list[Trial]]:
    """Return the trials of each variant in the order of their draws."""
    found: dict[str, list[Trial]] = {}
    for each in sorted(map(trial, records), key=lambda each: each.draw.number):
        found.setdefault(each.variant, []).append(each)
    return {variant: found[variant] for variant in VARIANTS if variant in found}


def groups(records: Sequence[Record]) -> list[Group]:
    """Return every variant beside vanilla."""
    trials = by_variant(records)
    weights: dict[str, list[int]] = {}
    for record in records:
        weights.setdefault(trial(record).variant, []).append(record["result"]["parameters"])
    vanilla = trials.get("v", [])
    return [group(variant, mine, vanilla, weights[variant]) for variant, mine in trials.items()]


def group(
    variant: str, mine: Sequence[Trial], vanilla: Sequence[Trial], weights: Sequence[int]
) -> Group:
    """Return one variant beside vanilla."""
    every, top = tests(mine), tests(best(mine))
    other = variant != "v" and bool(vanilla)
    return Group(
        variant,
        len(mine),
        sum(each.test is None for each in mine),
        every,
        top,
        (min(weights), max(weights)),
        welch(every, tests(vanilla)) if other else None,
        welch(top, tests(best(vanilla))) if other else None,
        paired(mine, vanilla) if other else None,
    )


def paired(mine: Sequence[Trial], vanilla: Sequence[Trial]) -> Interval:
    """Return the mean difference from vanilla over the draws at which both have a number.

    Its interval is of the bootstrap, and Student's under ten pairs, where that is too narrow.
    """
    theirs: Mapping[Draw, float] = {t.draw: t.test for t in vanilla if t.test is not None}
    pairs = [t.test - theirs[t.draw] for t in mine if t.test is not None and t.draw in theirs]
    return (bootstrap_interval if len(pairs) >= 10 else mean_interval)(pairs)


def differs(found: Group) -> bool:
    """Say whether the best tenth differs significantly from that of vanilla, as the paper asks."""
    return found.best_welch is not None and found.best_welch.p < LEVEL


def gap(found: Welch | Interval) -> str:
    """Write a difference with its interval, where it has one."""
    delta = found.delta if isinstance(found, Welch) else found.mean
    if math.isnan(found.low):
        return f"{delta:+.3f}"
    return f"{delta:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def probability(p: float) -> str:
    """Write a p value, or that there is none."""
    return "none" if math.isnan(p) else f"{p:.3g}"
