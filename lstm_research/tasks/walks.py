"""Walks through languages: strings drawn a symbol a step, each with odds that the state decides.

A language is a state, how likely each symbol is to come next, and what a symbol does to the state.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lstm_research.axes import Array, Bool, Float, Int, Seed, Tree
from lstm_research.initial import fold


class Language(NamedTuple):
    """Pure functions of a state, a pytree whose leaves have a batch axis first.

    start  size -> state before the first symbol
    odds   state -> weight of each symbol, in any unit; not all zero
    move   (state, symbols) -> state
    told   state -> what a task asks of the state
    """

    start: Callable[[int], Tree]
    odds: Callable[[Tree], Float[Array, "batch symbols"]]
    move: Callable[[Tree, Int[Array, "batch"]], Tree]
    told: Callable[[Tree], Array]


def walk(
    language: Language, key: Seed, size: int, length: int
) -> tuple[Int[Array, "batch time"], Array]:
    """Draw strings and what their states tell after each symbol; batch first."""

    def step(state: Tree, share: Float[Array, "batch"]) -> tuple[Tree, tuple[Array, Array]]:
        heap = jnp.cumsum(language.odds(state), axis=1)
        whole = heap[:, -1:]
        passed = (heap <= share[:, None] * whole) & (
            heap < whole
        )  # never beyond the last that can be
        symbols = passed.sum(axis=1).astype(jnp.int32)
        state = language.move(state, symbols)
        return state, (symbols, language.told(state))

    shares = jax.random.uniform(fold(key, "walk"), (length, size))  # one number a symbol
    _, (symbols, told) = jax.lax.scan(step, language.start(size), shares)
    return symbols.T, told.swapaxes(0, 1)


def sets_right(
    outputs: Float[Array, "batch time symbols"],
    targets: Float[Array, "batch time symbols"],
    mask: Float[Array, "batch time"],
) -> Bool[Array, "batch time"]:
    """Say at which steps exactly the symbols of the set have more than even odds."""
    return ((outputs > 0) == (targets > 0.5)).all(axis=-1) & (mask > 0)
