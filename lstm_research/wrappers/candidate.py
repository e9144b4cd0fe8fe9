"""Recurrent dropout without memory loss: the candidate is dropped, never the memory."""

from functools import partial
from typing import Any

from lstm_research import initial
from lstm_research.axes import Array, Seed, Tree
from lstm_research.cell import Cell, Pre, Weights, sizes
from lstm_research.wrappers.front import Share, front
from lstm_research.wrappers.variational import mask


def candidate_dropout(cell: Cell, share: Share) -> Cell:
    """Return a cell whose candidate passes a fresh mask at every step.

    ::

        c' = f c + i (d g),    d ~ Bernoulli(1 - share) / (1 - share)  a step and unit

    Without a key d = 1. Raises ValueError outside the gated family, whose update alone has the hook.
    Source: Semeniuta, Severyn & Barth 2016 (arXiv:1603.05118), as in TensorFlow's
    LayerNormBasicLSTMCell; the paper was not read.
    """
    if not cell.opened:
        raise ValueError(
            f"candidate_dropout={share} needs a cell of kind gated, which shows its candidate"
        )
    return front(cell, partial(draw, share), update=update)


def draw(share: Share, cell: Cell, weights: Weights, x: Array, key: Seed) -> Array:
    """Return a mask a step."""
    shape = (*x.shape[:-1], sizes(cell, weights)[1])
    return mask(initial.fold(key, "candidate_dropout"), share, shape, x)


def update(
    cell: Cell,
    masks: Array | None,
    weights: Weights,
    z: tuple[Pre, ...],
    carry: Tree,
    **inside: Any,
) -> Tree:
    """Take the step of the cell inside with g under its mask."""
    if masks is not None:
        inside["taken"] = lambda g: g * masks
    return cell.update(weights, z, carry, **inside)
