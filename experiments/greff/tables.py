"""The Markdown of the search: the variants, what explains the variance, the paper's conclusions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from greff.claims import claims
from greff.draws import VARIANTS
from greff.outcome import CEILING, Group, Record, by_variant, differs, gap, groups, probability
from lstm_research.stats import holm


def render(records: Sequence[Record], around: Mapping[str, Any], title: str, text: str) -> str:
    """Return the whole page; around: the first line of the file."""
    found = groups(records)
    shares = around["importance"]
    parts = [
        f"# {title}\n",
        f"{text}\n",
        f"{cost(records, around)}\n",
        "## Best tenth of the trials of each variant, by validation\n",
        *top(found),
        "\n## All trials\n",
        *everything(found),
        "\n![box plots](odyssey_boxes.png)\n",
        "## What explains the variance\n",
        *variance(shares, around["capped"]),
        "\n![settings](odyssey_settings.png)\n",
        "## The paper's conclusions\n",
        "| conclusion | known from | here | |",
        "|---|---|---|---|",
        *(
            f"| {each.said} | {each.source} | {each.found} | **{each.verdict}** |"
            for each in claims(found, by_variant(records), shares)
        ),
    ]
    return "\n".join(parts) + "\n"


def cost(records: Sequence[Record], around: Mapping[str, Any]) -> str:
    """Return what it cost, where and with what it was run."""
    results = [record["result"] for record in records]
    steps = sum(each["steps"] * (each["step_ms"] or 0.0) for each in results) / 1e3
    bad = sum(each["status"] == "diverged" for each in results)
    environments = [record["environment"] for record in records]
    commits = sorted(
        {str(each["commit"])[:10] + ("+" if each["dirty"] else "") for each in environments}
    )
    versions = environments[0]["versions"]
    told = ", ".join(f"{name} {versions[name]}" for name in ("jax", "flax", "optax", "python"))
    return (
        f"{len(records)} runs, {bad} diverged; {steps:,.0f} core-seconds of training steps, "
        f"{around['took_s'] / 60:.0f} minutes by the clock with compiling and evaluation; "
        f"{around['machine']['processor']}, {around['machine']['cores']} cores; "
        f"commit {', '.join(commits)} (+: with changes), {told}."
    )


def top(found: Sequence[Group]) -> list[str]:
    """Return the table of the best tenths."""
    tests = {each.variant: each.best_welch for each in found if each.best_welch is not None}
    known = {name: test.p for name, test in tests.items() if test.p == test.p}
    raised = dict(zip(known, holm(list(known.values())), strict=True)) if known else {}
    lines = [
        "| variant | weights | n | best test NLL | mean | Δ from V [95 % interval, Welch] "
        "| p | p, Holm | differs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in found:
        if not each.best:
            lines.append(f"| {each.variant.upper()} | {sizes(each)} | 0 | | | | | | |")
            continue
        w = each.best_welch
        apart = f"{gap(w)} | {probability(w.p)}" if w else "|"
        said = f"{raised[each.variant]:.3g}" if each.variant in raised else ""
        lines.append(
            f"| {each.variant.upper()}, {VARIANTS[each.variant]} | {sizes(each)} | {len(each.best)} "
            f"| {min(each.best):.3f} | {np.mean(each.best):.3f} | {apart} | {said} "
            f"| {'yes' if differs(each) else ''} |"
        )
    return lines


def everything(found: Sequence[Group]) -> list[str]:
    """Return the table of all trials."""
    lines = [
        "| variant | trials | diverged | quartiles of test NLL | mean | p, Welch "
        "| Δ from V, draw by draw [95 % bootstrap] | pairs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in found:
        name = f"| {each.variant.upper()} | {each.trials} | {each.diverged} "
        if not each.every:
            lines.append(f"{name}| | | | | |")
            continue
        quartiles = " · ".join(f"{q:.2f}" for q in np.percentile(each.every, (25, 50, 75)))
        p, w = each.paired, each.all_welch
        pairs = f"{gap(p)} | {p.n}" if p else "|"
        lines.append(
            f"{name}| {quartiles} | {np.mean(each.every):.3f} | {probability(w.p) if w else ''} | {pairs} |"
        )
    return lines


def variance(shares: Mapping[str, float] | None, capped: Mapping[str, float] | None) -> list[str]:
    """Return the shares of the analysis of variance: of the number itself, and of the number capped."""
    if not shares or not capped:
        return ["Too few trials."]
    left = [max(1 - sum(each.values()), 0.0) for each in (shares, capped)]
    lines = [
        "Shares of the variance of test NLL by fANOVA, all variants. The variance of the number itself is "
        f"that of the few trials that end in the hundreds, so it is capped at {CEILING:.0f} nats beside "
        "it; the conclusions below are judged by the number itself.\n",
        f"| setting | test NLL | at most {CEILING:.0f} nats |",
        "|---|---|---|",
    ]
    first = sorted(shares, key=lambda name: -shares[name])
    lines += [f"| {name} | {shares[name]:.1%} | {capped[name]:.1%} |" for name in first]
    return [*lines, f"| interactions | {left[0]:.1%} | {left[1]:.1%} |"]


def sizes(each: Group) -> str:
    """Return the fewest and the most trained numbers of a variant."""
    low, high = each.weights
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
