"""The recurrence as two persistent GPU kernels: every step in one launch, forward and back.

A program of the grid owns a slice of the batch and runs its whole sequence; `vmap`, over the runs of
a pack, is another axis of the grid. Nothing passes between programs, so no two of them wait for each
other. The recurrent matrix is read once and stays on the chip; what a step does is the Python of the
cell, `cell.step` and `cotangents.back_step`, traced into the kernel block by block (`blocked.py`), so
that every variant that can be traced has its kernel, with lengths, resets and reverse. Weight
gradients are one product a matrix after the launch, as in `fused.py`.

The forward kernel writes the carries alone. The backward kernel needs the pre-activations z: they
are computed again for all steps at once, since the carries are known, by `cell.step` on whole arrays
before its launch. Writing them in the forward kernel would move fewer bytes (4 H numbers a step of an
LSTM written and read; again: zx and h read, z written and read), but a step does not wait for memory,
it waits for itself: 64 rows of H = 128 move 0.26 MB a step, 0.06 us of a step of about 1 us, while
each block that it writes passes through shared memory, between two barriers. Nor does a call without
a backward pass pay for z. Inputs of the next step are read before the products of this one.

All arithmetic but the products keeps the precision of the arrays; where operands are rounded, tanh is
one exponential, to 1e-7 of 1. Sides are padded to powers of two: dead units are heard by no product,
dead rows are cut off before any sum over rows.

What a compiler makes of it (an LSTM of 128 units in bfloat16, compute capability 9.0, Triton 3.9, no
GPU at hand; nothing here has been timed): 182 registers a thread forward and 176 back, none spilled;
136 and 144 KiB of shared memory; 564 and 967 instructions a thread and step; 64 products of
16 x 8 x 16 in each; 14 and 22 barriers, most of them around blocks that change from the order of
memory to that of the matrix units.

One program holds one whole R, which ends at about 128 KiB: an LSTM of 128 units in bfloat16, of 64 in
float32 (`fits`). Wider layers need R cut over the blocks of a thread block cluster: each block owns
the columns of some units, after every step sends its slice of h to the others' shared memory and
waits at a cluster barrier, twice as often for cells of two stages, and back again adds up partial
sums of dz R^T; neither cluster launches nor stores to another block's memory exist in Pallas' Triton
backend, so that would be written for Mosaic GPU.

Source: Diamos et al. 2016 (persistent RNNs), Pöppel et al. 2024 (arXiv:2412.07752).
"""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

import math
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lstm_research import kernel
from lstm_research.axes import Array, Hiddens, Tree
from lstm_research.blockwise import Unblockable, count
from lstm_research.cell import Cell, Weights, driven, sizes
from lstm_research.cotangents import earlier, preactivations, projected, recurrent_gradients
from lstm_research.kernel_step import backward_program, forward_program
from lstm_research.kernel_step import refusal as refused
from lstm_research.masks import Masks
from lstm_research.padding import Fit, power, reshaped
from lstm_research.precision import backwards, narrow
from lstm_research.unroll import scan

ROWS = 16  # of the batch, in one program: the least that the matrix units take
ROOM = 128 * 2**10  # bytes of R that stay on the chip beside the rest of a step


class Shape(NamedTuple):
    """What decides a pair of kernels, beside the arrays."""

    cell: Cell
    hidden: int
    reverse: bool
    interpret: bool


def loop(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks, reverse: bool,
    interpret: bool | None = None,
) -> tuple[Tree, Hiddens]:  # fmt: skip
    """Run the recurrence; the same signature as `unroll.scan`.

    interpret: run the kernels as plain JAX; None: where there is no GPU. Raises Unblockable, a
    ValueError, where the cell cannot run block by block.
    """
    interpret = jax.default_backend() != "gpu" if interpret is None else interpret
    hidden, batch = sizes(cell, weights)[1], jax.tree.leaves(carry)[0].shape[:-1]
    if not all(leaf.size for leaf in jax.tree.leaves((zx, carry))):
        return scan(cell, weights, first, carry, zx, masks, reverse)  # no step, or nobody takes one
    flat = partial(reshaped, (math.prod(batch),), len(batch))
    inside = weights._replace(w=None, b=None, row=None, m=None)
    data = (inside, weights.row, flat(0, first), flat(0, carry), flat(1, zx), flat(1, masks))
    last, h = headed(Shape(cell, hidden, reverse, interpret), *data)
    back = partial(reshaped, batch, 1)
    return back(0, last), back(1, h)


def heads_of(cell: Cell, matrices: tuple[Array | None, ...]) -> int | None:
    """Return how many heads the matrices have, None for plain ones; raise Unblockable where mixed."""
    shapes = [r.shape for r in matrices if r is not None]
    if all(len(shape) == 2 for shape in shapes):
        return None
    if any(len(shape) != 4 or shape[0] != shapes[0][0] or shape[1] != shape[3] for shape in shapes):
        raise Unblockable("its recurrent matrices have different heads")
    return shapes[0][0]


def headed(
    shape: Shape, weights: Weights, row: Tree, first: Tree, carry: Tree, zx: Tree, masks: Masks
) -> tuple[Tree, Hiddens]:
    """Run the recurrence; heads do not hear each other, so they are one more axis of the grid."""
    heads = heads_of(shape.cell, weights.r)
    if heads is None:
        return recurrence(shape, weights, row, first, carry, zx, masks)
    apart = partial(jax.tree.map, partial(by_head, shape.hidden, heads))
    joined = partial(jax.tree.map, partial(together, shape.hidden // heads))
    each = weights._replace(r=jax.tree.map(lambda r: r.reshape(*r.shape[:2], -1), weights.r))
    each = each._replace(p=apart(weights.p))
    alone = partial(recurrence, shape._replace(hidden=shape.hidden // heads))
    run = jax.vmap(alone, (0, 0, 0, 0, 0, None))
    return joined(run(each, apart(row), apart(first), apart(carry), apart(zx), masks))


def by_head(hidden: int, heads: int, leaf: Array) -> Array:
    """Return an array of blocks as blocks of each head, heads in front."""
    count(leaf, hidden)
    if leaf.shape[-1] % hidden:
        raise Unblockable("a number a row is in it, beside heads")
    parts = leaf.reshape(*leaf.shape[:-1], -1, heads, hidden // heads)
    return jnp.moveaxis(parts, -2, 0).reshape(heads, *leaf.shape[:-1], -1)


def together(each: int, leaf: Array) -> Array:
    """Return blocks of each head, heads in front, as blocks."""
    parts = jnp.moveaxis(leaf.reshape(*leaf.shape[:-1], -1, each), 0, -2)
    return parts.reshape(*leaf.shape[1:-1], -1)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def recurrence(
    shape: Shape, weights: Weights, row: Tree, first: Tree, carry: Tree, zx: Tree, masks: Masks
) -> tuple[Tree, Hiddens]:
    """Return (last carry, h); arrays have one batch axis."""
    return forward(shape, weights, row, first, carry, zx, masks)[0]


class Saved(NamedTuple):
    """What the backward pass needs of the forward pass."""

    weights: Weights
    row: Tree
    first: Tree
    start: Tree
    zx: Tree
    masks: Masks
    carries: Tree


def forward(
    shape: Shape, weights: Weights, row: Tree, first: Tree, carry: Tree, zx: Tree, masks: Masks
) -> tuple[tuple[Tree, Hiddens], Saved]:
    """Launch the forward kernel."""
    cell, fit = shape.cell, fitted(shape, carry)
    matrices = jax.tree.map(lambda r: narrow(r, cell.precision), weights.r)
    made = forward_program(cell, shape.hidden, ROWS, carry, zx, (weights.p, row), matrices)
    out = kernel.forward(
        plan(shape, zx),
        made,
        fit.rows(zx),
        fit.masks(masks, dtype(zx)),
        fit.rows(carry),
        fit.rows(first),
        fit.vectors((weights.p, row)),
        fit.matrices(matrices),
    )
    carries = jax.tree.unflatten(made.tree, fit.back(out))
    h = cell.emit(carries)
    if masks.valid is not None:
        h = jnp.where(masks.valid, h, 0)
    last = jax.tree.map(lambda leaf: leaf[0 if shape.reverse else -1], carries)
    return (last, h), Saved(weights, row, first, carry, zx, masks, carries)


def backward(
    shape: Shape, saved: Saved, cotangents: tuple[Tree, Hiddens]
) -> tuple[Weights, None, None, Tree, Tree, None]:
    """Launch the backward kernel; then one product a matrix."""
    cell, (d_last, d_h) = shape.cell, cotangents
    weights, row, zx, masks = saved.weights, saved.row, saved.zx, saved.masks
    fit, back = fitted(shape, d_last), backwards(cell.precision)
    before = earlier(saved.carries, saved.start, saved.first, masks, shape.reverse)
    z = preactivations(cell, weights._replace(row=row), zx, before)
    turned = tuple(None if r is None else narrow(r.T, back) for r in weights.r)
    data = (z, zx, d_last, d_last, d_h)
    made = backward_program(cell, shape.hidden, ROWS, data, (weights.p, row), turned)
    d_start, d_p, dz = kernel.backward(
        plan(shape, zx),
        made,
        fit.rows(z),
        fit.rows(zx),
        fit.masks(masks, dtype(zx)),
        fit.rows(saved.carries),
        fit.rows(saved.start),
        fit.rows(saved.first),
        fit.rows(d_last),
        fit.rows(d_h),
        fit.vectors((weights.p, row)),
        fit.matrices(turned),
        len(weights.p),
    )
    d_start, d_p, dz = jax.tree.unflatten(made.tree, fit.back([*d_start, *d_p, *dz]))
    alone = [pair[1] for pair in driven(cell, zx)]
    z = tuple(pre._replace(driven=x) for pre, x in zip(z, alone, strict=True))
    vectors = weights._replace(r=None, row=row)
    d_r = recurrent_gradients(cell, vectors, weights.r, z, before, dz)
    d_p = {name: g.sum(0).reshape(weights.p[name].shape) for name, g in d_p.items()}
    d_weights = weights._replace(r=d_r, p=d_p)
    return d_weights, None, None, d_start, projected(cell, zx, dz), None


recurrence.defvjp(forward, backward)


def plan(shape: Shape, zx: Tree) -> kernel.Launch:
    """Return how the kernels of a shape are launched."""
    return kernel.Launch(
        steps=len(jax.tree.leaves(zx)[0]),
        rows=ROWS,
        reverse=shape.reverse,
        interpret=shape.interpret,
        warps=8 if shape.hidden > 64 else 4,
        quick=shape.cell.precision != "float32",
    )


def fitted(shape: Shape, carry: Tree) -> Fit:
    """Return the sizes of a batch in and out of a kernel."""
    return Fit(shape.hidden, jax.tree.leaves(carry)[0].shape[0], ROWS)


def dtype(tree: Tree) -> Any:
    """Return the type of the first array of a tree."""
    return jax.tree.leaves(tree)[0].dtype


@cache
def unserved(cell: Cell, hidden: int) -> str | None:
    """Return why a cell of this width cannot run in a kernel, None where it can."""
    return refused(partial(loop, interpret=True), cell, hidden)


def fits(cell: Cell, hidden: int) -> bool:
    """Say whether the recurrent matrices stay on one multiprocessor beside the rest of a step."""
    weights = jax.eval_shape(lambda key: cell.init(key, 2, hidden), jax.random.key(0))
    size = 0
    for r in jax.tree.leaves(weights.r):
        each = hidden if r.ndim == 2 else r.shape[-1]
        size += r.size // (r.shape[0] if r.ndim == 4 else 1) // each**2 * power(each) ** 2
    return size * jnp.dtype(cell.precision).itemsize <= ROOM


def refusal(cell: Cell, hidden: int) -> str | None:
    """Return why engine='pallas' cannot run a cell here and what can, None where it can."""
    if reason := unserved(cell, hidden):
        return f"{reason}; use engine='fused'"
    if jax.default_backend() == "gpu" and not fits(cell, hidden):
        return (
            f"its recurrent matrices of hidden={hidden} take more than {ROOM // 1024} KiB in "
            f"{cell.precision}; use engine='fused', or precision='bfloat16' where that halves them"
        )
    return None


def suits(cell: Cell, hidden: int) -> bool:
    """Say whether `auto` takes the kernels: on a GPU, where they hold the cell and its matrices."""
    able = jax.default_backend() == "gpu" and kernel.triton is not None and not cell.noisy
    return able and unserved(cell, hidden) is None and fits(cell, hidden)
