"""One run from its spec to its folder: the place where a fault becomes a result with a status."""

import dataclasses
import traceback
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx

from lstm_research import store
from lstm_research.config import RunSpec
from lstm_research.interop import safetensors
from lstm_research.network import Network, NetworkSpec
from lstm_research.optimizer import OptimizerSpec
from lstm_research.program import Budget, Program
from lstm_research.tasks.task import Task
from lstm_research.train import Result
from lstm_research.train import fit as train
from lstm_research.wrappers import wrapped


class Outcome(NamedTuple):
    """What a run came to: a status of the store, its folder, whether it was run now, and its fault."""

    status: str
    path: Path
    ran: bool
    error: str | None = None


class Signature(NamedTuple):
    """What makes a program: everything of a spec but its seed and its study."""

    cell: Any
    network: NetworkSpec
    task: Any
    optimizer: OptimizerSpec
    budget: Budget


def signature(spec: RunSpec) -> Signature:
    """Return the part of a spec that runs must share to share a compilation; cell: in its wrappers."""
    cell = wrapped(spec.cell, spec.wrap)
    return Signature(cell, spec.network, spec.task, spec.optimizer, spec.budget)


@lru_cache(maxsize=8)
def task(spec: Any) -> Task:
    """Return the built task of a spec, one for all its programs."""
    return spec.build()


@lru_cache(maxsize=4)
def program(static: Signature) -> Program:
    """Return the compiled training of a signature; the seeds of a sweep share it."""
    return Program(static.cell, static.network, task(static.task), static.optimizer, static.budget)


def fit(spec: RunSpec, record: Callable[[dict], None] = lambda event: None) -> Result:
    """Train one spec, alone, and return its result; nothing is written."""
    return train(program(signature(spec)), spec.seed, record=record)


def network(spec: RunSpec, result: Result) -> Network:
    """Return the network that gave the test metrics of a result."""
    return nnx.merge(program(signature(spec)).graph, result.params, result.rest)


def run(
    spec: RunSpec,
    root: Path,
    *,
    force: bool = False,
    listeners: Iterable[Any] = (),
    watch: Callable[[dict], None] = lambda event: None,
) -> Outcome:
    """Run a spec into the store unless it is there already; a fault of any kind ends as `failed`.

    Raises only what is nobody's result: KeyboardInterrupt, a folder that another process holds or
    that cannot be written.
    """
    resolved = spec.resolved()
    if not force and store.done(root, resolved):
        path = store.find(root, resolved)
        return Outcome(store.status(path), path, False)
    with store.open_run(root, resolved, force=force, listeners=tuple(listeners)) as folder:

        def record(event: dict) -> None:
            folder.log(event)
            watch(event)

        try:
            result = fit(spec, record)
            weights = safetensors.encode(network(spec, result)) if result.metrics else None
        except Exception as error:
            (folder.path / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
            said = f"{type(error).__name__}: {error}"
            folder.finish({"status": "failed", "error": said})
            return Outcome("failed", folder.path, True, said)
        if weights is not None:
            folder.keep(store.WEIGHTS, weights)
        folder.finish(outcome(result))
    return Outcome(result.status, folder.path, True)


def outcome(result: Result) -> dict[str, Any]:
    """Return a result as the store keeps it."""
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    success = None if result.success is None else result.success._asdict()
    return {name: value for name, value in fields.items() if name not in ("params", "rest")} | {
        "success": success,
        "error": None,
    }
