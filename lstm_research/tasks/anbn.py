"""Counting languages: a^n b^n and a^n b^n c^n, predicted symbol by symbol, tested on longer strings."""

from dataclasses import dataclass
from functools import partial
from math import log
from typing import Literal

import jax
import jax.numpy as jnp

from lstm_research.axes import Array, Float, Int, Seed, Tree
from lstm_research.initial import fold
from lstm_research.loss import Sum
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.task import Batch, Slices, Success, Task, even, held_out_key

START, A = 0, 1  # then b, c as far as there are, and the end last


@dataclass(frozen=True)
class AnBn:
    """Strings S a^n b^n T or S a^n b^n c^n T; at each symbol answer with the set of legal next ones.

    With n = 2 and two letters::

        inputs   S  a   a   b  b
        legal    a  ab  ab  b  T

    letters  2: a^n b^n; 3: a^n b^n c^n
    longest  training and validation have n from 1 to this, validation each n once
    test     the test split has each n from longest + 1 to this once

    A prediction is right when the outputs above zero are the legal symbols. `legal` is the share of
    right ones, `sequence_legal` that of strings without a wrong one, `sequence_legal@n` cuts it by n;
    `largest_n` is the n up to which no string of the split is rejected (on test, `longest` where the
    very next one is). Solved when validation has no wrong prediction. (Gers & Schmidhuber 2001.)
    Departures: n = 0 does not occur; sigmoids trained by their cross-entropy.
    """

    kind: Literal["anbn"] = "anbn"
    letters: Literal[2, 3] = 2
    longest: int = 10
    test: int = 100

    def __post_init__(self) -> None:
        """Raise ValueError where there are no such strings."""
        one_of("letters", self.letters, (2, 3))
        whole("longest", self.longest, 1, "n of the longest training string")
        whole("test", self.test, self.longest + 1, "longer than training")

    def build(self) -> Task:
        """Return the task."""
        slices = even("n", 1, self.test)

        def held_out(data: Tree, split: str) -> tuple[Batch, ...]:
            held_out_key(split)  # refuses an unknown split; nothing is drawn
            low, high = (self.longest + 1, self.test) if split == "test" else (1, self.longest)
            return (_strings(jnp.arange(low, high + 1), self.letters, high),)

        return Task(
            name="anbn" if self.letters == 2 else "anbncn",
            readout="step",
            loss="bernoulli",
            outputs=self.letters + 1,
            vocabulary=self.letters + 1,
            draw=lambda data, key, size: _draw(self, key, size),
            held_out=held_out,
            metric="sequence_legal",
            goal="max",
            chance=_chance(self),
            success=Success("sequence_legal", at_least=1.0),
            score=partial(_score, slices=slices),
            slices=slices,
            ceiling={
                "legal": 1.0,
                "sequence_legal": 1.0,
                "largest_n": float(self.test),
                "nll": 0.0,
            },
            source="Gers & Schmidhuber 2001",
        )


def _draw(spec: AnBn, key: Seed, size: int) -> Batch:
    n = jax.random.randint(fold(key, "n"), (size,), 1, spec.longest + 1)
    return _strings(n, spec.letters, spec.longest)


def _strings(n: Int[Array, "batch"], letters: int, longest: int) -> Batch:
    """Return the strings of these n, padded to the length of the longest one's inputs.

    Step 0 shows S; step t shows letter (t - 1) // n. The outputs are a, b, (c,) T.
    """
    steps = jnp.arange(1 + letters * longest)
    seen = n[:, None]
    letter = (steps - 1) // seen  # of the present symbol
    following = steps // seen  # the one whose turn it is next; `letters` stands for T
    inside = steps <= letters * seen
    inputs = jnp.where(inside & (steps > 0), A + letter, START)
    outputs = jnp.arange(letters + 1)
    legal = (outputs == following[..., None]) | (
        (outputs <= 1) & (steps > 0)[:, None] & (letter == 0)[..., None]
    )
    targets = 1.0 * (legal & inside[..., None])
    extent = jnp.broadcast_to(seen, inputs.shape)
    return Batch(inputs, targets, 1.0 * inside, 1 + letters * n, extent=extent)


def _score(
    outputs: Float[Array, "batch time symbols"], batch: Batch, slices: Slices
) -> dict[str, Sum]:
    right, asked = ((outputs > 0) == (batch.targets > 0.5)).all(axis=-1), batch.mask > 0
    accepted, rows = (right | ~asked).all(axis=1), asked.any(axis=1)
    assert batch.extent is not None
    n = batch.extent.max(axis=1)
    first = jnp.where(rows & ~accepted, n - 1, jnp.where(rows, n, 0).max()).min()
    return {
        "legal": ((right * batch.mask).sum(), batch.mask.sum()),
        "sequence_legal": ((rows & accepted).sum(), rows.sum()),
        "largest_n": (first.astype(jnp.float32), jnp.ones(())),
        **slices.cut("sequence_legal", accepted, n, rows),
    }


def _chance(spec: AnBn) -> dict[str, float]:
    """Return what one reaches on test who sees the present symbol alone.

    Only the last of each n letters but a has another answer than those before it, and these are the
    more, so that one string in no n > 1 is accepted. With q its share of those letters, two outputs
    cost the entropy of q each.
    """
    numbers = range(spec.longest + 1, spec.test + 1)
    steps = sum(1 + spec.letters * n for n in numbers)
    turns = (spec.letters - 1) * sum(numbers)
    last = (spec.letters - 1) * len(numbers)
    q = last / turns
    entropy = -sum(share * log(share) for share in (q, 1 - q))
    return {
        "sequence_legal": 0.0,
        "legal": 1 - last / steps,
        "largest_n": float(spec.longest),
        "nll": 2 * turns * entropy / steps,
    }
