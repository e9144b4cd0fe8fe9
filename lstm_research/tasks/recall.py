"""Associative recall of many pairs: keys and values first, then each key once more; which value?"""

from dataclasses import dataclass
from math import log
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Seed
from lstm_research.initial import fold
from lstm_research.tasks.limits import whole
from lstm_research.tasks.task import Batch, Success, Task, drawn_once, even

EMPTY = 0


@dataclass(frozen=True)
class Recall:
    """K pairs of a key and a value, then each key again at a random place; answer with its value::

        k1 v1 k2 v2  0 0 k2 0 k1 0  ->  v2 under k2, v1 under k1, nothing else is asked

    length      L, steps
    pairs       K
    vocabulary  V, even: 0 is empty, keys are 1..V/2-1, values V/2..V-1, all K of each different
    power       a: keys come again g = 1, 2, ... pairs of steps after the last pair, each at a place
                of its own, drawn one after the other with p(g) ~ g^(a - 1): near ones are likelier
    held_out    sequences of each held-out split

    Accuracy is told by lag, the steps from a value to its key's return. (Arora et al. 2023,
    arXiv:2312.04927: V = 8192 and (L, K) = (64, 4), (128, 8), (256, 16), a = 0.01.) Solved at an
    accuracy of 0.99, which is ours.
    """

    kind: Literal["recall"] = "recall"
    length: int = 64
    pairs: int = 4
    vocabulary: int = 8192
    power: float = 0.01
    held_out: int = 1000

    def __post_init__(self) -> None:
        """Raise ValueError where no such sequence exists."""
        whole("pairs", self.pairs, 1, "pairs to remember")
        whole(
            "length", self.length, 4 * self.pairs, "two steps a pair, and two where its key returns"
        )
        whole("vocabulary", self.vocabulary, 2 * self.pairs + 2, "a key and a value a pair")
        if self.vocabulary % 2:
            raise ValueError(f"vocabulary={self.vocabulary}: must be even (half of it values)")
        if not self.power > 0:
            raise ValueError(f"power={self.power!r}: must be above 0")
        whole("held_out", self.held_out, 1, "sequences of a held-out split")

    def build(self) -> Task:
        """Return the task."""
        draw = lambda data, key, size: _draw(self, key, size)
        values, gaps = self.vocabulary // 2, _gaps(self)
        return Task(
            name="recall",
            readout="step",
            loss="cross_entropy",
            outputs=self.vocabulary,
            vocabulary=self.vocabulary,
            draw=draw,
            held_out=drawn_once(draw, self.held_out),
            metric="accuracy",
            goal="max",
            chance={"accuracy": 1 / values, "nll": log(values)},
            success=Success("accuracy", at_least=0.99),
            slices=even("lag", 1, 2 * self.pairs + 2 * gaps - 3),
            ceiling={"accuracy": 1.0, "sequence_accuracy": 1.0, "nll": 0.0},
            source="Arora et al. 2023, arXiv:2312.04927",
        )


def _gaps(spec: Recall) -> int:
    """Return at how many places a key may return."""
    return (spec.length - 2 * spec.pairs) // 2


def _draw(spec: Recall, key: Seed, size: int) -> Batch:
    half, many, gaps = spec.vocabulary // 2, spec.pairs, _gaps(spec)
    distinct = lambda name, of: jax.lax.top_k(
        jax.random.uniform(fold(key, name), (size, of)), many
    )[1]
    keys, values = 1 + distinct("keys", half - 1), half + distinct("values", half)
    odds = (spec.power - 1) * np.log(np.arange(1, gaps + 1))
    drawn = odds + jax.random.gumbel(fold(key, "gaps"), (size, gaps))
    places = 2 * many + 2 * jax.lax.top_k(drawn, many)[1]
    shown = jnp.stack([keys, values], axis=2).reshape(size, 2 * many)
    rows, blank = jnp.arange(size)[:, None], jnp.zeros((size, spec.length), keys.dtype)
    put = lambda what: blank.at[rows, places].set(what)
    inputs = put(keys).at[:, : 2 * many].set(shown)
    extent = put(places - (2 * jnp.arange(many) + 1))
    return Batch(inputs, put(values), 1.0 * put(jnp.ones_like(keys)), extent=extent)
