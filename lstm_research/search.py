"""The search for settings: Optuna draws them, a pack at a time; their runs are ordinary runs of the store.

The one decision: the store says what a trial came to, the journal only which settings were drawn. The
journal is `<runs>/<study>/search.jsonl`. After a kill at any moment the same line goes on: trials that were
drawn and not told are looked up in the store, and run where they are not there. A draw of `random` depends
on its number alone, so that such a search ends as one that nobody disturbed.

A trial is the mean validation over its seeds. One that diverged is told as infinitely bad; settings that
are no run at all (f = 1 - i without a forget gate) are refused, told as failed, and count as drawn.
"""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lstm_research import compose, launcher, sweep
from lstm_research.compose import choices, jobs, parse, widen
from lstm_research.config import ConfigError, RunSpec
from lstm_research.disk import explained, take
from lstm_research.line import PLAIN, RIM
from lstm_research.signature import task
from lstm_research.space import Space, check, corners, space, words
from lstm_research.spelling import unknown
from lstm_research.store import find, spec_hash
from lstm_research.trials import Found, came_to, found, ranked

try:
    import optuna
except ImportError as error:
    raise ImportError("a search needs Optuna: pip install 'lstm-research[search]'") from error

SAMPLERS: Mapping[str, Callable[[int], Any]] = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
}
STATE = optuna.trial.TrialState
JOURNAL = "search.jsonl"


class Settings(NamedTuple):
    """How many trials are drawn, how many of them at a time, and by what."""

    trials: int = 32
    take: int = 8  # drawn and packed together
    sampler: str = "tpe"
    sampler_seed: int = 0


class Line(NamedTuple):
    """The command line of a search, taken apart."""

    fixed: tuple[str, ...]  # what every trial shares, its seeds too
    space: Space
    rim: dict[str, Any]
    study: str


def search(
    overrides: Sequence[str],
    settings: Settings = Settings(),  # noqa: B008 (a tuple, never changed)
    run: Callable[[list[RunSpec]], Any] | None = None,
    tell: Callable[[str], None] = lambda said: None,
) -> Found:
    """Draw settings until `settings.trials` are there, run them, and return what was found.

    overrides: as of `lstm-research run`; those that name several values are searched (`space.py`), but
    `seed=0,1,2`, over which a trial is averaged. run: what puts specs into the store; None: the packed
    launch of this machine. tell: hears how far the search is. Raises ConfigError before anything is
    written, StoreError where another process searches in this study.
    """
    legal(settings)
    line = taken_apart(overrides)
    way = launcher.settings(line.rim)
    if run is None:
        run = lambda specs: launcher.launch(specs, way, line.rim["tracker"])
    folder = way.root / line.study
    first = specs_of(line, corners(line.space)[0])[0]
    with journal(folder) as storage:
        study = opened(storage, line, task(first.task))
        asked: set[int] = set()
        while batch := drawn(study, line, settings, asked):
            asked |= {number for number, _ in batch}
            run([spec for _, specs in batch for spec in specs])
            for number, specs in batch:
                told(study, number, specs, way.root)
            tell(progress(study, settings.trials))
        return found(study, folder, task(first.task).metric)


def legal(settings: Settings) -> None:
    """Raise ConfigError where a setting of the search makes no sense."""
    for name in ("trials", "take"):
        value = getattr(settings, name)
        if type(value) is not int or value < 1:
            raise ConfigError(f"{name}: {value!r} must be a whole number of at least 1")
    if settings.sampler not in SAMPLERS:
        raise ConfigError(unknown("sampler", settings.sampler, SAMPLERS, "sampler"))
    if type(settings.sampler_seed) is not int or settings.sampler_seed < 0:
        raise ConfigError(
            f"sampler_seed: {settings.sampler_seed!r} must be a whole number, not below 0"
        )


def taken_apart(overrides: Sequence[str]) -> Line:
    """Return what a line fixes and what it varies; raise ConfigError with every fault of either."""
    parsed = parse([widen(each) for each in parse(overrides)])
    varied = [each for each in parsed if each.is_sweep_override() and each.key_or_group != "seed"]
    for each in varied:
        if each.key_or_group in ("task", *(key for key in PLAIN if key != "seed")):
            raise ConfigError(f"{each.input_line}: a search has one {each.key_or_group}")
    if not varied:
        raise ConfigError(
            "command line: nothing to search; name several values, "
            "as optimizer.rate=tag(log,interval(1e-4,1e-2)) or network.hidden=choice(20,40)"
        )
    fixed = tuple(each.input_line or "" for each in parsed if each not in varied)
    over = space(varied)
    check(fixed, over)
    rim = compose.composed(jobs([*fixed, *words(corners(over)[0])], sweep=True)[0])
    return Line(fixed, over, rim, rim["study"])


def specs_of(line: Line, params: Mapping[str, Any]) -> list[RunSpec]:
    """Return the runs of a draw, one a seed."""
    return sweep.specs([*line.fixed, *words(params)], sweep=True)


@contextlib.contextmanager
def journal(folder: Path) -> Iterator[Any]:
    """Hold the journal of a study for this process alone, and mend what a kill left of its last line."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = folder / JOURNAL
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = take(folder, "search.lock", "searching in this study")
        path.with_name(f"{JOURNAL}.lock").unlink(missing_ok=True)  # of Optuna, held by the dead
        mend(path)
    try:
        with explained(path):
            yield JournalStorage(JournalFileBackend(str(path)))
    finally:
        os.close(lock)


def mend(path: Path) -> None:
    """Cut off a last line without its end, which no reader could skip once another follows it."""
    if path.is_file():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)


def opened(storage: Any, line: Line, of: Any) -> Any:
    """Return the study of a journal; raise ConfigError where it searches something else."""
    direction = "maximize" if of.goal == "max" else "minimize"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=storage, study_name="search", direction=direction, load_if_exists=True
    )
    about = identity(line)
    before = study.user_attrs.get("about")
    if before is None:
        study.set_user_attr("about", about)
    elif before != about:
        changed = sorted(key for key in {*before, *about} if before.get(key) != about.get(key))
        raise ConfigError(
            f"study: {line.study!r} holds a search that differs in {', '.join(changed)}; "
            "choose another study=, or the line that it began with"
        )
    return study


def identity(line: Line) -> dict[str, Any]:
    """Return what makes two searches one, as plain data by key: what is fixed, and what is varied."""
    fixed = parse(line.fixed)
    known = {
        each.get_key_element().lstrip("+"): [str(text) for text in choices(each)]
        for each in fixed
        if each.key_or_group not in (*RIM, "study")
    }
    return known | {key: str(each) for key, each in line.space.items()}


def drawn(
    study: Any, line: Line, settings: Settings, asked: set[int]
) -> list[tuple[int, list[RunSpec]]]:
    """Return the next trials to run: those that were drawn and not told, then new draws.

    asked: trials that this process has run already; what failed there is for the next.
    """
    batch: list[tuple[int, list[RunSpec]]] = []
    for trial in study.get_trials(deepcopy=False, states=(STATE.RUNNING,)):
        if "runs" not in trial.user_attrs:  # a kill cut it off
            study.tell(trial.number, state=STATE.FAIL)
        elif trial.number not in asked and len(batch) < settings.take:
            batch.append((trial.number, specs_of(line, trial.params)))
    while len(batch) < settings.take and (count := counted(study)) < settings.trials:
        seed = np.random.SeedSequence([settings.sampler_seed, count]).generate_state(1)[0]
        study.sampler = SAMPLERS[settings.sampler](int(seed))
        trial = study.ask(dict(line.space))
        try:
            specs = specs_of(line, trial.params)
        except ConfigError as error:
            trial.set_user_attr("refused", str(error))
            study.tell(trial, state=STATE.FAIL)
            continue
        trial.set_user_attr("runs", [spec_hash(spec.resolved()) for spec in specs])
        batch.append((trial.number, specs))
    return batch


def counted(study: Any) -> int:
    """Return how many trials count as drawn: all but those that a kill cut off."""
    trials = study.get_trials(deepcopy=False)
    return sum(each.state != STATE.FAIL or "refused" in each.user_attrs for each in trials)


def told(study: Any, number: int, specs: Sequence[RunSpec], root: Path) -> None:
    """Tell the study what a trial came to; of a failed one nothing, so that the same line tries it again."""
    status, valid, _, _ = came_to([find(root, spec.resolved()) for spec in specs])
    if status == "diverged":
        worst = -math.inf if study.direction.name == "MAXIMIZE" else math.inf
        study.tell(number, worst)
    elif valid is not None:
        study.tell(number, valid)


def progress(study: Any, trials: int) -> str:
    """Return how far a search is, and its best so far."""
    ended = ranked(study)
    best = f", best {ended[0].value:.4g} (trial {ended[0].number})" if ended else ""
    return f"{len(ended)} of {trials} trials{best}"
