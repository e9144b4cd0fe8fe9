"""The recurrence with its own backward: the reverse scan emits dz, every weight gradient is one
product.

Autodiff carries dR, as large as R, through every step. Here the reverse loop asks `jax.vjp` for the
backward of the element-wise `update`, so no derivative of any gate variant is written by hand, and

    dR_k = sum over t of  v_k,t^T dz_k,t        is one product after the loop;

the vectors inside the update (peepholes) are spread over the batch, so that their gradients add up
element-wise in the loop and are summed once at its end.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research.axes import Array, Hiddens, Lengths, Resets, Steps, Tree
from lstm_research.cell import Cell, Pre, Weights, driven, step, width
from lstm_research.unroll import Engine, Masks, choose, over_time, unroll_scan


def unroll(
    cell: Cell,
    weights: Weights,
    carry: Tree,
    x: Steps,
    *,
    lengths: Lengths | None = None,
    resets: Resets | None = None,
    reverse: bool = False,
    engine: Engine = "auto",
) -> tuple[Tree, Hiddens]:
    """Run a cell over time and return (carry, h).

    x is `time *batch features`, h is `time *batch hidden`. Outputs at or past `lengths` are zero,
    the carry is that of the last valid step, and length 0 returns the carry that came in; what the
    padding holds, NaN too, reaches neither outputs nor gradients. `resets[t]` forgets the carry
    before step t. `reverse` runs from the last valid step to the first and leaves outputs where
    their inputs are. `engine`: "fused" (its own backward), "scan" (autodiff of `lax.scan`), "auto"
    = fused. Raises ValueError where shapes do not belong together.
    """
    if engine == "scan":
        return unroll_scan(cell, weights, carry, x, lengths=lengths, resets=resets, reverse=reverse)
    if engine not in ("auto", "fused"):
        raise ValueError(f"engine={engine!r} is not one of 'auto', 'fused', 'scan'")
    return over_time(loop, cell, weights, carry, x, lengths, resets, reverse)


def loop(
    cell: Cell, weights: Weights, carry: Tree, zx: Array, masks: Masks, reverse: bool
) -> tuple[Tree, Hiddens]:
    """Run the recurrence; the same signature as `unroll.scan`."""
    hidden = width(weights, cell)
    inside = weights._replace(w=None, b=None, row=None)
    return recurrence(cell, hidden, reverse, inside, weights.row, carry, zx, masks)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def recurrence(
    cell: Cell,
    hidden: int,
    reverse: bool,
    weights: Weights,
    row: Tree,
    carry: Tree,
    zx: Array,
    masks: Masks,
) -> tuple[Tree, Hiddens]:
    """Return (last carry, h)."""
    return forward(cell, hidden, reverse, weights, row, carry, zx, masks)[0]


class Saved(NamedTuple):
    """What the backward pass needs of the forward pass."""

    weights: Weights
    row: Tree
    start: Tree  # the carry that came in
    zx: Array
    masks: Masks
    carries: Tree
    z: tuple[Pre, ...]  # without `driven`, which is a part of zx


def forward(
    cell: Cell,
    hidden: int,
    reverse: bool,
    weights: Weights,
    row: Tree,
    carry: Tree,
    zx: Array,
    masks: Masks,
) -> tuple[tuple[Tree, Hiddens], Saved]:
    """Run the loop; keep the pre-activations that hold a recurrent part, and the carries."""
    full = weights._replace(row=row)
    first = cell.start(zx.shape[1:-1], hidden, zx.dtype)

    def body(carry: Tree, now: tuple[Array, Masks]) -> tuple[Tree, tuple[Tree, tuple[Pre, ...]]]:
        zx_t, (valid, fresh) = now
        before = carry if fresh is None else choose(fresh, first, carry)
        after, z = step(cell, full, zx_t, before)
        carry = after if valid is None else choose(valid, after, before)
        return carry, (carry, tuple(pre._replace(driven=None) for pre in z))

    last, (carries, z) = lax.scan(body, carry, (zx, masks), reverse=reverse)
    h = cell.emit(carries)
    if masks.valid is not None:
        h = jnp.where(masks.valid, h, 0)
    return (last, h), Saved(weights, row, carry, zx, masks, carries, z)


def backward(
    cell: Cell, hidden: int, reverse: bool, saved: Saved, cotangents: tuple[Tree, Hiddens]
) -> tuple[Weights, None, Tree, Array, None]:
    """Run the loop the other way for dz; then one product a matrix."""
    weights, row, zx, masks, z = saved.weights, saved.row, saved.zx, saved.masks, saved.z
    d_last, d_h = cotangents
    batch = zx.shape[1:-1]
    before = earlier(saved, cell.start(batch, hidden, zx.dtype), reverse)
    vectors = weights._replace(r=None, row=row)
    spread = {name: jnp.broadcast_to(p, (*batch, *p.shape)) for name, p in vectors.p.items()}
    apart = vectors._replace(p=spread)
    turned = [lax.optimization_barrier(r.T) for r in weights.r]
    alone = [pair[1] for pair in driven(cell, zx)]
    z = tuple(pre._replace(driven=x) for pre, x in zip(z, alone, strict=True))

    def body(
        carry: tuple[Tree, Tree], now: tuple[Array, tuple[Pre, ...], Tree, Masks]
    ) -> tuple[tuple[Tree, Tree], tuple[Pre, ...]]:
        d_carry, d_p = carry
        d_h_t, z_t, before_t, (valid, fresh) = now
        kept = None
        if valid is not None:
            kept = choose(valid, jax.tree.map(jnp.zeros_like, d_carry), d_carry)
            d_carry = choose(valid, d_carry, jax.tree.map(jnp.zeros_like, d_carry))
            d_h_t = jnp.where(valid, d_h_t, 0)
        d_carry, d_p_t, dz = back_step(cell, apart, turned, z_t, before_t, d_carry, d_h_t)
        d_p = jax.tree.map(jnp.add, d_p, d_p_t)
        if kept is not None:
            d_carry = jax.tree.map(jnp.add, d_carry, kept)
        if fresh is not None:
            d_carry = choose(fresh, jax.tree.map(jnp.zeros_like, d_carry), d_carry)
        return (d_carry, d_p), dz

    zero = (d_last, jax.tree.map(jnp.zeros_like, spread))
    (d_start, d_p), dz = lax.scan(body, zero, (d_h, z, before, masks), reverse=not reverse)
    d_r = recurrent_gradients(cell, vectors, z, before, dz)
    d_p = {name: g.reshape(-1, *weights.p[name].shape).sum(0) for name, g in d_p.items()}
    return weights._replace(r=d_r, p=d_p), None, d_start, projected(dz), None


def back_step(
    cell: Cell,
    vectors: Weights,
    turned: list[Array],
    z: tuple[Pre, ...],
    before: Tree,
    d_carry: Tree,
    d_h: Array,
) -> tuple[Tree, dict[str, Array], tuple[Pre, ...]]:
    """Return the cotangents of the carry before a step, of the vectors, and of its pre-activations."""

    def after(p: dict[str, Array], z: tuple[Pre, ...], carry: Tree) -> tuple[Tree, Array]:
        new = cell.update(vectors._replace(p=p), z, carry)
        return new, cell.emit(new)

    _, pull = jax.vjp(after, vectors.p, z, before)
    d_p, dz, d_before = pull((d_carry, d_h))
    dz = list(dz)
    for k in reversed(range(len(cell.stages))):
        d_read = columns(dz[k]) @ turned[k]
        _, pull = jax.vjp(
            lambda p, z, c, k=k: cell.stages[k].read(vectors._replace(p=p), z, c),
            vectors.p,
            z[:k],
            before,
        )
        d_p_k, d_z_k, d_c_k = pull(d_read)
        d_p = jax.tree.map(jnp.add, d_p, d_p_k)
        d_before = jax.tree.map(jnp.add, d_before, d_c_k)
        dz[:k] = jax.tree.map(jnp.add, tuple(dz[:k]), d_z_k)
    return d_before, d_p, tuple(dz)


def projected(dz: tuple[Pre, ...]) -> Array:
    """Return the cotangent of zx, the blocks of all stages side by side."""
    parts = [part for pre in dz for part in (pre.both, pre.driven) if part is not None]
    return jnp.concatenate(parts, -1)


def columns(dz: Pre) -> Array:
    """Return the cotangent of a stage's recurrent product."""
    parts = [part for part in (dz.both, dz.recurred) if part is not None]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, -1)


def recurrent_gradients(
    cell: Cell, vectors: Weights, z: tuple[Pre, ...], before: Tree, dz: tuple[Pre, ...]
) -> tuple[Array, ...]:
    """Return dR of each stage: every step's read vector times every step's dz, one product."""
    grads: list[Array] = []
    for k, stage in enumerate(cell.stages):
        read = stage.read(vectors, z[:k], before)
        now = columns(dz[k])
        flat = lax.optimization_barrier(now.reshape(-1, now.shape[-1]))
        grads.append(read.reshape(-1, read.shape[-1]).T @ flat)
    return tuple(grads)


def earlier(saved: Saved, first: Tree, reverse: bool) -> Tree:
    """Return the carry that each step began with: that of the step before, `first` at a reset."""

    def shifted(c: Array, s: Array) -> Array:
        return jnp.concatenate([c[1:], s[None]] if reverse else [s[None], c[:-1]])

    before = jax.tree.map(shifted, saved.carries, saved.start)
    return before if saved.masks.fresh is None else choose(saved.masks.fresh, first, before)


recurrence.defvjp(forward, backward)
