"""The launch of many runs from the command line, and the same as a Hydra launcher: `packed`.

`lstm-research run -m` comes here without a detour. `hydra/launcher=packed` does the same for whoever
drives Hydra: the jobs of a sweep are composed by Hydra, run as packs, and then handed to Hydra's own
`run_job` in their order, which finds each ended in the store; folders, callbacks and `.hydra` are its.
"""

import sys
import types
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, configure_log, run_job, setup_globals
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from lstm_research import label, ledger, local, store, sweep, trackers
from lstm_research.config import ConfigError, RunSpec, named
from lstm_research.plan import CHOICES
from lstm_research.progress import display
from lstm_research.run import Outcome
from lstm_research.spelling import unknown


class RunFailed(CompactHydraException):
    """A run of a sweep failed; Hydra prints the message and no traceback."""


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


class PackedLauncher(Launcher):
    """Run the jobs of a sweep as packs on this machine."""

    def __init__(self) -> None:
        self.config: DictConfig | None = None
        self.context: HydraContext | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra gives every launcher; the task is always a run of this package."""
        self.config, self.context = config, hydra_context

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs and return what Hydra wants to know of each, in their order."""
        assert self.config is not None and self.context is not None
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        configs = [
            self.composed(list(overrides), initial_job_idx + at)
            for at, overrides in enumerate(job_overrides)
        ]
        data = [sweep.plain(config) for config in configs]
        specs = [sweep.built(each) for each in data]
        if specs:
            launch(specs, settings(data[0]), data[0]["tracker"])
        return [
            run_job(
                hydra_context=self.context,
                task_function=partial(answer, spec, Path(each["runs"])),
                config=config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            for config, each, spec in zip(configs, data, specs, strict=True)
        ]

    def composed(self, overrides: list[str], number: int) -> DictConfig:
        """Return the config of one job."""
        assert self.config is not None and self.context is not None
        config = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return config


def answer(spec: RunSpec, root: Path, config: Any = None) -> float | None:
    """Return the validation metric of a run in the store, None for a diverged one; or raise RunFailed."""
    record = store.load_run(store.find(root, spec.resolved()))
    if record.result is None or record.status == "failed":
        why = (record.result or {}).get("error") or record.status
        raise RunFailed(f"{title(spec)}: {why} ({record.path})")
    return (record.result["metrics"].get("valid") or {}).get(record.result["metric"])


def register() -> None:
    """Make the launcher known to Hydra, which looks for plugins in the package `hydra_plugins` alone."""
    place = sweep.PACKED.rpartition(".")[0]
    if place in sys.modules:
        return
    try:
        import hydra_plugins  # pyright: ignore[reportMissingImports]  # noqa: F401 (others' plugins)
    except ImportError:
        sys.modules["hydra_plugins"] = types.ModuleType("hydra_plugins")
        sys.modules["hydra_plugins"].__path__ = []
    module = types.ModuleType(place)
    module.PackedLauncher = PackedLauncher  # pyright: ignore[reportAttributeAccessIssue]
    PackedLauncher.__module__ = place
    sys.modules[place] = module
    Plugins.instance().register(PackedLauncher)
