"""Recurrences that are linear in their state: `s = a s' + b` element by element, a and b of x alone.

Such a cell is its levels and a `gather`, and nothing else: `update` here makes its step of them,
`parallel.py` its run over all steps at once, so that the two cannot drift apart::

    for each level k:   a, b = coefficients_k(weights, z, (s'_1, s_1), .., (s'_k-1, s_k-1))
                        s_k  = a s'_k + b            or max(a + s'_k, b)
    z     = z, and output(weights, z, ((s'_1, s_1), ..)) R in its last stage
    carry = gather(weights, z, ((s'_1, s_1), ..))

A later level sees the earlier ones before and after the step: the memory of an mLSTM needs its
stabiliser, a convolution needs the input of the step before. `output` is for a cell whose states a
matrix mixes on their way out: levels see the stages before the last alone, and the product of the
last stage waits for them. One step at a time, `read` makes it the read of that stage; all steps at
once, `finish` is that stage.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp

from lstm_research.axes import Array, Tree
from lstm_research.cell import Pre, Read, Stage, Weights, join, product
from lstm_research.precision import Precision

Pair = tuple[Array, Array]  # the state of a level before and after a step
Coefficients = Callable[[Weights, tuple[Pre, ...], tuple[Pair, ...]], tuple[Array, Array]]
Output = Callable[[Weights, tuple[Pre, ...], tuple[Pair, ...]], Array]


class Level(NamedTuple):
    """One linear recurrence of a cell; `a` broadcasts against the state, which may be complex."""

    read: Callable[[Tree], Array]  # the state in a carry
    coefficients: Coefficients  # any leading axes: one step, or all of them
    rule: Literal["affine", "max"] = "affine"


class Linear(NamedTuple):
    """The levels of a cell in the order in which they are known, and the carry that they make up."""

    levels: tuple[Level, ...]
    gather: Callable[[Weights, tuple[Pre, ...], tuple[Pair, ...]], Tree]
    output: Output | None = None  # what the product of the last stage reads; None: no such product


def taken(level: Level, a: Array, b: Array, before: Array) -> Array:
    """Return the state of a level one step on."""
    return a * before + b if level.rule == "affine" else jnp.maximum(a + before, b)


def advance(
    levels: tuple[Level, ...], weights: Weights, z: tuple[Pre, ...], carry: Tree
) -> tuple[Pair, ...]:
    """Take one step of all levels."""
    pairs: tuple[Pair, ...] = ()
    for level in levels:
        before = level.read(carry)
        a, b = level.coefficients(weights, z, pairs)
        pairs = (*pairs, (before, taken(level, a, b, before)))
    return pairs


def update(linear: Linear) -> Callable[[Weights, tuple[Pre, ...], Tree], Tree]:
    """Return the `update` of a cell whose recurrence is linear."""

    def rule(weights: Weights, z: tuple[Pre, ...], carry: Tree) -> Tree:
        return linear.gather(weights, z, advance(linear.levels, weights, z, carry))

    return rule


def read(levels: tuple[Level, ...], output: Output) -> Read:
    """Return the `read` of a last stage that sees the levels after the step."""

    def look(weights: Weights, z: tuple[Pre, ...], carry: Tree) -> Array:
        return output(weights, z, advance(levels, weights, z, carry))

    return look


def finish(
    linear: Linear, stage: Stage, r: Array | None, weights: Weights, z: tuple[Pre, ...],
    pairs: tuple[Pair, ...], precision: Precision = "float32",
) -> tuple[Pre, ...]:  # fmt: skip
    """Return z with the product of the last stage in it, now that all levels are known.

    stage, r: the last of the cell, and its matrix; z: what the inputs alone make of the stages.
    """
    if linear.output is None or r is None:
        return z
    *earlier, last = z
    heard = product(linear.output(weights, tuple(earlier), pairs), r, precision)
    return (*earlier, join(stage, (last.both, last.driven), heard))
