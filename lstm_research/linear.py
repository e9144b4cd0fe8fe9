"""Recurrences that are linear in their state: `s = a s' + b` element by element, a and b of x alone.

Such a cell is its levels and a `gather`, and nothing else: `update` here makes its step of them,
`parallel.py` its run over all steps at once, so that the two cannot drift apart::

    for each level k:   a, b = coefficients_k(weights, z, (s'_1, s_1), .., (s'_k-1, s_k-1))
                        s_k  = a s'_k + b            or max(a + s'_k, b)
    carry = gather(weights, z, ((s'_1, s_1), ..))

A later level sees the earlier ones before and after the step: the memory of an mLSTM needs its
stabiliser, a convolution needs the input of the step before.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax.numpy as jnp

from lstm_research.axes import Array, Tree
from lstm_research.cell import Pre, Weights

Pair = tuple[Array, Array]  # the state of a level before and after a step
Coefficients = Callable[[Weights, tuple[Pre, ...], tuple[Pair, ...]], tuple[Array, Array]]


class Level(NamedTuple):
    """One linear recurrence of a cell; `a` broadcasts against the state, which may be complex."""

    read: Callable[[Tree], Array]  # the state in a carry
    coefficients: Coefficients  # any leading axes: one step, or all of them
    rule: Literal["affine", "max"] = "affine"


class Linear(NamedTuple):
    """The levels of a cell in the order in which they are known, and the carry that they make up."""

    levels: tuple[Level, ...]
    gather: Callable[[Weights, tuple[Pre, ...], tuple[Pair, ...]], Tree]


def taken(level: Level, a: Array, b: Array, before: Array) -> Array:
    """Return the state of a level one step on."""
    return a * before + b if level.rule == "affine" else jnp.maximum(a + before, b)


def advance(linear: Linear, weights: Weights, z: tuple[Pre, ...], carry: Tree) -> Tree:
    """Take one step of all levels."""
    pairs: tuple[Pair, ...] = ()
    for level in linear.levels:
        before = level.read(carry)
        a, b = level.coefficients(weights, z, pairs)
        pairs = (*pairs, (before, taken(level, a, b, before)))
    return linear.gather(weights, z, pairs)


def update(linear: Linear) -> Callable[[Weights, tuple[Pre, ...], Tree], Tree]:
    """Return the `update` of a cell whose recurrence is linear."""
    return partial(advance, linear)
