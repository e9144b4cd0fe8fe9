"""Temporal order: a few X and Y, far apart among distractors; say at the end in which order."""

from dataclasses import dataclass
from itertools import product
from math import log
from typing import Literal

import jax
import jax.numpy as jnp

from lstm_research.axes import Array, Float, Seed
from lstm_research.initial import fold
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.task import Batch, Slices, Success, Task, drawn_once, even

START, END, X = 0, 1, 6  # 2..5 are the distractors a b c d, and Y is X + 1
WINDOWS = {  # where each X or Y may stand, in hundredths of the length, both ends included
    2: ((10, 20), (50, 60)),
    3: ((10, 20), (33, 43), (66, 76)),
}
TOLERANCE = 0.3


@dataclass(frozen=True)
class TemporalOrder:
    """E, distractors from {a, b, c, d}, one X or Y in each window, B; the class is their order.

    Experiments 6a (two symbols, four classes) and 6b (three, eight) of Hochreiter & Schmidhuber
    1997. XX, XY, YX, YY are classes 0 to 3; XXX to YYY 0 to 7, the first symbol weighs most.
    Lengths are uniform in [length, 1.1 length]. The windows are the paper's, 10-20, 50-60 and
    10-20, 33-43, 66-76, and scale with `length` (100 there).

    symbols   how many X or Y: 2 (6a) or 3 (6b)
    length    steps of the shortest sequence
    held_out  sequences of each held-out split

    `within` is the share of sequences whose outputs are all off by less than 0.3, which the paper
    calls correct; solved when all validation sequences are (the paper asks it of the last 2,000
    training sequences, and a mean training error below 0.1 besides). `accuracy@lag` is cut by the
    steps from the first X or Y to the answer. Departure: the outputs are a softmax trained by
    cross-entropy; in the paper they are sigmoids trained by squared error.
    """

    kind: Literal["temporal_order"] = "temporal_order"
    symbols: Literal[2, 3] = 2
    length: int = 100
    held_out: int = 1000

    def __post_init__(self) -> None:
        """Raise ValueError where no such sequence exists."""
        one_of("symbols", self.symbols, tuple(WINDOWS))
        whole("length", self.length, 10, "the windows must be apart")
        whole("held_out", self.held_out, 1, "sequences of a held-out split")

    def build(self) -> Task:
        """Return the task."""
        draw = lambda data, key, size: _draw(self, key, size)
        classes = 2**self.symbols
        return Task(
            name="temporal_order_6a" if self.symbols == 2 else "temporal_order_6b",
            readout="last",
            loss="cross_entropy",
            outputs=classes,
            vocabulary=X + 2,
            draw=draw,
            held_out=drawn_once(draw, self.held_out),
            metric="accuracy",
            goal="max",
            chance={"accuracy": 1 / classes, "nll": log(classes), "within": 0.0},
            success=Success("within", at_least=1.0),
            score=within,
            slices=_slices(self),
            ceiling={"accuracy": 1.0, "nll": 0.0, "within": 1.0},
            source="Hochreiter & Schmidhuber 1997, experiment 6",
            symbols="EBabcdXY",
            answers=["".join(each) for each in product("XY", repeat=self.symbols)],
            marks=(X, X + 1),
        )


def within(
    outputs: Float[Array, "batch classes"], batch: Batch
) -> dict[str, tuple[Float[Array, ""], Float[Array, ""]]]:
    """Count the sequences whose class probabilities are all off by less than 0.3."""
    wanted = jax.nn.one_hot(batch.targets, outputs.shape[-1])
    off = jnp.abs(jax.nn.softmax(outputs) - wanted).max(axis=-1)
    return {"within": ((batch.mask * (off < TOLERANCE)).sum(), batch.mask.sum())}


def _draw(spec: TemporalOrder, key: Seed, size: int) -> Batch:
    longest = spec.length + spec.length // 10
    lengths = jax.random.randint(fold(key, "lengths"), (size, 1), spec.length, longest + 1)
    steps = jnp.arange(longest)
    inputs = jax.random.randint(fold(key, "distractors"), (size, longest), END + 1, X)
    second = jax.random.randint(fold(key, "order"), (size, spec.symbols), 0, 2)  # 1 for Y
    low, high = (jnp.array(WINDOWS[spec.symbols]) * spec.length // 100).T
    places = jax.random.randint(fold(key, "places"), (size, spec.symbols), low, high + 1)
    for number in range(spec.symbols):
        at = steps == places[:, number, None]
        inputs = jnp.where(at, X + second[:, number, None], inputs)
    inputs = jnp.where(steps == 0, START, inputs)
    inputs = jnp.where(steps >= lengths - 1, END, inputs)
    weights = 2 ** jnp.arange(spec.symbols)[::-1]
    targets = (second * weights).sum(axis=1)
    lag = lengths[:, 0] - 1 - places[:, 0]
    return Batch(inputs, targets, jnp.ones(size), lengths[:, 0], extent=lag)


def _slices(spec: TemporalOrder) -> Slices:
    low, high = (spec.length * edge // 100 for edge in WINDOWS[spec.symbols][0])
    return even("lag", spec.length - 1 - high, spec.length + spec.length // 10 - 1 - low)
