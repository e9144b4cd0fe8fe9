"""Runs from their specs to their folders: the place where a fault becomes a result with a status.

A group of runs is trained as a pack, and a run alone is a group of one. Each leaves an ordinary folder,
as if it had been run alone.
"""

import dataclasses
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax import nnx

from lstm_research import store
from lstm_research.config import RunSpec
from lstm_research.gated import Switches
from lstm_research.interop import safetensors
from lstm_research.life import Result, Run
from lstm_research.network import Network, parameters
from lstm_research.pack import Pack
from lstm_research.plan import Choice, packed, plan
from lstm_research.program import Program
from lstm_research.signature import member, network, program, signature
from lstm_research.train import one, train

FULL = "RESOURCE_EXHAUSTED"  # how XLA says that a device has no memory left


class Outcome(NamedTuple):
    """What a run came to: a status of the store, its folder, whether it was run now, and its fault."""

    status: str
    path: Path
    ran: bool
    error: str | None = None


class Hooks(NamedTuple):
    """Who hears of the runs of a group; the first argument says which of its specs it is."""

    start: Callable[[int], None] = lambda which: None
    event: Callable[[int, dict], None] = lambda which, event: None
    end: Callable[[int, Outcome], None] = lambda which, outcome: None
    tell: Callable[[str], None] = lambda line: None  # the plan, and the summary


def fit(spec: RunSpec, record: Callable[[dict], None] = lambda event: None) -> Result:
    """Train one spec, alone, and return its result; nothing is written."""
    made, ended = program(signature(spec)), []
    train(one(made), [Run(member(spec), record, ended.append)])
    return finished(spec, made, ended[0])[0]


def fit_many(
    specs: Sequence[RunSpec],
    record: Callable[[int, dict], None] = lambda which, event: None,
    choice: Choice = "auto",
) -> list[Result]:
    """Train specs, packed, and return their results in order; nothing is written.

    record: gets the place of a run in the list, and its event. choice: "superset" or "rows" for rows of
    switches, "auto" for the cheaper. Uses the devices that JAX has; `start.cores()` before the first
    use of JAX makes each core one.
    """
    results: dict[int, Result] = {}
    for group in plan(specs, len(jax.devices()), choice):
        pack, over = packed(group), group.over

        def entrant(which: int, made: Program = pack.program, over: Switches | None = over) -> Run:
            def end(result: Result) -> None:
                results[which] = finished(specs[which], made, result, over is not None)[0]

            return Run(member(specs[which], over), partial(record, which), end)

        train(pack, map(entrant, group.which))
    return [results[which] for which in range(len(specs))]


def finished(
    spec: RunSpec, made: Program, result: Result, shared: bool = False
) -> tuple[Result, Network | None]:
    """Return a result and its network as if the run had been alone; shared: in a superset.

    A superset has weights that its rows do not own, and its steps cost more than theirs: the counts are
    those of the row, and of its speed nothing is known.
    """
    if result.params is None:
        return result, None
    model = network(spec, made, result.params, result.rest)
    params, rest = nnx.split(model, nnx.Param, nnx.RngState, ...)[1::2]
    result = dataclasses.replace(result, params=params, rest=rest)
    if not shared:
        return result, model
    counts = {"parameters": parameters(model), "recurrent_parameters": parameters(model.layers)}
    return dataclasses.replace(result, step_ms=None, **counts), model


def found(spec: RunSpec, root: Path) -> Outcome | None:
    """Return what a run has come to that needs no more; None: it is to do."""
    resolved = spec.resolved()
    if not store.done(root, resolved):
        return None
    path = store.find(root, resolved)
    return Outcome(store.status(path), path, False)


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
    if not force and (before := found(spec, root)) is not None:
        return before
    ended: list[Outcome] = []
    hooks = Hooks(event=lambda which, event: watch(event), end=lambda which, end: ended.append(end))
    shelf = Shelf([spec], root, force, tuple(listeners), hooks)
    shelf.fill(lambda: one(program(signature(spec))))
    return ended[0]


class Shelf:
    """The folders of the runs of one group, from the opening of the first to the end of the last."""

    def __init__(
        self,
        specs: Sequence[RunSpec],
        root: Path,
        force: bool,
        listeners: tuple[Any, ...],
        hooks: Hooks,
        over: Switches | None = None,
    ) -> None:
        self.specs, self.root, self.force, self.over = specs, root, force, over
        self.listeners, self.hooks = listeners, hooks
        self.waiting = list(range(len(specs)))
        self.open: dict[int, store.RunFolder] = {}
        self.lock = threading.Lock()

    def fill(self, make: Callable[[], Pack]) -> None:
        """Train every run in the pack that `make` builds; whatever goes wrong is what became of them."""
        writing: list[Future] = []
        alone = len(self.specs) == 1
        try:
            with ThreadPoolExecutor(1 if alone else 4) as writers:
                pack = self.guarded(make)
                while pack is not None and self.waiting:
                    pack = self.trained(pack, writers, writing)
                for job in writing:
                    job.result()
        finally:
            for folder in self.open.values():
                folder.close()

    def guarded(self, make: Callable[[], Pack]) -> Pack | None:
        """Build the pack, or let every run fail with the reason."""
        try:
            return make()
        except Exception as error:
            self.fail(error)
            return None

    def trained(
        self, pack: Pack, writers: ThreadPoolExecutor, writing: list[Future]
    ) -> Pack | None:
        """Train what waits; return a narrower pack where memory ran out, else None."""
        try:
            train(pack, self.arrivals(pack.program, writers, writing))
        except store.StoreError:
            raise
        except Exception as error:
            for job in writing:
                job.result()  # what has ended is no part of the fault
            if FULL in str(error) and pack.width > len(pack.devices):
                with self.lock:
                    back, self.open = self.open, {}
                for folder in back.values():
                    folder.close()
                self.waiting = sorted([*back, *self.waiting])
                return Pack(
                    pack.program, pack.width // 2, pack.devices, pack.serial, long=pack.long
                )
            self.fail(error)
        return None

    def arrivals(
        self, made: Program, writers: ThreadPoolExecutor, writing: list[Future]
    ) -> Iterator[Run]:
        """Open the folder of each waiting run and yield it to the trainer."""
        while self.waiting:
            which = self.waiting.pop(0)
            if (folder := self.opened(which)) is None:
                continue

            def record(event: dict, which: int = which, folder: store.RunFolder = folder) -> None:
                folder.log(event)
                self.hooks.event(which, event)

            def end(result: Result, which: int = which) -> None:
                writing.append(writers.submit(self.close, which, made, result))

            yield Run(member(self.specs[which], self.over), record, end)

    def opened(self, which: int) -> store.RunFolder | None:
        """Open a folder; a run of many whose folder cannot be had is left out, with the reason."""
        spec = self.specs[which]
        try:
            folder = store.open_run(
                self.root, spec.resolved(), force=self.force, listeners=self.listeners
            )
        except store.StoreError as error:
            if len(self.specs) == 1:
                raise
            self.hooks.end(which, Outcome("unfinished", self.root, True, str(error)))
            return None
        with self.lock:
            self.open[which] = folder
        self.hooks.start(which)
        return folder

    def close(self, which: int, made: Program, result: Result) -> None:
        """Write weights and result of a run."""
        folder = self.open[which]
        result, model = finished(self.specs[which], made, result, self.over is not None)
        if result.metrics and model is not None:
            folder.keep(store.WEIGHTS, safetensors.encode(model))
        folder.finish(outcome(result))
        with self.lock:
            del self.open[which]
        self.hooks.end(which, Outcome(result.status, folder.path, True))

    def fail(self, error: Exception) -> None:
        """End every run that is open or waiting as failed."""
        said, trace = f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error))
        for which in [*self.open, *self.waiting]:
            folder = self.open.get(which) or self.opened(which)
            if folder is None:
                continue
            (folder.path / "traceback.txt").write_text(trace, encoding="utf-8")
            folder.finish({"status": "failed", "error": said})
            del self.open[which]
            self.hooks.end(which, Outcome("failed", folder.path, True, said))
        self.waiting = []


def outcome(result: Result) -> dict[str, Any]:
    """Return a result as the store keeps it."""
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    success = None if result.success is None else result.success._asdict()
    return {name: value for name, value in fields.items() if name not in ("params", "rest")} | {
        "success": success,
        "error": None,
    }
