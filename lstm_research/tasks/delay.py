"""Delay: say at each step what came n steps ago; nothing but a shift register solves it.

The network holds n symbols at once and drops the oldest at each step: capacity, where copying asks
for patience.
"""

from dataclasses import dataclass
from math import log
from typing import Literal

import jax
import jax.numpy as jnp

from lstm_research.axes import Seed
from lstm_research.initial import fold
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.task import Batch, Success, Task, drawn_once

FORMS = ("symbols", "values")


@dataclass(frozen=True)
class Delay:
    """The target at step t is x_(t - n), asked from step n on.

    form      symbols: uniform among an alphabet, scored by accuracy; values: x ~ U(-1, 1), scored
              by their squared error
    delay     n
    length    steps
    alphabet  kinds of symbols; without meaning for values
    held_out  sequences of each held-out split

    (Jaeger 2002, GMD report 152, whose memory capacity sums over such delays. The program of S4,
    state-spaces/s4, delays a band-limited signal by 1000 of 4000 steps; ours is white.) Solved at an
    accuracy of 0.99 or an error of 0.01, which is ours.
    """

    kind: Literal["delay"] = "delay"
    form: Literal["symbols", "values"] = "symbols"
    delay: int = 10
    length: int = 100
    alphabet: int = 8
    held_out: int = 1000

    def __post_init__(self) -> None:
        """Raise ValueError where no such sequence exists."""
        one_of("form", self.form, FORMS)
        whole("delay", self.delay, 1, "steps; none would need no memory")
        whole("length", self.length, self.delay + 1, "longer than delay, or nothing is asked")
        whole("alphabet", self.alphabet, 2, "one symbol alone would be no choice")
        whole("held_out", self.held_out, 1, "sequences of a held-out split")

    def build(self) -> Task:
        """Return the task."""
        draw = lambda data, key, size: _draw(self, key, size)
        symbols = self.form == "symbols"
        chance = {"accuracy": 1 / self.alphabet, "nll": log(self.alphabet)}
        return Task(
            name="delay" if symbols else "delay_values",
            readout="step",
            loss="cross_entropy" if symbols else "squared_error",
            outputs=self.alphabet if symbols else 1,
            features=None if symbols else 1,
            vocabulary=self.alphabet if symbols else None,
            draw=draw,
            held_out=drawn_once(draw, self.held_out),
            metric="accuracy" if symbols else "mse",
            goal="max" if symbols else "min",
            chance=chance if symbols else {"mse": 1 / 3},
            success=Success("accuracy", at_least=0.99) if symbols else Success("mse", at_most=0.01),
            ceiling={"accuracy": 1.0, "nll": 0.0} if symbols else {"mse": 0.0},
            source="Jaeger 2002, GMD report 152",
        )


def _draw(spec: Delay, key: Seed, size: int) -> Batch:
    shape = (size, spec.length)
    if spec.form == "symbols":
        heard = jax.random.randint(fold(key, "symbols"), shape, 0, spec.alphabet)
    else:
        heard = jax.random.uniform(fold(key, "values"), (*shape, 1), minval=-1.0)
    before = [(0, 0), (spec.delay, 0), (0, 0)][: heard.ndim]
    targets = jnp.pad(heard[:, : -spec.delay], before)
    asked = jnp.ones((size, 1)) * (jnp.arange(spec.length) >= spec.delay)
    return Batch(heard, targets, asked)
