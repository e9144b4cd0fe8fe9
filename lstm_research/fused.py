"""The recurrence with its own backward: the reverse scan emits dz, every weight gradient is one
product.

Autodiff carries dR, as large as R, through every step. Here the reverse loop asks `jax.vjp` for the
backward of the element-wise `update`, so no derivative of any gate variant is written by hand, and

    dR_k = sum over t of  v_k,t^T dz_k,t        is one product after the loop;

the vectors inside the update (peepholes) are spread over the batch, so that their gradients add up
element-wise in the loop and are summed once at its end.

A GPU launches kernels for every trip of a loop, so there a trip takes several steps: of an LSTM of
128 units, compiled for an H200 by jax 0.11.2, a step is 8 kernels forward and 8 back alone, 17 for 4
steps (their outputs are written together, and the counter moves once), 29 for 8 steps at several
times the compile time. With barriers in the cell (`activation.once`) it would be 10 and 11.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research.axes import Array, Hiddens, Tree
from lstm_research.cell import Cell, Pre, Weights, driven, step
from lstm_research.cotangents import (
    back_step,
    earlier,
    masked_back,
    preactivations,
    projected,
    recurrent_gradients,
)
from lstm_research.masks import Masks, choose
from lstm_research.precision import backwards, narrow

UNROLL = {"gpu": 4}  # steps in one trip of the loop, by backend; elsewhere 1


def loop(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks, reverse: bool
) -> tuple[Tree, Hiddens]:
    """Run the recurrence; the same signature as `unroll.scan`."""
    inside = weights._replace(w=None, b=None, row=None, m=None)
    return recurrence(cell, reverse, inside, weights.row, first, carry, zx, masks)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def recurrence(
    cell: Cell, reverse: bool, weights: Weights, row: Tree, first: Tree, carry: Tree, zx: Tree,
    masks: Masks,
) -> tuple[Tree, Hiddens]:  # fmt: skip
    """Return (last carry, h)."""
    return forward(cell, reverse, weights, row, first, carry, zx, masks)[0]


class Saved(NamedTuple):
    """What the backward pass needs of the forward pass."""

    weights: Weights
    row: Tree
    first: Tree  # the carry after a reset
    start: Tree  # the carry that came in
    zx: Tree
    masks: Masks
    carries: Tree
    z: tuple[Pre, ...]  # without `driven`, which is a part of zx


def ahead(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks, reverse: bool,
    keep: bool = False,
) -> tuple[tuple[Tree, Hiddens], Any]:  # fmt: skip
    """Run the loop; return (last carry, h) and the carries, where kept with the pre-activations."""
    operands = tuple(None if r is None else narrow(r, cell.precision) for r in weights.r)
    full = weights._replace(r=operands)  # rounded once, not at every step

    def body(carry: Tree, now: tuple[Tree, Masks]) -> tuple[Tree, Any]:
        zx_t, (valid, fresh) = now
        before = carry if fresh is None else choose(fresh, first, carry)
        after, z = step(cell, full, zx_t, before)
        carry = after if valid is None else choose(valid, after, before)
        return carry, (carry, tuple(pre._replace(driven=None) for pre in z) if keep else ())

    trip = UNROLL.get(jax.default_backend(), 1)
    last, (carries, z) = lax.scan(body, carry, (zx, masks), reverse=reverse, unroll=trip)
    h = cell.emit(carries)
    if masks.valid is not None:
        h = jnp.where(masks.valid, h, 0)
    return (last, h), (carries, z) if keep else carries


def forward(
    cell: Cell, reverse: bool, weights: Weights, row: Tree, first: Tree, carry: Tree, zx: Tree,
    masks: Masks,
) -> tuple[tuple[Tree, Hiddens], Saved]:  # fmt: skip
    """Run the loop; keep the pre-activations and the carries."""
    full = weights._replace(row=row)
    found, kept = ahead(cell, full, first, carry, zx, masks, reverse, keep=True)
    return found, Saved(weights, row, first, carry, zx, masks, *kept)


def back(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks, reverse: bool,
    carries: Tree, cotangents: tuple[Tree, Hiddens],
) -> tuple[Weights, Tree, Tree]:  # fmt: skip
    """Return what `backward` does, from the carries alone."""
    before = earlier(carries, carry, first, masks, reverse)
    z = preactivations(cell, weights, zx, before)
    inside = weights._replace(w=None, b=None, row=None, m=None)
    saved = Saved(inside, weights.row, first, carry, zx, masks, carries, z)
    d_weights, _, _, d_start, d_zx, _ = backward(cell, reverse, saved, cotangents)
    return d_weights, d_start, d_zx


def backward(
    cell: Cell, reverse: bool, saved: Saved, cotangents: tuple[Tree, Hiddens]
) -> tuple[Weights, None, None, Tree, Tree, None]:
    """Run the loop the other way for dz; then one product a matrix."""
    weights, row, zx, masks, z = saved.weights, saved.row, saved.zx, saved.masks, saved.z
    d_last, d_h = cotangents
    batch = d_h.shape[1:-1]
    before = earlier(saved.carries, saved.start, saved.first, masks, reverse)
    vectors = weights._replace(r=None, row=row)
    spread = {name: jnp.broadcast_to(p, (*batch, *p.shape)) for name, p in vectors.p.items()}
    apart = vectors._replace(p=spread)
    back = backwards(cell.precision)
    turned = [None if r is None else lax.optimization_barrier(narrow(r.T, back)) for r in weights.r]
    alone = [pair[1] for pair in driven(cell, zx)]
    z = tuple(pre._replace(driven=x) for pre, x in zip(z, alone, strict=True))

    def body(
        carry: tuple[Tree, Tree], now: tuple[Array, tuple[Pre, ...], Tree, Masks]
    ) -> tuple[tuple[Tree, Tree], tuple[Pre, ...]]:
        (d_carry, d_p), (d_h_t, z_t, before_t, mask) = carry, now
        back = partial(back_step, cell, apart, turned, z_t, before_t)
        d_carry, d_p_t, dz = masked_back(back, mask, d_carry, d_h_t)
        return (d_carry, jax.tree.map(jnp.add, d_p, d_p_t)), dz

    zero = (d_last, jax.tree.map(jnp.zeros_like, spread))
    trip, steps = UNROLL.get(jax.default_backend(), 1), (d_h, z, before, masks)
    (d_start, d_p), dz = lax.scan(body, zero, steps, reverse=not reverse, unroll=trip)
    d_r = recurrent_gradients(cell, vectors, weights.r, z, before, dz)
    d_p = {name: g.reshape(-1, *weights.p[name].shape).sum(0) for name, g in d_p.items()}
    return weights._replace(r=d_r, p=d_p), None, None, d_start, projected(cell, zx, dz), None


recurrence.defvjp(forward, backward)
