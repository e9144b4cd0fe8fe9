"""The host's loop around a program: advance, evaluate, stop, and say what became of the run.

It touches neither disk nor console; what it sees goes to `record`.
"""

import dataclasses
import itertools
import math
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Tree
from lstm_research.program import Budget, Program, State
from lstm_research.tasks.task import Success, Task


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a run; `metrics` holds the splits valid and test at the best step."""

    status: str  # finished | solved | diverged
    steps: int
    solved_at: int | None
    diverged_at: int | None
    best_step: int | None
    metric: str
    goal: str
    chance: dict[str, float]
    success: Success | None
    metrics: dict[str, dict[str, float]]
    parameters: int
    recurrent_parameters: int
    step_ms: float | None
    compile_s: float
    train_s: float
    params: Tree = dataclasses.field(default=None, repr=False, compare=False)  # at the best step
    rest: Tree = dataclasses.field(default=None, repr=False, compare=False)  # beside the parameters


class Track(NamedTuple):
    """The best evaluation so far."""

    step: int | None = None
    metrics: dict[str, float] | None = None
    model: tuple[Tree, Tree] | None = None  # parameters and rest
    stale: int = 0  # evaluations since

    def after(self, task: Task, step: int, found: dict[str, float], state: State) -> "Track":
        """Return the track with one more evaluation."""
        sign = 1 if task.goal == "max" else -1
        if self.metrics is None or sign * found[task.metric] > sign * self.metrics[task.metric]:
            return Track(step, found, jax.tree.map(jnp.copy, (state.params, state.rest)))
        return self._replace(stale=self.stale + 1)


class Ends(NamedTuple):
    """The steps at which a run stopped, first met the task's success, and turned non-finite."""

    at: int = 0
    solved: int | None = None
    diverged: int | None = None

    def after(self, task: Task, found: dict[str, float]) -> "Ends":
        """Return the ends once these validation metrics are known."""
        if not math.isfinite(found[task.metric]):
            return self._replace(diverged=self.at)
        if self.solved is None and task.success is not None and task.success.holds(found):
            return self._replace(solved=self.at)
        return self

    def reached(self, budget: Budget, stale: int) -> bool:
        """Say whether the run stops here."""
        over = self.at >= budget.steps or self.diverged is not None
        enough = self.solved is not None and budget.stop_when_solved
        stuck = budget.patience is not None and stale >= budget.patience
        return over or enough or stuck


def fit(
    program: Program,
    seed: int,
    *,
    record: Callable[[dict], None] = lambda event: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Result:
    """Train one run and return its result at the best validation.

    Stops when validation meets the task's success, after `patience` evaluations without a better
    one, at the end of the budget, or at the first non-finite loss, which makes the run `diverged`:
    a result, not an error. `record` gets one dict for each call and each evaluation.
    """
    task, budget = program.task, program.budget
    fresh = "advance" not in program.__dict__
    advance, state = program.advance, program.begin(jnp.int32(seed))
    started, paces, track, ends = clock(), [], Track(), Ends()
    while not ends.reached(budget, track.stale):
        due = budget.evaluate_every - ends.at % budget.evaluate_every
        count = min(program.call, budget.steps - ends.at, due)
        before = clock()
        state, losses, norms = advance(state, task.data, jnp.int32(seed), jnp.int32(count))
        values = np.asarray(losses)[:count].tolist()
        paces.append((clock() - before) / count)
        good = list(itertools.takewhile(math.isfinite, values))
        at = ends.at + len(good)
        ends = ends._replace(at=at, diverged=at if len(good) < count else None)
        mean = statistics.fmean(good) if good else math.nan
        norm = float(norms[max(len(good) - 1, 0)])
        record({"step": at, "split": "train", "loss": mean, "gradient_norm": norm})
        if ends.diverged is None and (count == due or at == budget.steps):
            found = program.evaluate(state.params, state.rest, "valid")
            record({"step": at, "split": "valid", **found})
            track = track.after(task, at, found, state)
            ends = ends.after(task, found)
    return conclude(program, ends, track, clock() - started, paces, fresh)


def conclude(
    program: Program, ends: Ends, track: Track, seconds: float, paces: list[float], fresh: bool
) -> Result:
    """Return the result of a run that has stopped; a diverged one has no test metrics."""
    task, ended = program.task, {}
    if ends.diverged is None and track.metrics is not None and track.model is not None:
        ended = {"valid": track.metrics, "test": program.evaluate(*track.model, "test")}
    solved = "solved" if ends.solved is not None else "finished"
    return Result(
        status=solved if ends.diverged is None else "diverged",
        steps=ends.at,
        solved_at=ends.solved,
        diverged_at=ends.diverged,
        best_step=track.step,
        metric=task.metric,
        goal=task.goal,
        chance=dict(task.chance),
        success=task.success,
        metrics=ended,
        parameters=program.parameters,
        recurrent_parameters=program.recurrent_parameters,
        step_ms=1e3 * statistics.median(paces[1:] or paces),
        compile_s=program.compile_s if fresh else 0.0,
        train_s=seconds,
        params=track.model[0] if track.model else None,
        rest=track.model[1] if track.model else None,
    )
