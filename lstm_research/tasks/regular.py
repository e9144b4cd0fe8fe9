"""Regular problems of the Chomsky hierarchy: what a finite automaton answers.

even_pairs          bits; is the number of 01 and 10 together odd? The first bit against the last::

                        0 0 1 1 1 0 -> 0        0 1 0 1 0 0 1 -> 1

cycle_navigation    moves 0, 1, 2 = stay, right, left on a circle of five; where does it end? ::

                        1 1 1 2 -> 2            1 2 0 2 2 -> 3

modular_arithmetic  digits 0..4 and + - *, the product first; the value modulo 5::

                        1 + 2 * 3 -> 2          0 * 1 + 4 * 3 - 2 -> 0

(Deletang et al. 2023, arXiv:2207.02098; the fourth, parity, is a task of its own.)
"""

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Int, Seed
from lstm_research.initial import fold
from lstm_research.tasks.spans import Span
from lstm_research.tasks.transduction import Problem, Strings, constant, evenly, one

CIRCLE = 5
MODULUS = 5
OPERATORS = "+-*"  # tokens 5, 6, 7, after the digits


def symbols(key: Seed, name: str, shape: tuple[int, ...], many: int) -> Int[Array, "..."]:
    """Draw uniform symbols 0..many - 1 from the key of a name."""
    return jax.random.randint(fold(key, name), shape, 0, many)


def _even_pairs(key: Seed, lengths: Int[Array, "batch"], longest: int) -> Strings:
    bits = symbols(key, "bits", (lengths.shape[0], longest), 2)
    last = jnp.take_along_axis(bits, lengths[:, None] - 1, axis=1)
    return one(bits, lengths, (bits[:, :1] ^ last)[:, 0])


def _cycle_navigation(key: Seed, lengths: Int[Array, "batch"], longest: int) -> Strings:
    moves = symbols(key, "moves", (lengths.shape[0], longest), 3)
    inside = jnp.arange(longest) < lengths[:, None]
    steps = jnp.where(moves == 2, -1, moves) * inside
    return one(moves, lengths, steps.sum(axis=1) % CIRCLE)


def _cycle_chance(span: Span) -> dict[str, float]:
    """Walk the odds of each place along the circle, and average them over the lengths."""
    places, found = np.eye(CIRCLE)[0], []
    for _ in range(span.longest):
        places = (places + np.roll(places, 1) + np.roll(places, -1)) / 3
        found.append(places)
    return constant(np.mean(found[span.shortest - 1 :], axis=0))


def _modular_arithmetic(key: Seed, lengths: Int[Array, "batch"], longest: int) -> Strings:
    lengths = lengths - (lengths + 1) % 2
    shape = (lengths.shape[0], longest)
    digits, operators = symbols(key, "digits", shape, MODULUS), symbols(key, "operators", shape, 3)
    tokens = jnp.where(jnp.arange(longest) % 2 == 0, digits, MODULUS + operators)
    pairs = (longest - 1) // 2
    operator, digit = operators[:, 1::2][:, :pairs].T, digits[:, 2::2][:, :pairs].T
    inside = jnp.arange(pairs)[:, None] < lengths // 2

    def step(carry: tuple[Array, Array], now: tuple[Array, Array, Array]):
        total, term = carry
        operator, digit, inside = now
        product = operator == 2
        next_total = jnp.where(product, total, total + term)
        next_term = jnp.where(product, term * digit, jnp.where(operator == 1, -digit, digit))
        keep = lambda new, old: jnp.where(inside, new % MODULUS, old)
        return (keep(next_total, total), keep(next_term, term)), None

    start = (jnp.zeros_like(lengths), digits[:, 0])
    (total, term), _ = jax.lax.scan(step, start, (operator, digit, inside))
    return one(tokens, lengths, (total + term) % MODULUS)


def _arithmetic_chance(span: Span) -> dict[str, float]:
    """Walk the odds of (total, present term) along the digits, and average those of their sum."""
    state, found = np.zeros((MODULUS, MODULUS)), {}
    state[0] = 1 / MODULUS
    add = np.add.outer(np.arange(MODULUS), np.arange(MODULUS)) % MODULUS
    for length in range(1, span.longest + 1, 2):
        value = np.bincount(add.ravel(), state.ravel(), MODULUS)
        found[length] = found[length + 1] = value  # an even length is one less
        product = np.zeros_like(state)
        for term in range(MODULUS):
            for digit in range(MODULUS):
                product[:, term * digit % MODULUS] += state[:, term] / MODULUS
        state = product / 3 + np.outer(value, np.full(MODULUS, 1 / MODULUS)) * 2 / 3
    return constant(np.mean([found[n] for n in range(span.shortest, span.longest + 1)], axis=0))


REGULAR = {
    "even_pairs": Problem(2, 2, 2, _even_pairs, evenly(2), single=True),
    "cycle_navigation": Problem(3, CIRCLE, 1, _cycle_navigation, _cycle_chance, single=True),
    "modular_arithmetic": Problem(
        MODULUS + 3, MODULUS, 1, _modular_arithmetic, _arithmetic_chance, single=True
    ),
}
