"""The adding problem: remember two marked numbers among many, answer with their sum at the end.

Two different problems carry the name; `form` says which, so that no number of the one is ever
compared with a number of the other.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from lstm_research.axes import Array, Bool, Float, Int, Seed
from lstm_research.initial import fold
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.task import Batch, Slices, Success, Task, drawn_once, even

TOLERANCE = 0.04  # a larger error is a wrong answer (Hochreiter & Schmidhuber 1997, experiment 4)
FORMS = {
    "arjovsky": "Arjovsky, Shah & Bengio 2016, arXiv:1511.06464",
    "tcn": "Bai, Kolter & Koltun 2018, arXiv:1803.01271",
    "hochreiter1997": "Hochreiter & Schmidhuber 1997, experiment 4",
}
Places = Int[Array, "batch 1"]


@dataclass(frozen=True)
class Adding:
    """Inputs are pairs (value, mark), the target is made of the two values x1, x2 that are marked.

    arjovsky        values U[0, 1]; one mark in each half; target x1 + x2
                    (Arjovsky, Shah & Bengio 2016, arXiv:1511.06464)
    tcn             the same, both marks anywhere (Bai, Kolter & Koltun 2018, arXiv:1803.01271)
    hochreiter1997  values U[-1, 1]; `length` to 1.1 `length` steps; the first mark among the first
                    ten pairs, the second among the first length/2 - 1 others; the first and the
                    last pair carry mark -1; target 0.5 + (x1 + x2) / 4
                    (Hochreiter & Schmidhuber 1997, experiment 4)

    length    steps; with hochreiter1997 the shortest length
    held_out  sequences of each held-out split

    Where the first pair of a 1997 sequence is marked its value is set to zero, as the paper has it;
    the pair then carries mark 1, which the paper leaves open. `within` is the share of answers off
    by less than 0.04, and `mse@lag` is cut by the steps from the first mark to the answer. The 1997
    form is solved when every validation answer is (the paper asks it of the last 2,000 training
    sequences, and a mean training error below 0.01 besides); the modern forms, for which no paper
    sets a criterion, at a mean squared error of 0.01.
    """

    kind: Literal["adding"] = "adding"
    length: int = 100
    form: Literal["arjovsky", "tcn", "hochreiter1997"] = "arjovsky"
    held_out: int = 1000

    def __post_init__(self) -> None:
        """Raise ValueError where no such sequence exists."""
        one_of("form", self.form, FORMS)
        if self.form == "hochreiter1997":
            whole("length", self.length, 20, "ten pairs for each of the two marks")
        else:
            whole("length", self.length, 2, "two marked steps")
        whole("held_out", self.held_out, 1, "sequences of a held-out split")

    def build(self) -> Task:
        """Return the task."""
        old = self.form == "hochreiter1997"
        drawn = _draw_1997 if old else _draw
        draw = lambda data, key, size: drawn(self, key, size)
        return Task(
            name="adding1997" if old else "adding",
            readout="last",
            loss="squared_error",
            outputs=1,
            features=2,
            draw=draw,
            held_out=drawn_once(draw, self.held_out),
            metric="mse",
            goal="min",
            chance=_chance(self),
            success=Success("within", at_least=1.0) if old else Success("mse", at_most=0.01),
            tolerance=TOLERANCE,
            slices=_slices(self),
            ceiling={"mse": 0.0, "within": 1.0},
            source=FORMS[self.form],
        )


def _draw(spec: Adding, key: Seed, size: int) -> Batch:
    values = jax.random.uniform(fold(key, "values"), (size, spec.length))
    first, second = _marks(spec, key, size)
    steps = jnp.arange(spec.length)
    marked = (steps == first) | (steps == second)
    inputs = jnp.stack([values, marked.astype(values.dtype)], axis=-1)
    lag = spec.length - 1 - jnp.minimum(first, second)[:, 0]
    return Batch(inputs, _sum(values, marked), jnp.ones(size), extent=lag)


def _marks(spec: Adding, key: Seed, size: int) -> tuple[Places, Places]:
    draw = lambda name, low, high: jax.random.randint(fold(key, name), (size, 1), low, high)
    if spec.form == "arjovsky":
        half = spec.length // 2
        return draw("first", 0, half), draw("second", half, spec.length)
    first, second = draw("first", 0, spec.length), draw("second", 0, spec.length - 1)
    return first, second + (second >= first)  # skip the first mark: uniform over the other steps


class Layout(NamedTuple):
    """Where a sequence of 1997 ends and which two pairs it marks; with `steps`, 0 to the longest."""

    steps: Int[Array, "time"]
    lengths: Places
    first: Places  # the earlier of the two
    marked: Bool[Array, "batch time"]
    marks: Float[Array, "batch time"]  # 1 marked, -1 the first and the last pair, 0 the others


def layout_1997(length: int, key: Seed, size: int) -> Layout:
    """Draw lengths and marks of experiments 4 and 5 of Hochreiter & Schmidhuber 1997."""
    draw = lambda name, low, high: jax.random.randint(fold(key, name), (size, 1), low, high)
    longest = length + length // 10
    lengths = draw("lengths", length, longest + 1)
    first, second = draw("first", 0, 10), draw("second", 0, length // 2 - 1)
    second = second + (second >= first)  # uniform over the pairs that are still unmarked
    steps = jnp.arange(longest)
    marked = (steps == first) | (steps == second)
    ends = (steps == 0) | (steps == lengths - 1)
    marks = jnp.where(marked, 1.0, jnp.where(ends, -1.0, 0.0))
    return Layout(steps, lengths, jnp.minimum(first, second), marked, marks)


def lags_1997(length: int) -> Slices:
    """Return bins of the steps from the first mark to the last pair."""
    return even("lag", length - 10, length + length // 10 - 1)


def first_pair_marked(length: int) -> float:
    """Return the probability that the first pair of a sequence of 1997 is marked."""
    return 1 / 10 + (9 / 10) / (length // 2 - 1)


def _draw_1997(spec: Adding, key: Seed, size: int) -> Batch:
    steps, lengths, first, marked, marks = layout_1997(spec.length, key, size)
    values = jax.random.uniform(fold(key, "values"), marked.shape, minval=-1.0)
    values = jnp.where((steps < lengths) & ~(marked & (steps == 0)), values, 0.0)
    inputs = jnp.stack([values, marks], axis=-1)
    targets = 0.5 + _sum(values, marked) / 4
    lag = (lengths - 1 - first)[:, 0]
    return Batch(inputs, targets, jnp.ones(size), lengths[:, 0], extent=lag)


def _slices(spec: Adding) -> Slices:
    if spec.form == "hochreiter1997":
        return lags_1997(spec.length)
    shortest = spec.length - spec.length // 2 if spec.form == "arjovsky" else 1
    return even("lag", shortest, spec.length - 1)


def _sum(values: Array, marked: Array) -> Array:
    return jnp.where(marked, values, 0.0).sum(axis=1, keepdims=True)


def _chance(spec: Adding) -> dict[str, float]:
    """Return what the best constant reaches: 1, the mean sum; 0.5 in 1997.

    With S the sum of two uniform values, P(|S - mean| < a) = 2 a/w - (a/w)^2 for values of width w.
    In 1997 one of the two is zero with probability p, then S has half the variance.
    """
    if spec.form != "hochreiter1997":
        return {"mse": 1 / 6, "within": 2 * TOLERANCE - TOLERANCE**2}
    p = first_pair_marked(spec.length)
    a = 4 * TOLERANCE / 2
    return {"mse": (2 - p) / 48, "within": (1 - p) * (2 * a - a**2) + p * 2 * a}
