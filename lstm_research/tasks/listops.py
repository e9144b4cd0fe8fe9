"""ListOps: the value of nested lists, [MAX 2 9 [MIN 4 7 ] 0 ] -> 9; ten classes.

The trees are drawn on the host and kept as a corpus, as in the paper: those of 500 to 2,000 tokens
are one in some hundred of the grammar, and a device, whose shapes are fixed, would draw and throw
away all others at every step.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Int, Seed, Tree
from lstm_research.initial import fold
from lstm_research.tasks import trees
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.order import order
from lstm_research.tasks.spans import ROWS
from lstm_research.tasks.task import SPLITS, Batch, Success, Task, even
from lstm_research.tasks.transduction import constant

CLASSES = 10


class Corpus(NamedTuple):
    """Trees one after the other: flat tokens, and where each begins, how long it is, its value."""

    tokens: Int[Array, "tokens"]
    starts: Int[Array, "trees"]
    lengths: Int[Array, "trees"]
    values: Int[Array, "trees"]


@dataclass(frozen=True)
class ListOps:
    """Read nested lists of digits under MIN, MAX, MED (the median, cut) and SM (the sum modulo 10).

    shortest     tokens of the shortest tree; a tree of n nodes and b lists has n + b of them
    longest      tokens of the longest
    depth        levels at most; a list with digits only has two
    arguments    children of a list at most, uniform in 2..arguments
    train        training trees, all different; each comes once an epoch
    held_out     trees of each held-out split, different from them
    corpus_seed  which corpus

    A node is a list with odds 1/4, at the lowest level never; else one of ten digits. Brackets that
    the original data have around each pair are left out, as its users do. Accuracy is told by length.
    (Nangia & Bowman 2018, arXiv:1804.06028; long form: Tay et al. 2021, arXiv:2011.04006, with
    96,000 and twice 2,000 trees of 501..1,999 tokens, depth 10, ten arguments.) Solved
    at an accuracy of 0.99, which is ours; published ones of the long form lie below 0.6.
    """

    kind: Literal["listops"] = "listops"
    shortest: int = 5
    longest: int = 50
    depth: int = 4
    arguments: int = 5
    train: int = 20000
    held_out: int = 1000
    corpus_seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError where there are no such trees."""
        whole("depth", self.depth, 2, "a list above its digits")
        whole("arguments", self.arguments, 2, "a list of one is no list here")
        whole("shortest", self.shortest, 4, "the shortest list, [MIN 1 2 ]")
        whole("longest", self.longest, self.shortest, "at least as long as shortest")
        whole("train", self.train, 1, "training trees")
        whole("held_out", self.held_out, 1, "trees of a held-out split")
        whole("corpus_seed", self.corpus_seed, 0, "a seed")
        most = 1
        for _ in range(self.depth - 1):
            most = min(2 + self.arguments * most, self.shortest)
        if most < self.shortest:
            raise ValueError(
                f"shortest={self.shortest}: trees of depth={self.depth} and "
                f"arguments={self.arguments} have at most {most} tokens"
            )

    def build(self) -> Task:
        """Return the task. ValueError: there are too few different trees."""
        data, longest = _corpus(self), self.longest

        def draw_at(data: Tree, key: Seed, step: Int[Array, ""] | int, size: int) -> Batch:
            rows = order(fold(key, "order"), step, size, self.train)
            return _batch(data["train"], rows, longest)

        return Task(
            name="listops",
            readout="last",
            loss="cross_entropy",
            outputs=CLASSES,
            vocabulary=trees.TOKENS,
            symbols=(*map(str, range(10)), "[MIN", "[MAX", "[MED", "[SM", "]"),
            draw=lambda data, key, size: draw_at(data, key, 0, size),
            draw_at=draw_at,
            held_out=lambda data, split: _held_out(data, split, longest),
            data=data,
            metric="accuracy",
            goal="max",
            chance=_chance(data["test"]),
            success=Success("accuracy", at_least=0.99),
            slices=even("length", self.shortest, longest),
            ceiling={"accuracy": 1.0, "nll": 0.0},
            source="Nangia & Bowman 2018, arXiv:1804.06028",
        )


@lru_cache(maxsize=2)
def _corpus(spec: ListOps) -> dict[str, Corpus]:
    """Draw the trees of all splits at once, so that no two are the same."""
    wanted = {"train": spec.train, **{split: spec.held_out for split in SPLITS}}
    tokens, lengths, answers = trees.corpus(
        spec.corpus_seed, sum(wanted.values()), spec.shortest, spec.longest, spec.depth,
        spec.arguments,
    )  # fmt: skip
    if len(lengths) < sum(wanted.values()):
        raise ValueError(
            f"task.train={spec.train} and task.held_out={spec.held_out} need {sum(wanted.values())} "
            f"different trees; {len(lengths)} were found. Allow longer ones, or ask for fewer"
        )
    starts, made, at = np.cumsum(lengths) - lengths, {}, 0
    for split, many in wanted.items():
        first, last = starts[at], starts[at + many - 1] + lengths[at + many - 1]
        rows = slice(at, at + many)
        ints = [np.int32(each[rows]) for each in (starts - first, lengths, answers)]
        made[split] = Corpus(*map(jnp.asarray, (tokens[first:last], *ints)))
        at += many
    return made


def _batch(corpus: Corpus, rows: Int[Array, "batch"], longest: int) -> Batch:
    steps, lengths = jnp.arange(longest), corpus.lengths[rows]
    inside = steps < lengths[:, None]
    index = jnp.where(inside, corpus.starts[rows][:, None] + steps, 0)
    inputs = corpus.tokens[index].astype(jnp.int32) * inside
    return Batch(inputs, corpus.values[rows], jnp.ones(rows.shape), lengths, extent=lengths)


def _held_out(data: dict[str, Corpus], split: str, longest: int) -> tuple[Batch, ...]:
    one_of("split", split, SPLITS)
    rows = jnp.arange(data[split].starts.shape[0])
    return tuple(
        _gathered(data[split], rows[at : at + ROWS], longest) for at in range(0, len(rows), ROWS)
    )


_gathered = jax.jit(_batch, static_argnums=2)


def _chance(test: Corpus) -> dict[str, float]:
    """Return what the most frequent value reaches: every tree ends with the same bracket."""
    return constant(np.bincount(np.asarray(test.values), minlength=CLASSES) / len(test.values))
