"""The embedded Reber grammar: predict the next symbol; the second comes again, last but one.

The network is trained on the symbols that came; it is judged by the set of those that could have.
The set needs no room in the batch: `score` runs the automaton over the inputs.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Bool, Float, Int, Seed, Tree
from lstm_research.initial import fold
from lstm_research.loss import Sum
from lstm_research.tasks import grammar
from lstm_research.tasks.limits import whole
from lstm_research.tasks.tally import shares
from lstm_research.tasks.task import Batch, Slices, Success, Task, drawn_once, even, held_out_key

CANDIDATES = 64  # strings drawn for each one that the corpus needs, to find enough different ones


class Strings(NamedTuple):
    """Strings padded to one length."""

    symbols: Int[Array, "strings time"]
    lengths: Int[Array, "strings"]


@dataclass(frozen=True)
class Reber:
    """Strings B T (inner string) T E or B P (inner string) P E; each branch has probability 1/2.

    Inner strings are those of Reber's grammar: B, then a walk that ends with E, for instance::

        B T  B T X S E  T E        B P  B P T V P S E  P E

    longest      symbols of the longest string; longer ones (3 in a million above 50) never come
    corpus       null: a fresh string at each draw. A number: that many different training strings,
                 drawn from at random, and as many other test strings; validation asks for both, as
                 the criterion of 1997 does (256 there)
    corpus_seed  which corpus
    held_out     strings of each held-out split, without a corpus

    `legal` is the share of steps, `sequence_legal` the share of strings at whose every step all
    symbols that may come next outdo all that may not, `sequence_legal@length` that of the strings of
    so many symbols. Solved when every validation string is so predicted. Chance is that of the
    grammar without a corpus. (Hochreiter & Schmidhuber 1997,
    experiment 1; Cleeremans, Servan-Schreiber & McClelland 1989.) Departure: softmax and
    cross-entropy, for the paper's sigmoids and squared error.
    """

    kind: Literal["reber"] = "reber"
    longest: int = 50
    corpus: int | None = None
    corpus_seed: int = 0
    held_out: int = 1000

    def __post_init__(self) -> None:
        """Raise ValueError where there are no such strings."""
        whole("longest", self.longest, grammar.SHORTEST, "the shortest string of the grammar")
        if self.corpus is not None:
            whole("corpus", self.corpus, 1, "different training strings")
        whole("corpus_seed", self.corpus_seed, 0, "a seed")
        whole("held_out", self.held_out, 1, "strings of a held-out split")

    def build(self) -> Task:
        """Return the task. ValueError: there are too few strings for the corpus."""
        fresh = lambda data, key, size: _batch(*grammar.strings(key, size, self.longest))
        chance, slices = (
            grammar.memoryless(self.longest),
            even("length", grammar.SHORTEST, self.longest),
        )
        return Task(
            name="reber",
            readout="step",
            loss="cross_entropy",
            outputs=len(grammar.SYMBOLS),
            vocabulary=len(grammar.SYMBOLS),
            symbols=grammar.SYMBOLS,
            draw=fresh if self.corpus is None else _draw_from_corpus,
            held_out=drawn_once(fresh, self.held_out) if self.corpus is None else _corpus_split,
            data=None if self.corpus is None else _corpus(self),
            metric="sequence_legal",
            goal="max",
            chance={**chance._asdict(), "sequence_legal": 0.0},
            success=Success("sequence_legal", at_least=1.0),
            score=partial(legality, slices=slices),
            slices=slices,
            ceiling={"legal": 1.0, "sequence_legal": 1.0, "nll": grammar.entropy(self.longest)},
            source="Hochreiter & Schmidhuber 1997, experiment 1",
        )


def legality(
    outputs: Float[Array, "batch time symbols"], batch: Batch, slices: Slices
) -> dict[str, Sum]:
    """Count the steps, and the strings, where every legal symbol outdoes every illegal one."""
    right, asked = outdone(outputs, grammar.legal_next(batch.inputs)), batch.mask > 0
    found = shares("legal", right, asked)
    if batch.extent is None:
        return found
    longest, rows = batch.extent.max(axis=1), asked.any(axis=1)
    return found | slices.cut("sequence_legal", (right | ~asked).all(axis=1), longest, rows)


def outdone(
    outputs: Float[Array, "batch time symbols"], legal: Bool[Array, "batch time symbols"]
) -> Bool[Array, "batch time"]:
    """Say where every legal symbol outdoes every illegal one."""
    least = jnp.where(legal, outputs, jnp.inf).min(axis=-1)
    return least > jnp.where(legal, -jnp.inf, outputs).max(axis=-1)


def _batch(symbols: Int[Array, "batch time"], lengths: Int[Array, "batch"]) -> Batch:
    """Ask for the next symbol at each symbol but the last."""
    inputs, targets = symbols[:, :-1], symbols[:, 1:]
    asked = jnp.arange(inputs.shape[1]) < lengths[:, None] - 1
    extent = jnp.broadcast_to(lengths[:, None], inputs.shape)
    return Batch(inputs, targets, 1.0 * asked, lengths - 1, extent=extent)


def _corpus(spec: Reber) -> dict[str, Strings]:
    """Draw different strings until there are enough of them; half train, half test."""
    key = jax.random.fold_in(fold(held_out_key("test"), "corpus"), spec.corpus_seed)
    wanted = 2 * (spec.corpus or 0)
    symbols, lengths = grammar.strings(key, CANDIDATES * wanted, spec.longest)
    _, first = np.unique(np.asarray(symbols), axis=0, return_index=True)
    chosen = np.sort(first)[:wanted]  # in the order in which they were drawn
    if len(chosen) < wanted:
        raise ValueError(
            f"task.corpus={spec.corpus} needs {wanted} different strings; {len(chosen)} were found "
            f"of at most task.longest={spec.longest} symbols. Allow longer ones, or ask for fewer"
        )
    half = wanted // 2
    pick = lambda rows: Strings(symbols[rows], lengths[rows])
    return {"train": pick(chosen[:half]), "test": pick(chosen[half:]), "valid": pick(chosen)}


def _draw_from_corpus(data: Tree, key: Seed, size: int) -> Batch:
    train = data["train"]
    rows = jax.random.randint(fold(key, "rows"), (size,), 0, train.symbols.shape[0])
    return _batch(train.symbols[rows], train.lengths[rows])


def _corpus_split(data: Tree, split: str) -> tuple[Batch, ...]:
    held_out_key(split)  # refuses an unknown split
    return (_batch(*data[split]),)
