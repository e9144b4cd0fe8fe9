"""The recurrence of `fused` with the batch as the last axis: a core's products at their full rate.

In `fused` a step is h R with h of `batch hidden`. With few sequences and a large R, XLA:CPU spends that
product on packing R anew at each step. Here every array is turned, `rows batch`::

    z_t = W^T x_t + b + R^T h_{t-1}      W^T and R^T are made once, before the loop

and what is packed is h, the small side. Blocks are pieces of memory one above the other, so that the
update reads and writes without strides (`columns.py`). The input is projected inside the loop, which
costs nothing in this layout and saves an array of all pre-activations. The backward pass emits dz and
takes each weight gradient as one product, as `fused` does.
"""

from functools import cache, partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research.axes import Array, Hiddens, Steps, Tree
from lstm_research.cell import Cell, Pre, Stage, Weights, outputs, project, sizes
from lstm_research.columns import NotByColumns, by_columns
from lstm_research.cotangents import Back, back_step, earlier, masked_back
from lstm_research.masks import Masks, choose

HIDDEN, BATCH, LANES = 256, 64, 8  # turning pays from this width on, up to so many full vectors


def suits(cell: Cell, hidden: int, batch: int) -> bool:
    """Return whether `auto` runs a cell in columns on a CPU; batch: sequences on one device."""
    fits = hidden >= HIDDEN and LANES <= batch <= BATCH and batch % LANES == 0
    return fits and unserved(cell) is None


@cache
def unserved(cell: Cell) -> str | None:
    """Return why a cell cannot run in columns, or None where it can."""
    if cell.precision != "float32":
        return f"its operands are {cell.precision}, and this engine rounds nothing"
    if cell.drive is not project or cell.cut is not None:
        return "its input enters in another way than as x W + b"
    if cell.linear is not None or all(stage.read is None for stage in cell.stages):
        return "it has no recurrent product inside the loop"
    weights = jax.eval_shape(lambda: cell.init(jax.random.key(0), 2, 4))
    if any(r is not None and r.ndim != 2 for r in weights.r):
        return "each of its heads has a matrix of its own"
    if cell.sizes is not None or outputs(cell, 4) != 4:
        return "its blocks are not as wide as its output"
    try:
        jax.eval_shape(partial(probe, cell), weights)
    except NotByColumns as error:
        return f"its update: {error}"
    return None


def probe(cell: Cell, weights: Weights) -> Tree:
    """Take one step of two sequences."""
    x, none = jnp.zeros((1, 2, 2)), Masks(None, None)
    return loop(cell, weights, None, cell.start((2,), 4), x, none, False)


def turned(leaf: Array) -> Array:
    """Return `*batch n` as `n batch`."""
    return leaf.reshape(-1, leaf.shape[-1]).T


def turned_steps(leaf: Array) -> Array:
    """Return `time *batch n` as `time n batch`."""
    return leaf.reshape(len(leaf), -1, leaf.shape[-1]).swapaxes(1, 2)


def loop(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, x: Steps, masks: Masks, reverse: bool
) -> tuple[Tree, Hiddens]:
    """Run the recurrence; the signature of `unroll.scan`, but for the inputs in the place of zx."""
    batch = x.shape[1:-1]
    first, carry = jax.tree.map(turned, first), jax.tree.map(turned, carry)
    over, masks = turned_steps(x), jax.tree.map(turned_steps, masks)
    bare = weights._replace(row=None)
    found = recurrence(cell, reverse, bare, weights.row, first, carry, over, masks)
    ends, h = cast(tuple[Tree, Array], found)
    back = lambda leaf: leaf.T.reshape(*batch, leaf.shape[0])
    return jax.tree.map(back, ends), h.swapaxes(1, 2).reshape(len(x), *batch, -1)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def recurrence(
    cell: Cell, reverse: bool, weights: Weights, row: Tree, first: Tree, carry: Tree, x: Array,
    masks: Masks,
) -> tuple[Tree, Array]:  # fmt: skip
    """Return (last carry, h), both turned."""
    return forward(cell, reverse, weights, row, first, carry, x, masks)[0]


class Saved(NamedTuple):
    """What the backward pass needs of the forward pass."""

    weights: Weights
    row: Tree
    first: Tree
    start: Tree
    x: Array
    masks: Masks
    carries: Tree
    z: tuple[Pre, ...]


def wide(weights: Weights, row: Tree, columns: int) -> Weights:
    """Return the vectors of the update, a column for each sequence; the row stays as it is."""
    p = {name: jnp.broadcast_to(v[:, None], (len(v), columns)) for name, v in weights.p.items()}
    return Weights(None, None, None, p, row)  # pyright: ignore[reportArgumentType]


def read(stage: Stage, inside: Weights, z: tuple[Pre, ...], carry: Tree) -> Array:
    """Return what a stage reads."""
    assert stage.read is not None
    look = stage.read

    def f(p: dict[str, Array], z: tuple[Pre, ...], carry: Tree) -> Array:
        return look(inside._replace(p=p), z, carry)

    return by_columns(f)(inside.p, z, carry)


def after(cell: Cell, inside: Weights, z: tuple[Pre, ...], carry: Tree) -> tuple[Tree, Array]:
    """Return (carry, h) after a step."""

    def f(p: dict[str, Array], z: tuple[Pre, ...], carry: Tree) -> tuple[Tree, Array]:
        new = cell.update(inside._replace(p=p), z, carry)
        return new, cell.emit(new)

    return by_columns(f)(inside.p, z, carry)


def cut(parts: tuple[str, ...], z: Array, hidden: int) -> list[Array | None]:
    """Cut an array into as many rows of blocks as each part has letters; None where it has none."""
    found, at = [], 0
    for part in parts:
        end = at + len(part) * hidden
        found.append(z[at:end] if part else None)
        at = end
    return found


def forward(
    cell: Cell, reverse: bool, weights: Weights, row: Tree, first: Tree, start: Tree, x: Array,
    masks: Masks,
) -> tuple[tuple[Tree, Array], Saved]:  # fmt: skip
    """Run the loop; keep the pre-activations and the carries."""
    hidden, columns = sizes(cell, weights)[1], x.shape[-1]
    inside = wide(weights, row, columns)
    assert weights.w is not None
    across = lax.optimization_barrier(weights.w.T)
    matrices = [None if r is None else lax.optimization_barrier(r.T) for r in weights.r]
    letters = tuple(part for stage in cell.stages for part in (stage.both, stage.driven))

    def body(carry: Tree, now: tuple[Array, Masks]) -> tuple[Tree, tuple[Tree, Array, tuple]]:
        x_t, (valid, fresh) = now
        before = carry if fresh is None else choose(fresh, first, carry)
        zx = across @ x_t
        zx = cut(letters, zx if weights.b is None else zx + weights.b[:, None], hidden)
        z: tuple[Pre, ...] = ()
        for k, (stage, r) in enumerate(zip(cell.stages, matrices, strict=True)):
            both, alone = zx[2 * k : 2 * k + 2]
            shared = recurred = None
            if stage.read is not None and r is not None:
                zh = r @ read(stage, inside, z, before)
                shared, recurred = cut((stage.both, stage.recurred), zh, hidden)
            both = both if shared is None or both is None else both + shared
            z = (*z, Pre(both, alone, recurred))
        new, h = after(cell, inside, z, before)
        if valid is not None:
            new, h = choose(valid, new, before), jnp.where(valid, h, 0)
        return new, (new, h, z)

    end, (carries, h, z) = lax.scan(body, start, (x, masks), reverse=reverse)
    return (end, h), Saved(weights, row, first, start, x, masks, carries, z)


def backward(
    cell: Cell, reverse: bool, saved: Saved, cotangents: tuple[Tree, Array]
) -> tuple[Weights, None, None, Tree, Array, None]:
    """Run the loop the other way for dz; then one product a matrix."""
    weights, z, masks = saved.weights, saved.z, saved.masks
    assert weights.w is not None
    d_end, d_h = cotangents
    inside = wide(weights, saved.row, d_h.shape[-1])
    before = earlier(saved.carries, saved.start, saved.first, masks, reverse)

    product: Back = lambda dz, r, precision: r @ rows(dz.both, dz.recurred)

    def body(loop: tuple[Tree, Tree], now: tuple) -> tuple[tuple[Tree, Tree], tuple]:
        (d_carry, d_p), (d_h_t, z_t, before_t, mask) = loop, now

        def back(d_carry: Tree, d_h: Array) -> tuple[Tree, Tree, tuple[Pre, ...]]:
            data = (list(weights.r), z_t, before_t, d_carry, d_h)
            return back_step(cell, inside, *data, lift=by_columns, back=product)

        d_carry, d_p_t, dz = masked_back(back, mask, d_carry, d_h_t)
        return (d_carry, jax.tree.map(jnp.add, d_p, d_p_t)), dz

    seeds = (d_end, jax.tree.map(jnp.zeros_like, inside.p))
    (d_start, d_p), dz = lax.scan(body, seeds, (d_h, z, before, masks), reverse=not reverse)
    d_r = []
    for k, (stage, r) in enumerate(zip(cell.stages, weights.r, strict=True)):
        if stage.read is None or r is None:
            d_r.append(None)
            continue
        heard = jax.vmap(partial(read, stage, inside))(z[:k], before)
        d_r.append(flat(heard) @ flat(rows(dz[k].both, dz[k].recurred, axis=1)).T)
    d_zx = flat(rows(*(part for pre in dz for part in (pre.both, pre.driven)), axis=1))
    d_w = flat(saved.x) @ d_zx.T
    d_x = (weights.w @ d_zx).reshape(-1, *saved.x.shape[::2]).swapaxes(0, 1)
    d_b = None if weights.b is None else d_zx.sum(1)
    d_p = {name: each.sum(1) for name, each in d_p.items()}
    grads = weights._replace(w=d_w, b=d_b, r=tuple(d_r), p=d_p)
    return grads, None, None, d_start, d_x, None


def rows(*parts: Array | None, axis: int = 0) -> Array:
    """Return blocks one above the other."""
    there = [part for part in parts if part is not None]
    return there[0] if len(there) == 1 else jnp.concatenate(there, axis)


def flat(steps: Array) -> Array:
    """Return `time n batch` as `n (time batch)`, for the products after the loop."""
    return lax.optimization_barrier(steps.swapaxes(0, 1).reshape(steps.shape[1], -1))


recurrence.defvjp(forward, backward)
