"""Cotangents of a recurrence without its loop: those of one step, and one product a matrix.

What engines with a backward of their own share: `back_step` goes back through a step, and once dz of
every step is known,

    dR_k = sum over t of  v_k,t^T dz_k,t.
"""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research.activation import once
from lstm_research.axes import Array, Tree
from lstm_research.cell import Cell, Pre, Weights, step
from lstm_research.masks import Masks, choose
from lstm_research.precision import Precision, backwards, dot, narrow

Lift = Callable[[Callable[..., Tree]], Callable[..., Tree]]
Back = Callable[[Pre, Array, Precision], Array]


def masked_back(
    back: Callable[[Tree, Array], tuple[Tree, Tree, Tree]], masks: Masks, d_carry: Tree, d_h: Array
) -> tuple[Tree, Tree, Tree]:
    """Return what back(d_carry, d_h) does where a step exists, and nothing after a forgotten carry.

    back returns the cotangent of the carry before the step, and two things more that are handed on.
    """
    valid, fresh = masks
    zeros, kept = jax.tree.map(jnp.zeros_like, d_carry), None
    if valid is not None:
        kept = choose(valid, zeros, d_carry)
        d_carry, d_h = choose(valid, d_carry, zeros), jnp.where(valid, d_h, 0)
    d_before, one, other = back(d_carry, d_h)
    if kept is not None:
        d_before = jax.tree.map(jnp.add, d_before, kept)
    if fresh is not None:
        d_before = choose(fresh, zeros, d_before)
    return d_before, one, other


def back_step(
    cell: Cell,
    vectors: Weights,
    turned: list[Array | None],
    z: tuple[Pre, ...],
    before: Tree,
    d_carry: Tree,
    d_h: Array,
    lift: Lift = lambda f: f,
    back: Back = lambda dz, turned, precision: product_back(columns(dz), turned, precision),
) -> tuple[Tree, dict[str, Array], tuple[Pre, ...]]:
    """Return the cotangents of the carry before a step, of the vectors, and of its pre-activations.

    An engine whose arrays lie otherwise says how: lift turns a function of a cell into one of its arrays,
    back(dz, turned, precision) is the product with the other side of a matrix.
    """

    def after(p: dict[str, Array], z: tuple[Pre, ...], carry: Tree) -> tuple[Tree, Array]:
        new = cell.update(vectors._replace(p=p), z, carry)
        return new, cell.emit(new)

    _, pull = jax.vjp(lift(after), vectors.p, z, before)
    d_p, dz, d_before = pull((d_carry, d_h))
    dz = list(dz)
    for k, stage in reversed(list(enumerate(cell.stages))):
        matrix = turned[k]
        if stage.read is None or matrix is None:
            continue
        look = lambda p, z, c, read=stage.read: read(vectors._replace(p=p), z, c)
        _, pull = jax.vjp(lift(look), vectors.p, z[:k], before)
        d_p_k, d_z_k, d_c_k = pull(back(dz[k], matrix, cell.precision))
        d_p = jax.tree.map(jnp.add, d_p, d_p_k)
        d_before = jax.tree.map(jnp.add, d_before, d_c_k)
        dz[:k] = jax.tree.map(jnp.add, tuple(dz[:k]), d_z_k)
    return d_before, d_p, tuple(dz)


def product_back(dz: Array, turned: Array, precision: Precision = "float32") -> Array:
    """Return dz R^T, given the transpose of R."""
    if turned.ndim == 2:
        return dot(dz, turned, backwards(precision))
    each, count, read, heads = turned.shape
    apart = dz.reshape(*dz.shape[:-1], count, heads, each)
    apart, turned = (narrow(part, backwards(precision)) for part in (apart, turned))
    sums = {} if precision == "float32" else {"preferred_element_type": jnp.float32}
    d_read = jnp.einsum("...bne,ebdn->...nd", apart, turned, **sums).astype(dz.dtype)
    return d_read.reshape(*dz.shape[:-1], heads * read)


def projected(cell: Cell, zx: Tree, dz: tuple[Pre, ...]) -> Tree:
    """Return the cotangent of zx, the blocks of all stages side by side."""
    if cell.cut is None:
        return jnp.concatenate(sides(dz), -1)
    return jax.vjp(cell.cut, zx)[1](tuple((pre.both, pre.driven) for pre in dz))[0]


def sides(dz: Tree) -> list[Any]:
    """Return the parts of dz that the input drives, in the order of the columns of W."""
    return [part for pre in dz for part in (pre.both, pre.driven) if part is not None]


def recurrent(pre: Any) -> list[Any]:
    """Return the parts of a stage's dz that its recurrent product drives, in the order of its columns."""
    return [part for part in (pre.both, pre.recurred) if part is not None]


def with_inputs(d_weights: Weights, weights: Weights, d_w: Array) -> Weights:
    """Return the gradients of weights with that of [W; b], the product of `inputs` and dz."""
    assert weights.w is not None
    d_b = None if weights.b is None else d_w[-1]
    return d_weights._replace(w=d_w[: len(weights.w)], b=d_b)


def inputs(weights: Weights, x: Array) -> Array:
    """Return what [W; b] is multiplied with: x, and 1 where there is a bias."""
    return x if weights.b is None else jnp.concatenate([x, jnp.ones_like(x[..., :1])], -1)


def columns(dz: Pre) -> Array:
    """Return the cotangent of a stage's recurrent product."""
    parts = recurrent(dz)
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, -1)


def recurrent_gradients(
    cell: Cell, vectors: Weights, matrices: tuple[Array | None, ...], z: tuple[Pre, ...],
    before: Tree, dz: tuple[Pre, ...],
) -> tuple[Array | None, ...]:  # fmt: skip
    """Return dR of each stage: every step's read vector times every step's dz, one product."""
    grads: list[Array | None] = []
    back = backwards(cell.precision)
    for k, (stage, r) in enumerate(zip(cell.stages, matrices, strict=True)):
        if stage.read is None or r is None:
            grads.append(None)
            continue
        each = jax.vmap(partial(stage.read, vectors))  # over time: a read may look across its batch
        read, now = each(z[:k], before), columns(dz[k])
        read = read.reshape(-1, read.shape[-1])
        flat = lax.optimization_barrier(now.reshape(-1, now.shape[-1]))
        if r.ndim == 2:
            grads.append(
                dot(once(read.T), flat, back)
            )  # turned first: XLA:CPU is up to twice as fast
            continue
        heads, width, count, each = r.shape
        parts = read.reshape(-1, heads, width), flat.reshape(-1, count, heads, each)
        sums = {} if back == "float32" else {"preferred_element_type": jnp.float32}
        total = jnp.einsum("tnd,tbne->ndbe", *(narrow(part, back) for part in parts), **sums)
        grads.append(total.astype(r.dtype))
    return tuple(grads)


def earlier(carries: Tree, start: Tree, first: Tree, masks: Masks, reverse: bool) -> Tree:
    """Return the carry that each step began with: that of the step before, `first` at a reset."""

    def shifted(c: Array, s: Array) -> Array:
        return jnp.concatenate([c[1:], s[None]] if reverse else [s[None], c[:-1]])

    before = jax.tree.map(shifted, carries, start)
    return before if masks.fresh is None else choose(masks.fresh, first, before)


def preactivations(cell: Cell, weights: Weights, zx: Tree, before: Tree) -> tuple[Pre, ...]:
    """Return the pre-activations of all steps at once, given the carry before each; without `driven`."""
    every = jax.vmap(partial(step, cell, weights))(zx, before)[1]
    return tuple(pre._replace(driven=None) for pre in every)
