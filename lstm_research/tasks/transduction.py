"""A function from strings to strings, as a task: read the string, then answer a symbol a step.

The network reads n symbols, then one `ask` for each symbol of the answer; it hears nothing of what
it has answered. Problems differ in their strings and answers alone, which a `Problem` draws; the
layout, the weights and the lengths are here.

Each row weighs one: the weight of each of its |y| answers is 1 / |y|, so that accuracy is the mean
over strings of the share of right symbols, as Deletang et al. 2023 (arXiv:2207.02098) count it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Float, Int, Seed
from lstm_research.tasks.spans import Span, lengths
from lstm_research.tasks.task import Batch

Shares = Float[np.ndarray, "classes"]


class Strings(NamedTuple):
    """Strings and answers; what stands beyond a row's length, or its count, is of no meaning.

    inputs   symbols
    lengths  of each string; it may be shorter than the one asked for (an even one made odd)
    answers  classes
    count    of each answer
    """

    inputs: Int[Array, "batch time"]
    lengths: Int[Array, "batch"]
    answers: Int[Array, "batch most"]
    count: Int[Array, "batch"]


class Problem(NamedTuple):
    """What one form of a task is.

    symbols   kinds of input
    classes   kinds of answer
    shortest  length of the shortest string that has an answer
    make      (key, lengths, longest) -> Strings; longest is static
    chance    span of lengths -> what the best constant reaches: an `ask` tells nothing of the string
    single    one class answers each string
    """

    symbols: int
    classes: int
    shortest: int
    make: Callable[[Seed, Int[Array, "batch"], int], Strings]
    chance: Callable[[Span], dict[str, float]]
    single: bool = False


def draw(problem: Problem, key: Seed, size: int, span: Span) -> Batch:
    """Draw `size` strings and lay each out with its asks and answers."""
    return lay(problem, problem.make(key, lengths(key, size, span), span.longest))


def lay(problem: Problem, strings: Strings) -> Batch:
    """Put asks behind each string, and the answers under the asks."""
    most = strings.answers.shape[1]
    steps = jnp.arange(strings.inputs.shape[1] + most)
    first, last = strings.lengths[:, None], (strings.lengths + strings.count)[:, None]
    asked = (steps >= first) & (steps < last)
    padded = jnp.pad(strings.inputs, ((0, 0), (0, most)))
    inputs = jnp.where(steps < first, padded, jnp.where(asked, problem.symbols, 0))
    ends, rows = last[:, 0], strings.inputs.shape[0]
    if problem.single:
        return Batch(inputs, strings.answers[:, 0], jnp.ones(rows), ends, extent=strings.lengths)
    place = jnp.clip(steps - first, 0, most - 1)
    targets = jnp.where(asked, jnp.take_along_axis(strings.answers, place, axis=1), 0)
    mask = asked / strings.count[:, None]
    extent = jnp.broadcast_to(first, inputs.shape)
    return Batch(inputs, targets, mask, ends, extent=extent)


def one(inputs: Array, lengths: Array, answer: Array) -> Strings:
    """Return strings that one class answers."""
    return Strings(inputs, lengths, answer[:, None], jnp.ones_like(lengths))


def evenly(classes: int) -> Callable[[Span], dict[str, float]]:
    """Return the chance of a problem whose classes are all as frequent."""
    return lambda span: constant(np.full(classes, 1 / classes))


def constant(shares: Shares) -> dict[str, float]:
    """Return what the best constant reaches, given the mean share of each class."""
    some = shares[shares > 0]
    return {"accuracy": float(shares.max()), "nll": float(-(some * np.log(some)).sum())}
