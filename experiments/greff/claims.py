"""The paper's conclusions, each held to the numbers of our runs; no verdict is written by hand.

Words: `held` and `contradicted` where a test or a comparison says so; `not shown` where the paper
found a difference and we have none that is significant; `not contradicted` where the paper found none
and neither have we, which with few trials says little.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from greff.draws import SIZES
from greff.outcome import LEVEL, Group, Trial, best, gap, probability

VERIFIED, SECOND = "figure or abstract of the paper", "read in a secondary source"
HURTS = {"nfg": VERIFIED, "noaf": VERIFIED, "fgr": SECOND}
HARMLESS = {"cifg": VERIFIED, "np": VERIFIED, "nig": SECOND, "nog": SECOND, "niaf": SECOND}
SETTINGS = ("rate", "hidden size", "input noise", "momentum")


class Claim(NamedTuple):
    """What the paper says, where we have that from, what we found, and the verdict."""

    said: str
    source: str
    found: str
    verdict: str


def claims(
    groups: Sequence[Group],
    trials: Mapping[str, Sequence[Trial]],
    shares: Mapping[str, float] | None,
) -> list[Claim]:
    """Return every claim that these runs can be held against."""
    found = {each.variant: each for each in groups}
    told: list[Claim] = []
    for variant, source in (HURTS | HARMLESS).items():
        if (each := found.get(variant)) is not None and each.best_welch is not None:
            told += of_variant(each, variant in HURTS, source)
    if "v" in trials and "cifg" in trials:
        told.append(best_of_all(trials))
    return told + of_settings(trials) + (of_shares(shares) if shares else [])


def of_variant(each: Group, hurts: bool, source: str) -> list[Claim]:
    """Return the claim on one variant, over its best tenth and over all its draws in pairs."""
    name = each.variant.upper()
    said = f"{name} is worse on music" if hurts else f"{name} changes nothing significant on music"
    assert each.best_welch is not None and each.paired is not None
    w, p = each.best_welch, each.paired
    top, all_pairs = f"Δ {gap(w)}, p {probability(w.p)}", f"Δ {gap(p)}, {p.n} pairs"
    return [
        Claim(f"{said}: best tenth", source, top, verdict(hurts, w.delta, w.p < LEVEL)),
        Claim(
            f"{said}: all draws",
            source,
            all_pairs,
            verdict(hurts, p.mean, p.low > 0 or p.high < 0),
        ),
    ]


def verdict(hurts: bool, delta: float, significant: bool) -> str:
    """Return the word for a difference, where the paper found harm or none."""
    if not significant:
        return "not shown" if hurts else "not contradicted"
    return "held" if hurts and delta > 0 else "contradicted"


def best_of_all(trials: Mapping[str, Sequence[Trial]]) -> Claim:
    """Return the claim on the best music result of CIFG."""
    ours = [best(trials[variant])[:1] for variant in ("cifg", "v")]
    a, b = (each[0].test if each and each[0].test is not None else math.nan for each in ours)
    word = "held" if a < b else "contradicted"
    said = "the best music result of CIFG is slightly better than that of V"
    return Claim(said, VERIFIED, f"{a:.3f} against {b:.3f}, the best by validation", word)


def of_settings(trials: Mapping[str, Sequence[Trial]]) -> list[Claim]:
    """Return the claims on hidden size and input noise."""
    sizes = [size_mean(trials, hidden) for hidden in SIZES]
    there = [pair for pair in zip(SIZES, sizes, strict=True) if not math.isnan(pair[1])]
    told = ", ".join(f"{hidden}: {mean:.3f}" for hidden, mean in there)
    known = [mean for _, mean in there]
    larger = Claim(
        "larger hidden layers are better",
        SECOND,
        f"best test of a variant, mean over variants; {told}",
        "held" if len(known) > 1 and known[-1] < known[0] else "contradicted",
    )
    draws: dict[float, list[float]] = {}
    for each in (trial for mine in trials.values() for trial in mine):
        if each.test is not None:
            draws.setdefault(each.draw.noise, []).append(each.test)
    if len(draws) < 3:
        return [larger]
    rank: Any = stats.spearmanr(list(draws), [np.median(each) for each in draws.values()])
    rho, p = float(rank.statistic), float(rank.pvalue)
    word = verdict(True, rho, p < LEVEL)
    noise = f"rank correlation of noise with test {rho:+.2f}, p {p:.3g}, {len(draws)} draws"
    return [larger, Claim("input noise harms", SECOND, noise, word)]


def size_mean(trials: Mapping[str, Sequence[Trial]], hidden: int) -> float:
    """Return the test of the best trial by validation at a size, the mean over variants."""
    tops = [best([t for t in mine if t.draw.hidden == hidden])[:1] for mine in trials.values()]
    values = [top[0].test for top in tops if top and top[0].test is not None]
    return float(np.mean(values)) if values else math.nan


def of_shares(shares: Mapping[str, float]) -> list[Claim]:
    """Return the claims on what explains the variance."""
    ours = sorted(SETTINGS, key=lambda name: -shares[name])
    told = ", ".join(f"{name} {shares[name]:.1%}" for name in ours)
    rest = max(1 - sum(shares.values()), 0.0)
    word = lambda holds: "held" if holds else "contradicted"
    return [
        Claim("the rate matters most", SECOND, told, word(ours[0] == "rate")),
        Claim("the hidden size comes second", SECOND, told, word(ours[1] == "hidden size")),
        Claim("momentum matters least", SECOND, told, word(ours[-1] == "momentum")),
        Claim(
            "interactions are small, so that each can be tuned alone",
            SECOND,
            f"interactions {rest:.1%}, the largest share {shares[ours[0]]:.1%}",
            word(rest < shares[ours[0]]),
        ),
    ]
