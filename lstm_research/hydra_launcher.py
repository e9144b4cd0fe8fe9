"""The launch of many runs as a launcher of Hydra: `hydra/launcher=packed`.

The jobs of a sweep are composed by Hydra, run as packs, and then handed to Hydra's own `run_job` in their
order, which finds each ended in the store; folders, callbacks and `.hydra` are its.
"""

import sys
import types
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, configure_log, run_job, setup_globals
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from lstm_research import store, sweep
from lstm_research.compose import PACKED, plain
from lstm_research.config import RunSpec
from lstm_research.launcher import launch, settings, title


class RunFailed(CompactHydraException):
    """A run of a sweep failed; Hydra prints the message and no traceback."""


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
        data = [plain(config) for config in configs]
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
    place = PACKED.rpartition(".")[0]
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
