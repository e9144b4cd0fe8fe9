"""A step of a cell and the way back through it, as programs that a kernel runs on blocks."""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lstm_research.axes import Array, Tree
from lstm_research.blocked import Program, program
from lstm_research.blockwise import Unblockable
from lstm_research.cell import Cell, Pre, Weights, driven, drives, step
from lstm_research.cotangents import back_step
from lstm_research.masks import Masks
from lstm_research.padding import power
from lstm_research.unroll import Unroll


def slices(rows: int, tree: Tree) -> Tree:
    """Return the shapes of arrays in one step of one program of the grid."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((rows, leaf.shape[-1]), leaf.dtype), tree)


def forward_program(
    cell: Cell,
    hidden: int,
    rows: int,
    carry: Tree,
    zx: Tree,
    vectors: Tree,
    matrices: tuple[Any, ...],
) -> Program:
    """Return a step on blocks."""

    def f(zx: Tree, carry: Tree, vectors: Tree, matrices: Tree) -> Tree:
        p, row = vectors
        return step(cell, Weights(None, None, matrices, p, row), zx, carry)[0]

    arguments = (slices(rows, zx), slices(rows, carry), vectors)
    return program(f, arguments, matrices, hidden, power(hidden))


def backward_program(
    cell: Cell,
    hidden: int,
    rows: int,
    data: tuple[Tree, ...],
    vectors: Tree,
    turned: tuple[Any, ...],
) -> Program:
    """Return the way back through a step on blocks: cotangents of the carry before it, of p, of z.

    data: z, zx, carry, and the cotangents of carry and h.
    """

    def f(
        z: tuple[Pre, ...], zx: Tree, before: Tree, d_carry: Tree, d_h: Array, vectors: Tree,
        turned: Tree,
    ) -> Tree:  # fmt: skip
        p, row = vectors
        spread = {name: jnp.broadcast_to(v, (rows, *v.shape)) for name, v in p.items()}
        alone = [pair[1] for pair in driven(cell, zx)]
        z = tuple(pre._replace(driven=x) for pre, x in zip(z, alone, strict=True))
        inside = Weights(None, None, None, spread, row)  # pyright: ignore[reportArgumentType]
        return back_step(cell, inside, list(turned), z, before, d_carry, d_h)

    arguments = (*map(partial(slices, rows), data), vectors)
    return program(f, arguments, turned, hidden, power(hidden))


FEATURES = 2  # of a trial


def trial(
    loop: Unroll,
    cell: Cell,
    hidden: int,
    dtype: Any = None,
    rows: int = 1,
    features: int = FEATURES,
) -> tuple[Any, ...]:
    """Return a call, and the shapes of its arguments, that goes forward and back through a step.

    dtype: of the numbers, None: what JAX makes by itself.
    """
    weights, carry, x = jax.eval_shape(
        lambda key: (
            cell.init(key, features, hidden),
            cell.start((rows,), hidden),
            jnp.zeros((1, rows, features)),
        ),
        jax.eval_shape(jax.random.key, 0),  # no equation where a caller is being traced
    )
    if dtype is not None:
        number = lambda leaf: jnp.issubdtype(leaf.dtype, jnp.floating)
        cast = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype) if number(leaf) else leaf
        weights, carry, x = jax.tree.map(cast, (weights, carry, x))

    def run(weights: Weights, carry: Tree, x: Array, row: Tree) -> Array:
        weights, masks = weights._replace(row=row), Masks(None, None)
        zx = drives(cell, weights, x, masks, None)
        return loop(cell, weights, None, carry, zx, masks, False)[1].sum()

    return jax.grad(run, (0, 1, 2)), weights._replace(row=None), carry, x, weights.row


def refusal(loop: Unroll, cell: Cell, hidden: int, *more: Any, **named: Any) -> str | None:
    """Return why a loop of kernels cannot run a cell, None where it can; arguments as `trial`.

    A cell of a width that it cannot have is refused in its own words. After that nothing but Unblockable
    is a refusal: any other error is a fault of ours, and shows itself.
    """
    try:
        run, *shapes = trial(loop, cell, hidden, *more, **named)
    except ValueError as error:
        return str(error)
    try:
        jax.eval_shape(run, *shapes)
    except Unblockable as error:
        return str(error)
    return None
