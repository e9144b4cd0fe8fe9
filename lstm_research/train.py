"""The host's loop around a pack: advance, evaluate, stop, take in the next run, and say what became of each.

It touches neither disk nor console; what it sees goes to `record` and `end` of each run.
"""

import collections
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache
from typing import Any

import jax
import numpy as np

from lstm_research.axes import Tree
from lstm_research.life import Life, Result, Run, conclude
from lstm_research.pack import Pack, split
from lstm_research.program import Program, State


def train(pack: Pack, runs: Iterable[Run], clock: Callable[[], float] = time.perf_counter) -> None:
    """Train runs of one program until none is left; each leaves through its `end`.

    A run stops when validation meets the task's success, after `patience` evaluations without a better
    one, at the end of the budget, or at the first non-finite loss, which makes it `diverged`: a result,
    not an error. The next run takes its slot at once.
    """
    slots, fresh = Slots(pack), "advance" not in pack.__dict__
    with ThreadPoolExecutor(1) as executor:
        if fresh:  # the pieces of a start compile beside the steps, and are kept
            executor.submit(elsewhere(pack.begin), pack.program.member(0))
        pack.advance  # noqa: B018 (compiles before the clock runs)
        waiting = ahead(pack, iter(runs), executor)
        while slots.fill(waiting):
            slots.advance(clock)
            slots.validate()
            for life, test in slots.over():
                life.run.end(conclude(pack.program, life, test, pack.compile_s if fresh else 0.0))
                fresh = False


def ahead(pack: Pack, runs: Iterator[Run], executor: Executor) -> Iterator[tuple[Run, State]]:
    """Yield runs with their states at step 0; another thread takes them in and draws, a width ahead."""

    def begun(_: None) -> tuple[Run, State] | None:
        if (run := next(runs, None)) is None:
            return None
        return run, jax.tree.map(np.asarray, pack.begin(run.member))

    there = elsewhere(begun)
    queue = collections.deque(executor.submit(there, None) for _ in range(pack.width + 1))
    while (pair := queue.popleft().result()) is not None:
        queue.append(executor.submit(there, None))
        yield pair


def elsewhere(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function for another thread, where numbers are as wide as in this one."""
    double = jax.config.jax_enable_x64  # of this thread  # pyright: ignore[reportAttributeAccessIssue]

    def same(given: Any) -> Any:
        with jax.enable_x64(double):
            return function(given)

    return same


class Slots:
    """The places of a pack: who is in which, and the state of all of them on the devices."""

    def __init__(self, pack: Pack) -> None:
        self.pack, self.program = pack, pack.program
        self.lives: dict[int, Life] = {}
        self.state: Tree = None
        self.first = True

    def fill(self, waiting: Iterator[tuple[Run, State]]) -> bool:
        """Put waiting runs into empty slots, level the devices; say whether anybody is in one."""
        fresh: dict[int, State] = {}
        while len(self.lives) < self.pack.width and (pair := next(waiting, None)) is not None:
            k = self.roomiest()
            self.lives[k], fresh[k] = Life(pair[0]), pair[1]
        moved = {} if fresh else self.levelled()
        if fresh or moved:
            self.put(fresh, moved)
        return bool(self.lives)

    def device(self, k: int) -> int:
        """Return the number of the device that computes a slot."""
        return k * len(self.pack.devices) // self.pack.width

    def busy(self, device: int) -> int:
        """Return how many runs a device has."""
        return sum(self.device(k) == device for k in self.lives)

    def roomiest(self) -> int:
        """Return the empty slot on the device that has the fewest runs."""
        empty = [k for k in range(self.pack.width) if k not in self.lives]
        return min(empty, key=lambda k: (self.busy(self.device(k)), k))

    def levelled(self) -> dict[int, int]:
        """Move runs from a device that has two more than another; return new slot -> old slot."""
        moved: dict[int, int] = {}
        while self.lives:
            k = self.roomiest() if len(self.lives) < self.pack.width else 0
            fullest = max(self.lives, key=lambda k: self.busy(self.device(k)))
            if self.busy(self.device(fullest)) < self.busy(self.device(k)) + 2:
                break
            self.lives[k] = self.lives.pop(fullest)
            moved[k] = moved.pop(fullest, fullest)
        return moved

    def put(self, fresh: dict[int, State], moved: dict[int, int]) -> None:
        """Write states into their slots."""
        if self.state is None:
            like = next(iter(fresh.values()))
            host = jax.tree.map(lambda x: np.zeros((self.pack.width, *x.shape), x.dtype), like)
        else:
            host = jax.tree.map(np.array, self.state)
        old = {k: jax.tree.map(lambda x, j=j: x[j].copy(), host) for k, j in moved.items()}
        for k, state in {**old, **fresh}.items():
            jax.tree.map(lambda all, x, k=k: all.__setitem__(k, x), host, state)
        self.state = self.pack.place(host)

    def vector(self, of: dict[int, Any], dtype: Any) -> np.ndarray:
        """Return a number a slot, 0 where nothing is given."""
        values = np.zeros(self.pack.width, dtype)
        for k, value in of.items():
            values[k] = value
        return values

    def advance(self, clock: Callable[[], float]) -> None:
        """Take each run to its next stop, at most `call` steps on."""
        counts = {k: life.due(self.program) for k, life in self.lives.items()}
        seeds = self.vector({k: life.run.member.seed for k, life in self.lives.items()}, np.int32)
        given = self.pack.place((seeds, self.vector(counts, np.int32)))
        before = clock()
        self.state, losses, norms = self.pack.advance(self.state, given, self.pack.data)
        self.pack.under_way.set()
        losses, norms = np.asarray(losses), np.asarray(norms)
        seconds, total = clock() - before, sum(counts.values())
        devices = len({self.device(k) for k in counts})
        self.pack.busy_s += seconds * devices / len(self.pack.devices)
        pace = seconds * devices / total
        for k, life in self.lives.items():
            life.paces.append(pace)
            life.seconds += seconds * counts[k] / total
            life.advanced(counts[k], losses[k], norms[k])

    def validate(self) -> None:
        """Evaluate the runs that are due and keep the best of each."""
        due = {k: life for k, life in self.lives.items() if life.evaluates(self.program.budget)}
        if not due:
            return
        model = (self.state.params, self.state.rest)
        found = self.pack.evaluate(model, self.vector(dict.fromkeys(due, True), bool), "valid")
        host = cache(lambda: jax.tree.map(np.asarray, model))
        for k, life in due.items():
            mine = {name: values[k] for name, values in found.items()}
            best = lambda k=k: jax.tree.map(lambda leaf: leaf[k].copy(), host())
            life.evaluated(self.program.task, mine, best)

    def over(self) -> list[tuple[Life, dict[str, float] | None]]:
        """Let the runs that have ended leave; return each with its test metrics, None if diverged."""
        budget = self.program.budget
        ended = {k: x for k, x in self.lives.items() if x.ends.reached(budget, x.track.stale)}
        sound = {k: x.track.model for k, x in ended.items() if x.ends.diverged is None}
        found: dict[str, list] = {}
        if sound:
            some = next(iter(sound.values()))
            model = jax.tree.map(lambda x: np.zeros((self.pack.width, *x.shape), x.dtype), some)
            for k, best in sound.items():
                jax.tree.map(lambda all, x, k=k: all.__setitem__(k, x), model, best)
            due = self.vector(dict.fromkeys(sound, True), bool)
            found = self.pack.evaluate(self.pack.place(model), due, "test")
        tests = {k: {name: values[k] for name, values in found.items()} for k in sound}
        return [(self.lives.pop(k), tests.get(k)) for k in ended]


def fit(
    program: Program,
    seed: int,
    *,
    record: Callable[[dict], None] = lambda event: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Result:
    """Train one run and return its result at the best validation: a pack of one."""
    ended: list[Result] = []
    train(one(program), [Run(program.member(seed), record, ended.append)], clock)
    return ended[0]


def one(program: Program) -> Pack:
    """Return the pack of a program for one run at a time, made once; devices share its batch."""
    if "alone" not in program.__dict__:
        devices = jax.devices()
        program.__dict__["alone"] = Pack(program, 1, shares=split(program, devices)[0])
    return program.__dict__["alone"]
