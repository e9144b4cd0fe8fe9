"""Variational dropout: one mask a sequence on what enters a cell, the same at every step."""

from functools import partial
from typing import cast

import jax
import jax.numpy as jnp

from lstm_research import initial
from lstm_research.axes import Array, Seed, Tree
from lstm_research.cell import Cell, Weights, sizes
from lstm_research.masks import Masks
from lstm_research.wrappers.front import Share, front, shapes


def mask(key: Seed, share: Share, shape: tuple[int, ...], like: Array) -> Array:
    """Return 0 with chance `share`, else 1 / (1 - share)."""
    return jax.random.bernoulli(key, 1.0 - share, shape).astype(like.dtype) / (1.0 - share)


def variational_x(cell: Cell, share: Share) -> Cell:
    """Return a cell that hears x under one mask a sequence, tied over gates and steps.

    ::

        x <- d x,    d ~ Bernoulli(1 - share) / (1 - share)  a sequence and feature

    A row of the batch is one sequence, resets or not; on one-hot tokens a mask drops words. Without a
    key d = 1. Source: Gal & Ghahramani 2016 (arXiv:1512.05287), from memory: the paper was not read.
    """
    return cell._replace(
        drive=partial(drive, cell, share),
        observe=None if cell.observe is None else partial(observe, cell, share),
        noisy=True,
    )


def heard(share: Share, x: Array, key: Seed | None) -> Array:
    """Return the inputs under the mask of a key."""
    if key is None:
        return x
    return x * mask(initial.fold(key, "variational_x"), share, x.shape[1:], x)


def drive(
    cell: Cell, share: Share, weights: Weights, x: Array, masks: Masks, key: Seed | None
) -> Tree:
    """Return zx of the masked inputs."""
    return cell.drive(weights, heard(share, x, key), masks, key)


def observe(
    cell: Cell, share: Share, weights: Weights, x: Array, masks: Masks, key: Seed | None
) -> Tree:
    """Return what the cell inside measures on the masked inputs."""
    assert cell.observe is not None
    return cell.observe(weights, heard(share, x, key), masks, key)


def variational_h(cell: Cell, share: Share) -> Cell:
    """Return a cell whose recurrent products read h under one mask a sequence, tied over gates.

    ::

        h R <- (d h) R,    d ~ Bernoulli(1 - share) / (1 - share)  a sequence and unit

    Only the products see the mask; what the update reads of h stays whole. As `variational_x` in
    everything else. Raises ValueError for a cell that has no product, or carries no h.
    """
    there = shapes(cell)
    if "h" not in there or not any(stage.read for stage in cell.stages):
        raise ValueError(
            f"variational_h={share} acts on h in a recurrent product; this cell has none"
        )
    return front(cell, partial(draw, share), look=look)


def draw(share: Share, cell: Cell, weights: Weights, x: Array, key: Seed) -> Array:
    """Return one mask a sequence, the same at each step."""
    wide = shapes(cell, sizes(cell, weights)[1])["h"]
    one = mask(initial.fold(key, "variational_h"), share, (*x.shape[1:-1], wide), x)
    return jnp.broadcast_to(one, (len(x), *one.shape))


def look(carry: Tree, masks: Array) -> Tree:
    """Return the carry with h under its mask."""
    return carry._replace(h=cast(Array, carry.h) * masks)
