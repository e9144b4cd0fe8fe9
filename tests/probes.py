"""Tiny tasks with answers by hand, each of which one part of a cell can do and another cannot.

Weights are set, never trained: `hand` makes a cell of one hidden unit whose numbers are 0 but for
those that are named, as `W_i=[20, 0]` or `b_f=20`. A saturated gate is s(+-40) = 1 or 0 to 1e-17.
"""

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.cell import Cell, Weights
from lstm_research.engines import unroll

OPEN, SHUT = 40.0, -40.0


def hand(cell: Cell, features: int, **numbers) -> Weights:
    """Return weights of one hidden unit, zero but for `W_name`, `R_name`, `b_name` and `p_name`."""
    shapes = jax.eval_shape(lambda: cell.init(jax.random.key(0), features, 1))
    weights = jax.tree.map(lambda leaf: np.zeros(leaf.shape), shapes)
    (stage,) = cell.stages
    driven, read = stage.both + stage.driven, stage.both + stage.recurred
    for name, value in numbers.items():
        part, block = name.split("_")
        if part == "p":
            weights.p[name][:] = value
        elif part == "R":
            weights.r[0][:, read.index(block)] = value
        else:
            (weights.w if part == "W" else weights.b)[..., driven.index(block)] = value
    return weights


def answer(cell: Cell, weights: Weights, x) -> np.ndarray:
    """Return h of one sequence `time features`."""
    return np.asarray(unroll(cell, weights, cell.start((), 1), jnp.asarray(x, float))[1])[:, 0]


def echo(steps: int = 12, seed: int = 0):
    """Inputs (value, marker): hold the value of the last marked step, ignore the others."""
    rng = np.random.default_rng(seed)
    value, marker = rng.uniform(-1, 1, steps), (rng.random(steps) < 0.3) * 1.0
    marker[0] = 1.0
    held, target = 0.0, []
    for v, m in zip(value, marker, strict=True):
        held = v if m else held
        target.append(held)
    return np.stack([value, marker], 1), np.array(target)


def latch(steps: int = 40):
    """Inputs (write, wipe): a bit is written at step 1, held, wiped at step 30."""
    x, target = np.zeros((steps, 2)), np.zeros(steps)
    x[1, 0] = x[30, 1] = 1.0
    target[1:30] = 1.0
    return x, target


def count(steps: int = 50, seed: int = 0):
    """Inputs of zeros and ones: how many ones so far?"""
    x = (np.random.default_rng(seed).random(steps) < 0.5) * 1.0
    return x[:, None], x.cumsum()
