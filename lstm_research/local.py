"""Many runs on this machine: packed in one worker process, whose death costs nobody else.

The worker owns the devices (on a CPU each core is one); this process only listens. Runs that a worker
held when it died are tried once more by the next, one at a time, so that a run which kills its process
takes no other with it; it stays unfinished in the store.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from lstm_research import start, store
from lstm_research.config import RunSpec
from lstm_research.pack import Pack
from lstm_research.plan import Choice, Group, packed, plan, told
from lstm_research.run import Hooks, Outcome, Shelf, found, run
from lstm_research.signature import member


class Settings(NamedTuple):
    """How a launch is carried out."""

    root: Path
    force: bool = False
    workers: int | None = None  # devices in use on a CPU; None: a core each
    choice: Choice = "auto"  # superset or a program a row


class Worker(NamedTuple):
    """A process that runs what comes down its pipe."""

    process: Any
    pipe: Connection


def hire(fork: bool = True) -> Worker:
    """Start a worker: forked while that is safe, which saves it the imports, else spawned.

    It waits for its first message before it touches a device.
    """
    safe = fork and not start.begun() and threading.active_count() == 1
    context: Any = multiprocessing.get_context("fork" if safe else "spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, ours if safe else None), daemon=True)
    process.start()
    theirs.close()
    return Worker(process, ours)


def launch(
    specs: Sequence[RunSpec],
    settings: Settings,
    hooks: Hooks = Hooks(),  # noqa: B008 (a tuple of functions, never changed)
    *,
    listeners: Iterable[Any] = (),
    worker: Worker | None = None,
) -> None:
    """Run every spec into the store that is not there; return when all have ended, or cannot.

    worker: one hired before, for instance before this process had threads.
    """
    ears, first = tuple(listeners), {}
    for which, spec in enumerate(specs):
        path = store.find(settings.root, spec.resolved())
        twin = first.setdefault(path, which)
        if twin != which or settings.force:
            continue
        if (before := found(spec, settings.root)) is not None:
            hooks.end(which, before)
            first[path] = -1
    todo = [which for which in first.values() if which >= 0]
    try:
        if len(todo) == 1:
            start.cores(settings.workers)
            start.prepare()
            hooks.start(todo[0])
            watch = lambda event: hooks.event(todo[0], event)
            spec = specs[todo[0]]
            hooks.end(
                todo[0], run(spec, settings.root, force=settings.force, listeners=ears, watch=watch)
            )
        elif todo:
            before = len(first) - len(todo)
            supervise(specs, todo, settings, hooks, ears, worker or hire(), before)
    finally:
        if worker is not None:
            worker.pipe.close()


def lost(code: int | None) -> str:
    """Say why a run has no result whose worker is gone; code: with what the process ended."""
    name = signal.Signals(-code).name if code and code < 0 else f"exit code {code}"
    return f"its worker died ({name}); the same line runs it again"


def supervise(
    specs: Sequence[RunSpec],
    todo: list[int],
    settings: Settings,
    hooks: Hooks,
    ears: tuple[Any, ...],
    worker: Worker,
    before: int,
) -> None:
    """Have workers run what is to do; after a death, what it held alone and the rest as before."""
    left, batches = set(todo), [list(todo)]
    while batches:
        batch = [which for which in batches.pop(0) if which in left]
        if not batch:
            continue
        worker.pipe.send(
            (settings, [(which, specs[which]) for which in batch], (len(specs), before))
        )
        held = listen(worker.pipe, left, hooks, ears)
        if held is None:  # all have ended
            continue
        worker.process.join()
        why = lost(worker.process.exitcode)
        for which in sorted(held):  # its last word may have been lost, its result is not
            if (ended := found(specs[which], settings.root)) is not None:
                left.discard(which)
                hooks.end(which, ended._replace(ran=True))
        if len(batch) == 1 or not held:
            for which in left & set(batch):
                left.discard(which)
                hooks.end(which, Outcome("unfinished", settings.root, True, why))
        else:
            rest = [which for which in batch if which in left - held]
            batches = [[which] for which in sorted(held & left)] + [rest] + batches
        worker = hire(fork=False)
    worker.pipe.close()


def listen(
    pipe: Connection, left: set[int], hooks: Hooks, ears: tuple[Any, ...]
) -> set[int] | None:
    """Pass on what a worker says until it is done (None) or dies: the runs that it held."""
    held: set[int] = set()
    while True:
        try:
            kind, *said = pipe.recv()
        except (EOFError, ConnectionResetError):
            return held & left
        if kind == "done":
            return None
        if kind == "fault":
            raise store.StoreError(said[0]) if said[1] else start.BadJaxlib(said[0])
        if kind == "start":
            held.add(said[0])
            hooks.start(*said)
        elif kind == "event":
            hooks.event(*said)
        elif kind == "end":
            left.discard(said[0])
            hooks.end(*said)
        elif kind == "tell":
            hooks.tell(*said)
        else:
            for ear in ears:
                getattr(ear, kind)(*said)


class Voice:
    """The worker's end of the pipe; threads take turns. Also the listener of its store."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe, self.turn = pipe, threading.Lock()

    def say(self, *message: Any) -> None:
        """Send a message to the parent; where it is gone, so are we: the store bears any death."""
        with self.turn:
            try:
                self.pipe.send(message)
            except OSError:
                os._exit(1)

    def started(self, path: Path) -> None:
        """Say that a run has its folder."""
        self.say("started", path)

    def finished(self, path: Path) -> None:
        """Say that a run has its result."""
        self.say("finished", path)


def serve(pipe: Connection, theirs: Connection | None) -> None:
    """Run what comes down the pipe until it closes: the life of a worker."""
    if theirs is not None:
        theirs.close()  # a copy of the parent's end, which would keep the pipe open for ever
    voice = Voice(pipe)
    try:
        while True:
            settings, jobs, counts = pipe.recv()
            start.cores(settings.workers)
            try:
                start.keep()
                work(
                    [spec for _, spec in jobs],
                    [which for which, _ in jobs],
                    settings,
                    counts,
                    voice,
                )
                voice.say("done")
            except (start.BadJaxlib, store.StoreError) as error:
                voice.say("fault", str(error), isinstance(error, store.StoreError))
    except (EOFError, OSError, KeyboardInterrupt):
        os._exit(0)  # whatever is under way is unfinished, and the store bears that


def work(
    specs: Sequence[RunSpec],
    names: Sequence[int],
    settings: Settings,
    counts: tuple[int, int],
    voice: Voice,
) -> None:
    """Plan runs, compile their programs side by side, and train them one program after another.

    counts: the jobs of the whole sweep, and how many of them were there already. Raises BadJaxlib before the
    first run begins, where the device computes wrong numbers: that is found out meanwhile.
    """
    import jax

    begun, waited, packs = time.perf_counter(), 0.0, []
    cores = len(jax.devices())
    with ThreadPoolExecutor(cores + 1) as threads, contextlib.ExitStack() as end:
        sound = threads.submit(start.distrust)
        groups = plan(specs, cores, settings.choice)
        if len(specs) > 1:
            for line in told(groups, *counts, cores):
                voice.say("tell", line)
        going = threading.Event()
        end.callback(going.set)  # however it ends: nobody waits for what will not happen
        ready = [
            threads.submit(prepared, group, specs, going, group is groups[0]) for group in groups
        ]
        for group, future in zip(groups, ready, strict=True):
            shelf = shelved(group, specs, names, settings, voice)
            at = time.perf_counter()
            make = lambda future=future: future.result()
            _wait(future)
            sound.result()
            waited += time.perf_counter() - at
            shelf.fill(make)
            going.set()
            packs += [] if future.exception() else [future.result()]
    if len(specs) > 1:
        voice.say("tell", summary(len(specs), time.perf_counter() - begun, waited, packs))


def prepared(group: Group, specs: Sequence[RunSpec], going: threading.Event, first: bool) -> Pack:
    """Compile the programs of a group; all but the first wait for it to train: one thread has Python."""
    if not first:
        going.wait()
    return packed(group, going).prepare(member(specs[k], group.over) for k in group.which)


def _wait(future: Future) -> None:
    future.exception()  # returns it, or None, once the future has ended


def shelved(
    group: Group, specs: Sequence[RunSpec], names: Sequence[int], settings: Settings, voice: Voice
) -> Shelf:
    """Return the folders of a group, whose events go to the parent under the names of the runs."""
    mine = [names[k] for k in group.which]
    hooks = Hooks(
        lambda k: voice.say("start", mine[k]),
        lambda k, event: voice.say("event", mine[k], event),
        lambda k, outcome: voice.say("end", mine[k], outcome),
    )
    chosen = [specs[k] for k in group.which]
    return Shelf(chosen, settings.root, settings.force, (voice,), hooks, group.over)


def summary(runs: int, seconds: float, waited: float, packs: Sequence[Pack]) -> str:
    """Return how fast it went: runs a second, the share of time that waited for XLA, device use."""
    busy = sum(pack.busy_s for pack in packs)
    return (
        f"{runs} runs in {seconds:.1f} s: {runs / seconds:.2g} runs/s, "
        f"{100 * waited / seconds:.0f} % of it waiting for compilations, "
        f"devices computing {100 * busy / seconds:.0f} %"
    )
