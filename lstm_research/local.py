"""Many runs on the cores of this machine: a process a core, pinned to it, fed one run at a time.

Two cores inside one small matrix product are no faster than one, so a core is given whole runs. A
worker keeps to one program while it can, because the seeds of a program share its compilation. A
worker that dies costs the run at hand, which stays unfinished in the store; the others go on.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import jax

from lstm_research import start
from lstm_research.config import RunSpec
from lstm_research.run import Outcome, Signature, run, signature


class Hooks(NamedTuple):
    """What the parent does when a worker tells it something; `slot` is the worker's number."""

    start: Callable[[int, RunSpec], None]
    event: Callable[[int, dict], None]
    end: Callable[[int, RunSpec, Outcome], None]


class Relay:
    """A listener of the store in the worker that sends what it hears to the parent."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def started(self, path: Path) -> None:
        """Say that a run has its folder."""
        self.pipe.send(("started", path))

    def finished(self, path: Path) -> None:
        """Say that a run has its result."""
        self.pipe.send(("finished", path))


def cores() -> list[int]:
    """Return the processors that this process may use; one, without a name, where that is unknown."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [-1]


def slots(jobs: int, workers: int | None = None) -> int:
    """Return how many runs go side by side: one a core on a CPU, one where there is an accelerator."""
    most = len(cores()) if jax.default_backend() == "cpu" else 1
    return max(1, min(jobs, most if workers is None else workers))


def launch(
    specs: Sequence[RunSpec],
    root: Path,
    hooks: Hooks,
    *,
    workers: int | None = None,
    force: bool = False,
    listeners: Iterable[Any] = (),
) -> None:
    """Run every spec into the store; return when all have ended, or their workers have."""
    count, ears = slots(len(specs), workers), tuple(listeners)
    start.prepare()
    if count == 1:
        for spec in specs:
            hooks.start(0, spec)
            hooks.end(
                0,
                spec,
                run(spec, root, force=force, listeners=ears, watch=lambda e: hooks.event(0, e)),
            )
        return
    waiting: dict[Signature, list[RunSpec]] = {}
    for spec in specs:
        waiting.setdefault(signature(spec), []).append(spec)
    oversee([hire(slot, root, force) for slot in range(count)], waiting, hooks, ears)


def hire(slot: int, root: Path, force: bool) -> Connection:
    """Start the worker of a slot and return the parent's end of its pipe."""
    ours, theirs = multiprocessing.Pipe()
    places = cores()
    context = multiprocessing.get_context("spawn")
    context.Process(
        target=serve, args=(theirs, places[slot % len(places)], root, force), daemon=True
    ).start()
    theirs.close()
    return ours


def serve(pipe: Connection, core: int, root: Path, force: bool) -> None:
    """Run what comes down the pipe until it closes: the life of a worker."""
    if core >= 0:
        os.sched_setaffinity(0, {core})  # before JAX counts its threads
    try:
        start.prepare()
        while (spec := pipe.recv()) is not None:
            try:
                told = run(
                    spec,
                    root,
                    force=force,
                    listeners=[Relay(pipe)],
                    watch=lambda event: pipe.send(("event", event)),
                )
            except (
                Exception
            ) as error:  # the folder is held or cannot be written: no result, a reason
                told = Outcome("unfinished", root, True, str(error))
            pipe.send(("end", told))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return


LOST = "its worker died; the same line runs it again"


def oversee(
    pipes: list[Connection],
    waiting: dict[Signature, list[RunSpec]],
    hooks: Hooks,
    ears: tuple[Any, ...],
) -> None:
    """Feed the workers and pass on what they say, until nothing waits and nobody works."""
    busy: dict[Connection, RunSpec] = {}
    taken: set[Signature] = set()
    last: dict[Connection, Signature] = {}

    def feed(pipe: Connection) -> None:
        if not waiting:
            pipe.close()
            return
        busy[pipe] = spec = choose(waiting, taken, last.get(pipe))
        last[pipe] = signature(spec)
        hooks.start(pipes.index(pipe), spec)
        pipe.send(spec)

    for pipe in pipes:
        feed(pipe)
    while busy:
        for pipe in wait(list(busy)):
            assert isinstance(pipe, Connection)
            try:
                kind, said = pipe.recv()
            except EOFError:
                lost = Outcome("unfinished", Path(), True, LOST)
                hooks.end(pipes.index(pipe), busy.pop(pipe), lost)
                continue
            if kind == "event":
                hooks.event(pipes.index(pipe), said)
            elif kind == "end":
                hooks.end(pipes.index(pipe), busy.pop(pipe), said)
                feed(pipe)
            else:
                for ear in ears:
                    getattr(ear, kind)(said)


def choose(
    waiting: dict[Signature, list[RunSpec]], taken: set[Signature], last: Signature | None
) -> RunSpec:
    """Take the next run: of the same program, else of one that nobody has, else of the longest
    queue.
    """
    fresh = [key for key in waiting if key not in taken]
    longest = max(waiting, key=lambda key: len(waiting[key]))
    key = last if last in waiting else fresh[0] if fresh else longest
    assert key is not None
    taken.add(key)
    spec = waiting[key].pop(0)
    if not waiting[key]:
        del waiting[key]
    return spec
