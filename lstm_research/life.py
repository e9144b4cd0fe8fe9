"""What becomes of a run while it trains: its ends, its best evaluation, and the result it leaves with.

Nothing here touches a device; `train.py` moves the runs of a pack through it.
"""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lstm_research.axes import Tree
from lstm_research.program import Budget, Member, Program
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
    step_ms: float | None  # of one device for one step of one run
    compile_s: float
    train_s: float  # its share of the time of its pack
    params: Tree = dataclasses.field(default=None, repr=False, compare=False)  # at the best step
    rest: Tree = dataclasses.field(default=None, repr=False, compare=False)  # beside the parameters


class Track(NamedTuple):
    """The best evaluation so far."""

    step: int | None = None
    metrics: dict[str, float] | None = None
    model: tuple[Tree, Tree] | None = None  # parameters and rest
    stale: int = 0  # evaluations since

    def after(
        self, task: Task, step: int, found: dict[str, float], model: Callable[[], tuple[Tree, Tree]]
    ) -> "Track":
        """Return the track with one more evaluation; model: asked for where it is the best."""
        sign = 1 if task.goal == "max" else -1
        if self.metrics is None or sign * found[task.metric] > sign * self.metrics[task.metric]:
            return Track(step, found, model())
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


class Run(NamedTuple):
    """A run as the loop sees it: what it brings, and who hears of it."""

    member: Member
    record: Callable[[dict], None] = lambda event: None  # one dict a call and an evaluation
    end: Callable[[Result], None] = lambda result: None


@dataclasses.dataclass
class Life:
    """A run in its slot of a pack."""

    run: Run
    ends: Ends = Ends()
    track: Track = Track()
    paces: list[float] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def due(self, program: Program) -> int:
        """Return how many steps it takes in the next call."""
        budget, at = program.budget, self.ends.at
        left = budget.evaluate_every - at % budget.evaluate_every
        return min(program.call, budget.steps - at, left)

    def advanced(self, count: int, losses: np.ndarray, norms: np.ndarray) -> None:
        """Take in the losses of a call of `count` steps."""
        good = list(itertools.takewhile(math.isfinite, losses[:count].tolist()))
        at = self.ends.at + len(good)
        self.ends = self.ends._replace(at=at, diverged=at if len(good) < count else None)
        mean = statistics.fmean(good) if good else math.nan
        norm = float(norms[max(len(good) - 1, 0)])
        self.run.record({"step": at, "split": "train", "loss": mean, "gradient_norm": norm})

    def evaluates(self, budget: Budget) -> bool:
        """Say whether this is a step at which it is evaluated."""
        at = self.ends.at
        return self.ends.diverged is None and (
            at % budget.evaluate_every == 0 or at == budget.steps
        )

    def evaluated(
        self, task: Task, found: dict[str, float], model: Callable[[], tuple[Tree, Tree]]
    ) -> None:
        """Take in a validation."""
        self.run.record({"step": self.ends.at, "split": "valid", **found})
        self.track = self.track.after(task, self.ends.at, found, model)
        self.ends = self.ends.after(task, found)


def conclude(
    program: Program, life: Life, test: dict[str, float] | None, compile_s: float
) -> Result:
    """Return the result of a run that has stopped; a diverged one has no test metrics."""
    ends, track = life.ends, life.track
    task, ended = program.task, {}
    if test is not None and track.metrics is not None:
        ended = {"valid": track.metrics, "test": test}
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
        step_ms=1e3 * statistics.median(life.paces[1:] or life.paces),
        compile_s=compile_s,
        train_s=life.seconds,
        params=track.model[0] if track.model else None,
        rest=track.model[1] if track.model else None,
    )
