"""What a search came to: its trials with what the store says of each, and which settings mattered.

The importance of a setting is the share of the variance of the validation that it explains alone, by
functional analysis of variance over a forest of regression trees (Hutter, Hoos & Leyton-Brown 2014,
"An efficient approach for assessing hyperparameter importance"); what the shares lack to one is
interactions. A setting that was drawn in logarithms is measured in logarithms.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lstm_research.entry import fate
from lstm_research.space import Space
from lstm_research.store import load_run

try:
    import optuna
    from optuna.distributions import FloatDistribution, IntDistribution
except ImportError as error:
    raise ImportError("a search needs Optuna: pip install 'lstm-research[search]'") from error

STATE = optuna.trial.TrialState
LEAST = 10  # trials with a number, under which a forest says nothing
WORST_FIRST = ("failed", "absent", "unfinished", "diverged", "finished", "solved")


class Tried(NamedTuple):
    """One trial: what was drawn, and what the store says of it."""

    number: int
    params: dict[str, Any]
    status: str  # finished, solved, diverged, failed, unfinished; refused: no run has such settings
    valid: float | None  # mean over the seeds, of the metric of the task
    test: float | None
    runs: tuple[str, ...]  # folders
    error: str | None = None


class Found(NamedTuple):
    """What a search came to: its trials, the best first, and what mattered."""

    metric: str
    goal: str
    trials: list[Tried]
    importance: dict[str, float] | None  # the largest first; None: too few trials with a number


def found(study: Any, folder: Path, metric: str) -> Found:
    """Return what a study holds; folder: where its runs are."""
    best = [each.number for each in ranked(study)]
    place = {number: at for at, number in enumerate(best)}
    drawn = study.get_trials(deepcopy=False)
    kept = [each for each in drawn if {"runs", "refused"} & each.user_attrs.keys()]
    trials = [tried(each, folder) for each in kept]
    trials.sort(key=lambda each: (place.get(each.number, len(best)), each.number))
    sound = [each for each in trials if each.valid is not None]
    space = kept[0].distributions if kept else {}
    shares = importance(space, [t.params for t in sound], [t.valid or 0.0 for t in sound])
    goal = "max" if study.direction.name == "MAXIMIZE" else "min"
    return Found(metric, goal, trials, shares)


def tried(trial: Any, folder: Path) -> Tried:
    """Return one trial with what the store says of it."""
    if refused := trial.user_attrs.get("refused"):
        return Tried(trial.number, trial.params, "refused", None, None, (), refused)
    folders = [folder / name for name in trial.user_attrs["runs"]]
    status, valid, test, error = came_to(folders)
    return Tried(trial.number, trial.params, status, valid, test, tuple(map(str, folders)), error)


def ranked(study: Any) -> list[Any]:
    """Return the trials that were told, the best first and those that diverged last."""
    sign = -1 if study.direction.name == "MAXIMIZE" else 1
    told = study.get_trials(deepcopy=False, states=(STATE.COMPLETE,))
    return sorted(told, key=lambda trial: (sign * trial.value, trial.number))


def came_to(paths: Sequence[Path]) -> tuple[str, float | None, float | None, str | None]:
    """Return (status, mean validation, mean test, fault) of a trial, whose worst run is its status."""
    numbers: dict[str, list[float]] = {"valid": [], "test": []}
    statuses, faults = [], []
    for record in map(load_run, paths):
        if record.result is None or record.status == "failed":
            statuses.append(record.status)
            faults.append(f"{(record.result or {}).get('error') or record.status} ({record.path})")
            continue
        fates = {split: fate(record.result, record.result["metric"], split) for split in numbers}
        statuses.append(min((status for status, _ in fates.values()), key=WORST_FIRST.index))
        for split, (_, value) in fates.items():
            numbers[split] += [] if value is None else [value]
    worst = min(statuses, key=WORST_FIRST.index)
    if worst not in ("finished", "solved"):
        return worst, None, None, next(iter(faults), None)
    valid, test = (float(np.mean(values)) for values in numbers.values())
    return worst, valid, test, None


def importance(
    space: Space, params: Sequence[Mapping[str, Any]], values: Sequence[float]
) -> dict[str, float] | None:
    """Return the share of the variance of `values` that each setting explains alone, the largest first.

    None under ten values, or where they are all equal. Draws are scaled as they were drawn.
    """
    if len(values) < LEAST or np.ptp(values) == 0:
        return None
    flat = {key: linear(each) for key, each in space.items()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    for drawn, value in zip(params, values, strict=True):
        scaled = {key: rescaled(space[key], drawn[key]) for key in space}
        study.add_trial(
            optuna.trial.create_trial(params=scaled, distributions=dict(flat), value=value)
        )
    forest = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return forest.evaluate(study)


def linear(one: Any) -> Any:
    """Return a distribution over the logarithm of what a logarithmic one is over; others as they are."""
    if isinstance(one, FloatDistribution | IntDistribution) and one.log:
        return FloatDistribution(math.log(one.low), math.log(one.high))
    return one


def rescaled(one: Any, value: Any) -> Any:
    """Return a value as `linear(one)` has it."""
    if isinstance(one, FloatDistribution | IntDistribution) and one.log:
        return min(max(math.log(value), math.log(one.low)), math.log(one.high))
    return value
