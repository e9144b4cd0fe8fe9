"""The launch of many runs under a live display; `hydra_launcher.py` is the same for who drives Hydra."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lstm_research import label, ledger, local, trackers
from lstm_research.config import ConfigError, RunSpec, named
from lstm_research.plan import CHOICES
from lstm_research.progress import display
from lstm_research.run import Outcome
from lstm_research.spelling import unknown


def launch(
    specs: Sequence[RunSpec],
    settings: local.Settings,
    tracked: str,
    line: Sequence[str] | None = None,
) -> list[Outcome | None]:
    """Run specs, many of them packed, under a live display; return what each came to.

    None: the run is there twice under two names, and its twin has the outcome. line: the words behind
    `lstm-research` that ask for these runs, for the ledger of the store.
    """
    if tracked not in trackers.KINDS:
        raise ConfigError(unknown("tracker", tracked, trackers.KINDS, "tracker"))
    if line is not None:
        ledger.note(settings.root, line, specs)
    worker = local.hire() if len(specs) > 1 else None  # before the display has a thread
    listeners = trackers.start(tracked, settings.root, label=variant)
    outcomes: list[Outcome | None] = [None] * len(specs)
    with display([spec.budget.steps for spec in specs]) as shown:

        def end(which: int, outcome: Outcome) -> None:
            outcomes[which] = outcome
            shown.end(which, outcome.status, outcome.ran)

        heard = lambda which, event: shown.event(which, title(specs[which]), event)
        hooks = local.Hooks(event=heard, end=end, tell=shown.say)
        local.launch(specs, settings, hooks, listeners=listeners, worker=worker)
    for listener in listeners:
        listener.close()
    return outcomes


def variant(spec: Mapping[str, Any]) -> str:
    """Return the name of a resolved spec's cell and wrapper, as tables print it."""
    return label.variant(spec, named("cell"), named("wrap"))


def title(spec: RunSpec) -> str:
    """Return what a run is called on the display."""
    return f"{parts(spec.cell, spec.wrap, spec.task)} · seed {spec.seed}"


@cache
def parts(cell: Any, wrap: Any, task: Any) -> str:
    """Return the names of a cell in its wrapper and of a task; equal specs are looked up once."""
    data = RunSpec(cell, task, wrap=wrap).resolved()
    return f"{variant(data)} · {label.label(data['task'], named('task'))}"


def settings(rim: Mapping[str, Any], force: bool = False) -> local.Settings:
    """Return the settings of a launch from the keys of a composed job that are no part of the run.

    Raises ConfigError where workers is no number of cores, take none of runs, force no yes or no, or pack
    no way to pack.
    """
    workers, choice = rim["workers"], rim["pack"]
    if rim["take"] is not None and not (type(rim["take"]) is int and rim["take"] >= 1):
        told = f"take: {rim['take']!r} must be a whole number of at least 1, or null for one"
        raise ConfigError(told)
    if type(rim["force"]) is not bool:
        raise ConfigError(f"force: {rim['force']!r} must be true or false")
    if workers is not None and not (type(workers) is int and workers >= 1):
        told = f"workers: {workers!r} must be a whole number of at least 1, or null for all"
        raise ConfigError(told)
    if choice not in CHOICES:
        raise ConfigError(unknown("pack", choice, CHOICES, "way to pack"))
    return local.Settings(Path(rim["runs"]), force or rim["force"], workers, choice)
