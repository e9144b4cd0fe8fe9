"""The continual embedded Reber grammar: string after string, and nobody says where one begins."""

from dataclasses import dataclass
from itertools import product
from math import log
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Float, Seed
from lstm_research.initial import fold
from lstm_research.loss import Sum
from lstm_research.tasks import grammar
from lstm_research.tasks.grammar import AFTER, DONE, EMITTED, LEGAL, NEXT, SYMBOLS
from lstm_research.tasks.limits import whole
from lstm_research.tasks.reber import outdone
from lstm_research.tasks.tally import before_error, shares
from lstm_research.tasks.task import Batch, Success, Task, drawn_once

AGAIN, BACK = (np.where(table == DONE, 0, table)[:DONE] for table in (NEXT, AFTER))
LEGALS = [frozenset(np.flatnonzero(LEGAL[state]).tolist()) for state in range(DONE)]


def _moves(branch: int) -> Float[np.ndarray, "state symbol state"]:
    """Return P(symbol, next state | state) of one of the two branches."""
    symbols, states = EMITTED[:DONE, branch], AGAIN[:, branch]
    return np.eye(len(SYMBOLS))[symbols][:, :, None] * np.eye(DONE)[states][:, None] / 2


MOVES = _moves(0) + _moves(1)


@dataclass(frozen=True)
class ContinualReber:
    """Embedded Reber strings one after another, without resets; predict every legal next symbol.

    One row is one stream, and begins with a string::

        B T B T X S E T E B P B P V V E P E B T ...

    length    symbols predicted in a training stream
    stream    symbols predicted in a held-out stream (at most 100,000 in the paper)
    held_out  streams of each held-out split (10 in the paper)

    A prediction is right when all symbols that may come next outdo all that may not. `before_error`
    is the mean number of right predictions before the first wrong one of a stream, `legal` the share
    of right ones, `sequence_legal` that of streams without a wrong one. Solved when every validation
    stream is one. (Gers, Schmidhuber & Cummins 2000.) Departures: training streams have a fixed
    length, in the paper they end at the first error; softmax and cross-entropy, for the paper's
    sigmoids, squared error, and errors of all outputs below 0.49.
    """

    kind: Literal["continual_reber"] = "continual_reber"
    length: int = 200
    stream: int = 1000
    held_out: int = 100

    def __post_init__(self) -> None:
        """Raise ValueError where no such stream exists."""
        for field in ("length", "stream"):
            whole(field, getattr(self, field), 1, "a symbol to predict")
        whole("held_out", self.held_out, 1, "streams of a held-out split")

    def build(self) -> Task:
        """Return the task."""
        stream = lambda data, key, size: _draw(key, size, self.stream)
        known = _expected(self.stream)
        chance = grammar.scores(known.pairs, known.visits)
        return Task(
            name="continual_reber",
            readout="step",
            loss="cross_entropy",
            outputs=len(SYMBOLS),
            vocabulary=len(SYMBOLS),
            draw=lambda data, key, size: _draw(key, size, self.length),
            held_out=drawn_once(stream, self.held_out),
            metric="before_error",
            goal="max",
            chance={
                **chance._asdict(),
                "sequence_legal": 0.0,
                "before_error": _memoryless(self.stream),
            },
            success=Success("sequence_legal", at_least=1.0),
            score=_score,
            ceiling={
                "before_error": float(self.stream),
                "legal": 1.0,
                "sequence_legal": 1.0,
                "nll": known.nll,
            },
            source="Gers, Schmidhuber & Cummins 2000",
        )


def _draw(key: Seed, size: int, steps: int) -> Batch:
    branches = jax.random.bernoulli(fold(key, "branches"), 0.5, (steps + 1, size)).astype(jnp.int32)

    def step(state: Array, branch: Array) -> tuple[Array, Array]:
        return jnp.asarray(AGAIN)[state, branch], jnp.asarray(EMITTED)[state, branch]

    _, symbols = jax.lax.scan(step, jnp.zeros(size, jnp.int32), branches)
    return Batch(symbols[:-1].T, symbols[1:].T, jnp.ones((size, steps)))


def _score(outputs: Float[Array, "batch time symbols"], batch: Batch) -> dict[str, Sum]:
    right, asked = outdone(outputs, grammar.legal_next(batch.inputs, BACK)), batch.mask > 0
    return {"before_error": before_error(right, asked), **shares("legal", right, asked)}


class Known(NamedTuple):
    """What the grammar says of a stream of so many predictions."""

    pairs: Float[np.ndarray, "symbol next"]  # expected counts of (symbol, next symbol)
    visits: Float[np.ndarray, "symbol state"]  # and of (symbol, state after it)
    nll: float  # nats per symbol that remain to who knows the state


def _expected(steps: int) -> Known:
    now = MOVES[0]  # P(last symbol, state) after the first symbol, which is given
    visits = np.zeros_like(now)
    for _ in range(steps):
        visits = visits + now
        now = np.einsum("s,snt->nt", now.sum(axis=0), MOVES)
    pairs = visits @ MOVES.sum(axis=2)
    branching = LEGAL[:DONE].sum(axis=1) == 2  # with probability 1/2 each
    padded = np.pad(visits, ((0, 0), (0, len(LEGAL) - DONE)))
    return Known(pairs, padded, float(log(2) * visits.sum(axis=0) @ branching / steps))


def _memoryless(steps: int) -> float:
    """Return how far the best ranking gets that sees the present symbol alone.

    After each symbol it can be right in states whose legal sets lie inside one another. All
    choices are tried; each is a walk that ends at the first state outside the chosen ones.
    """
    right = np.array(list(product(*map(_rankings, range(len(SYMBOLS))))))  # choice, symbol, state
    now = MOVES[0] * right
    far = np.zeros(len(right))
    for _ in range(steps):
        alive = now.sum(axis=(1, 2))
        far += alive
        if alive.max() < 1e-12:
            break
        now = np.einsum("cs,snt->cnt", now.sum(axis=1), MOVES) * right
    return float(far.max())


def _rankings(symbol: int) -> list[tuple[bool, ...]]:
    """Return, for each way to rank the symbols after one, the states that it is right in.

    No legal set has more than two symbols, so a ranking serves one pair and one of its two, or a
    single symbol alone.
    """
    follows = {int(BACK[before, symbol]) for before in range(DONE) if LEGAL[before, symbol]}
    sets = {LEGALS[state] for state in follows}
    chains = [{top, *(inner for inner in [one] if inner < top)} for top in sets for one in sets]
    served = {tuple(LEGALS[state] in chain for state in range(DONE)) for chain in chains}
    return sorted(served)
