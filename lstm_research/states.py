"""The recurrence that keeps its carries alone: its pre-activations are computed again on the way back.

Once the carries of all steps are known, no step waits for another::

    zx = drive(x)         again, one product
    z_k = zx_k (+) v_k R_k    of all steps at once, v_k read from the carry before each

so what costs another pass through the loop in `pieces.py` costs two products here, and of an LSTM 2 H
numbers a step stay behind instead of 6 H. An engine gives the loop each way (`States`).
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research.axes import Array, Hiddens, Seed, Tree
from lstm_research.cell import Cell, Weights, drives
from lstm_research.masks import Masks


class States(NamedTuple):
    """The two ways of an engine.

    ahead(cell, weights, first, carry, zx, masks, reverse) -> (last, h), carries of all steps;
    back(cell, weights, first, carry, zx, masks, reverse, carries, (d_last, d_h)) -> the cotangents of r
    and p as weights, of the carry, of zx.
    """

    ahead: Callable[..., tuple[tuple[Tree, Hiddens], Tree]]
    back: Callable[..., tuple[Weights, Tree, Tree]]


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def run(
    states: States, cell: Cell, reverse: bool, weights: Weights, row: Tree, first: Tree, carry: Tree,
    x: Array, masks: Masks, key: Seed | None,
) -> tuple[Tree, Hiddens]:  # fmt: skip
    """Return (last carry, h) of a sequence or of a piece of one; weights have no row."""
    return forward(states, cell, reverse, weights, row, first, carry, x, masks, key)[0]


class Saved(NamedTuple):
    """What the backward pass needs of the forward pass."""

    weights: Weights
    row: Tree
    first: Tree
    start: Tree
    x: Array
    masks: Masks
    key: Seed | None
    carries: Tree


def forward(
    states: States, cell: Cell, reverse: bool, weights: Weights, row: Tree, first: Tree, carry: Tree,
    x: Array, masks: Masks, key: Seed | None,
) -> tuple[tuple[Tree, Hiddens], Saved]:  # fmt: skip
    """Run the loop and keep the carries."""
    whole = weights._replace(row=row)
    zx = drives(cell, whole, x, masks, key)
    found, carries = states.ahead(cell, whole, first, carry, zx, masks, reverse)
    return found, Saved(weights, row, first, carry, x, masks, key, carries)


def backward(
    states: States, cell: Cell, reverse: bool, saved: Saved, cotangents: tuple[Tree, Hiddens]
) -> tuple[Weights, None, None, Tree, Array, None, None]:
    """Compute zx again, and let the engine do so with z; the barrier keeps XLA from keeping them."""
    row, first, masks, key = saved.row, saved.first, saved.masks, saved.key
    held = (saved.weights, saved.x, saved.start, saved.carries, cotangents)
    weights, x, start, carries, cotangents = lax.optimization_barrier(held)
    alone = lambda weights, x: drives(cell, weights._replace(row=row), x, masks, key)
    zx, pull = jax.vjp(alone, weights, x)
    whole = weights._replace(row=row)
    inside, d_start, d_zx = states.back(
        cell, whole, first, start, zx, masks, reverse, carries, cotangents
    )
    d_weights, d_x = pull(d_zx)
    added = jax.tree.map(jnp.add, (d_weights.r, d_weights.p), (inside.r, inside.p))
    d_weights = d_weights._replace(r=added[0], p=added[1])
    if inside.w is not None:  # a step has projected its inputs itself: nothing else has used W
        d_weights = d_weights._replace(w=inside.w, b=inside.b)
    return d_weights, None, None, d_start, d_x, None, None


run.defvjp(forward, backward)
