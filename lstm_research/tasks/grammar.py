"""The embedded Reber grammar as tables: an automaton, its legal symbols, and exact odds.

Strings of the grammar have no longest length, programs need one. They are drawn from the grammar's
own distribution given that they fit: each branch is weighed by the odds that the string still ends
in time. Nothing is rejected, so that drawing is one scan of fixed shape.
"""

from functools import partial
from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Bool, Float, Int, Seed

SYMBOLS = "BTPSXVE"
SHORTEST = 9
INNER = ("B1", "T2 P3", "S2 X4", "T3 V5", "X3 S6", "P4 V6", "E7")  # symbol and state it leads to
COPIES = {"T": 2, "P": 10}  # where the inner grammar begins in each branch of the outer one
LAST, DONE, STATES = 18, 19, 20


def _branches() -> list[list[tuple[int, int]]]:
    """Return the two equally likely (symbol, next state) of each state; one alone stands twice."""
    outer = {0: "B1", 1: f"T{COPIES['T']} P{COPIES['P']}", LAST: f"E{DONE}"}
    for symbol, first in COPIES.items():
        for state, moves in enumerate(INNER):
            inside = [f"{move[0]}{int(move[1:]) + first}" for move in moves.split()]
            outer[first + state] = " ".join(inside)
        outer[first + len(INNER)] = f"{symbol}{LAST}"
    outer[DONE] = f"E{DONE}"  # padding, never scored
    table = []
    for state in range(STATES):
        moves = [(SYMBOLS.index(move[0]), int(move[1:])) for move in outer[state].split()]
        table.append(moves * (2 // len(moves)))
    return table


BRANCHES = np.array(_branches(), np.int32)  # state, branch, (symbol, next state)
EMITTED, NEXT = BRANCHES[..., 0], BRANCHES[..., 1]
LEGAL = np.zeros((STATES, len(SYMBOLS)), bool)  # may this symbol follow in this state?
LEGAL[np.arange(STATES)[:, None], EMITTED] = True
LEGAL[DONE] = False
AFTER = np.full((STATES, len(SYMBOLS)), DONE, np.int32)  # state after a symbol; DONE if illegal
AFTER[np.arange(STATES)[:, None], EMITTED] = NEXT


def first_branch(longest: int) -> Float[np.ndarray, "remaining states"]:
    """Return P(first branch | the string ends within `remaining` symbols), 0..longest of them."""
    fits = np.zeros((longest + 1, STATES))
    fits[:, DONE] = 1.0
    odds = np.full((longest + 1, STATES), 0.5)
    for remaining in range(1, longest + 1):
        ahead = fits[remaining - 1][NEXT]
        fits[remaining, :DONE] = ahead[:DONE].mean(axis=1)
        possible = ahead.sum(axis=1) > 0
        odds[remaining, possible] = ahead[possible, 0] / ahead[possible].sum(axis=1)
    return odds


@partial(jax.jit, static_argnums=(1, 2))
def strings(
    key: Seed, size: int, longest: int
) -> tuple[Int[Array, "batch time"], Int[Array, "batch"]]:
    """Draw strings of at most `longest` symbols, padded with E, and their lengths."""
    odds = jnp.asarray(first_branch(longest)[:0:-1], jnp.float32)  # row t: longest - t remain
    chances = jax.random.uniform(key, (longest, size), jnp.float32)

    def step(state: Array, now: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        chance, first = now
        branch = (chance >= first[state]).astype(jnp.int32)
        return jnp.asarray(NEXT)[state, branch], (jnp.asarray(EMITTED)[state, branch], state)

    start = jnp.zeros(size, jnp.int32)
    _, (symbols, states) = jax.lax.scan(step, start, (chances, odds))
    return symbols.T, (states != DONE).sum(axis=0)


def legal_next(
    symbols: Int[Array, "batch time"], after: Int[np.ndarray, "states symbols"] = AFTER
) -> Bool[Array, "batch time symbols"]:
    """Return which symbols may follow each prefix; none may after the end or an illegal symbol.

    after: the state after a symbol; one that leads from the end to a start makes streams of strings.
    """

    def step(state: Array, symbol: Array) -> tuple[Array, Array]:
        reached = jnp.asarray(after)[state, symbol]
        return reached, reached

    start = jnp.zeros(symbols.shape[0], jnp.int32)
    _, states = jax.lax.scan(step, start, symbols.T)
    return jnp.asarray(LEGAL)[states].swapaxes(0, 1)


class Memoryless(NamedTuple):
    """What the best predictor reaches that sees the present symbol alone."""

    nll: float  # nats per symbol
    accuracy: float
    legal: float  # share of steps at which every legal symbol can outdo every illegal one


def memoryless(longest: int) -> Memoryless:
    """Compute its scores on strings of at most `longest` symbols."""
    return scores(*_expected(longest))


def scores(
    pairs: Float[np.ndarray, "symbol next"], visits: Float[np.ndarray, "symbol state"]
) -> Memoryless:
    """Compute its scores exactly, from expected counts of (symbol, next symbol), (symbol, state)."""
    total = pairs.sum()
    guess = pairs / np.maximum(pairs.sum(axis=1, keepdims=True), 1e-300)
    nll = -sum(count * log(p) for count, p in zip(pairs.flat, guess.flat, strict=True) if count > 0)
    legal = sum(_best_ranking(row) for row in visits) / total
    return Memoryless(float(nll / total), float(pairs.max(axis=1).sum() / total), float(legal))


def entropy(longest: int) -> float:
    """Return the nats per predicted symbol that remain to who knows the grammar and `longest`."""
    odds, now = first_branch(longest), np.zeros(STATES)
    now[0], nats, asked = 1.0, 0.0, -1.0  # the first symbol is given
    for remaining in range(longest, 0, -1):
        ahead = np.zeros(STATES)
        for state in range(DONE):
            first, second = shares = (odds[remaining, state], 1 - odds[remaining, state])
            if EMITTED[state, 0] != EMITTED[state, 1]:
                nats -= now[state] * sum(share * log(share) for share in shares if share > 0)
            ahead[NEXT[state, 0]] += first * now[state]
            ahead[NEXT[state, 1]] += second * now[state]
        asked += now[:DONE].sum()
        now = ahead
    return float(nats / asked)


def _best_ranking(visits: Float[np.ndarray, "state"]) -> float:
    """Return at how many visits one ranking of the symbols can put the legal ones on top.

    It does so in states whose legal sets lie inside one another, so the heaviest such chain counts.
    The grammar is full of ties between sets, and probabilities would break them by rounding.
    """
    weights: dict[frozenset[int], float] = {}
    for legal, weight in zip(LEGAL[:DONE], visits[:DONE], strict=True):
        choice = frozenset(np.flatnonzero(legal).tolist())
        weights[choice] = weights.get(choice, 0.0) + float(weight)
    best: dict[frozenset[int], float] = {}
    for choice in sorted(weights, key=len):
        inner = max((best[other] for other in best if other < choice), default=0.0)
        best[choice] = weights[choice] + inner
    return max(best.values())


def _expected(
    longest: int,
) -> tuple[Float[np.ndarray, "symbol next"], Float[np.ndarray, "symbol state"]]:
    """Return expected counts a string of (symbol, next symbol) and of (symbol, state after it)."""
    odds = first_branch(longest)
    pairs, visits = np.zeros((len(SYMBOLS), len(SYMBOLS))), np.zeros((len(SYMBOLS), STATES))
    now = np.zeros((len(SYMBOLS) + 1, STATES))  # P(last symbol, state); the last row: none yet
    now[-1, 0] = 1.0
    for remaining in range(longest, 0, -1):
        ahead = np.zeros_like(now)
        visits[:, :DONE] += now[:-1, :DONE]
        for state in range(DONE):
            for branch, odd in enumerate((odds[remaining, state], 1 - odds[remaining, state])):
                symbol, after = BRANCHES[state, branch]
                pairs[:, symbol] += odd * now[:-1, state]
                ahead[symbol, after] += odd * now[:, state].sum()
        now = ahead
    return pairs, visits
