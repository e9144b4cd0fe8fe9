"""Periodic functions out of nothing: no input, a wave at the output for as long as asked."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Float, Seed, Tree
from lstm_research.loss import Sum
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.tally import before_error
from lstm_research.tasks.task import Batch, Success, Task, held_out_key

WAVES = ("cosine", "triangle", "rectangle")
TOLERANCE = 0.3  # a larger error is a wrong answer


@dataclass(frozen=True)
class Periodic:
    """Answer with f(t) at step t = 1, 2, ...; the input is always zero.

    cosine     f(t) = (1 - cos(2 pi t / F)) / 2
    triangle   f(t) = 1 - |1 - 2 (t mod F) / F|
    rectangle  f(t) = 1 where t mod F > F / 2, else 0

    period  F, in steps (10 and 25 in the paper)
    train   periods of the training stream (at most 100 in the paper)
    stream  periods of the held-out stream (1,000 in the paper)

    Every row is the same, so that budget.batch=1 is enough, and so are both held-out splits. An
    answer is right when it is off by less than 0.3. `before_error` is the number of whole periods
    before the first wrong answer, `within` the share of right answers. Solved when none is wrong.
    (Gers, Schraudolph & Schmidhuber 2002, periodic function generation.) Departures: the training
    stream has a fixed length, in the paper it ends at the first error; carries start at zero.
    """

    kind: Literal["periodic"] = "periodic"
    wave: Literal["cosine", "triangle", "rectangle"] = "cosine"
    period: int = 10
    train: int = 10
    stream: int = 100

    def __post_init__(self) -> None:
        """Raise ValueError where there is no such wave."""
        one_of("wave", self.wave, WAVES)
        whole("period", self.period, 3, "a wave that rises and falls")
        for field in ("train", "stream"):
            whole(field, getattr(self, field), 1, "a period")

    def build(self) -> Task:
        """Return the task."""

        def held_out(data: Tree, split: str) -> tuple[Batch, ...]:
            held_out_key(split)  # refuses an unknown split; nothing is drawn
            return (_batch(self, 1, self.stream),)

        def draw(data: Tree, key: Seed, size: int) -> Batch:
            return _batch(self, size, self.train)

        return Task(
            name=f"periodic_{self.wave}",
            readout="step",
            loss="squared_error",
            outputs=1,
            features=1,
            draw=draw,
            held_out=held_out,
            metric="mse",
            goal="min",
            chance=_chance(self),
            success=Success("within", at_least=1.0),
            tolerance=TOLERANCE,
            score=partial(_score, self.period),
            ceiling={"mse": 0.0, "within": 1.0, "before_error": float(self.stream)},
            source="Gers, Schraudolph & Schmidhuber 2002",
        )


def wave(spec: Periodic, steps: int) -> Float[np.ndarray, "time"]:
    """Return f(1) to f(steps)."""
    t, period = np.arange(1, steps + 1), spec.period
    phase = t % period / period
    if spec.wave == "cosine":
        return (1 - np.cos(2 * np.pi * phase)) / 2
    if spec.wave == "triangle":
        return 1 - np.abs(1 - 2 * phase)
    return 1.0 * (phase > 1 / 2)


def _batch(spec: Periodic, size: int, periods: int) -> Batch:
    steps = periods * spec.period
    targets = jnp.asarray(wave(spec, steps), float)
    shape = (size, steps, 1)
    return Batch(
        jnp.zeros(shape), jnp.broadcast_to(targets[:, None], shape), jnp.ones((size, steps))
    )


def _score(period: int, outputs: Float[Array, "batch time 1"], batch: Batch) -> dict[str, Sum]:
    right = (jnp.abs(outputs - batch.targets) < TOLERANCE)[..., 0]
    asked = batch.mask > 0
    last = jnp.arange(1, right.shape[1] + 1) % period == 0
    return {"before_error": before_error(right, asked, asked & last)}


def _chance(spec: Periodic) -> dict[str, float]:
    """Return what the best constants reach, for without input and memory there is nothing else.

    The best one for `within` has its window just above one of the values of the wave. No constant
    is right for a whole period, whose values are more than 0.6 apart.
    """
    values = wave(spec, spec.period)
    centres = values + TOLERANCE * (1 - 1e-9)
    near = np.abs(values - centres[:, None]) < TOLERANCE
    return {
        "mse": float(values.var()),
        "within": float(near.mean(axis=1).max()),
        "before_error": 0.0,
    }
