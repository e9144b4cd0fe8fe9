"""The equations of a step on blocks: what each kind of primitive is when units lie in blocks.

A value is a tuple of blocks `rows wide`, or of single numbers; a NumPy array where it is known while
tracing; or a `Matrix`. `blocked.py` says why there are so few kinds.
"""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from lstm_research.axes import Array

ALIKE = {
    "abs", "add", "add_any", "and", "ceil", "clamp", "convert_element_type", "copy", "cos", "div", "eq",
    "exp", "exp2", "expm1", "floor", "ge", "gt", "integer_pow", "is_finite", "le", "log", "log1p",
    "logistic", "lt", "max", "min", "mul", "ne", "neg", "not", "one_minus_square", "or", "pow", "rem",
    "rsqrt", "select_n", "sign", "sin", "sqrt", "square", "sub", "tanh", "xor",
}  # fmt: skip
SAME = {"optimization_barrier", "reshard", "sharding_constraint"}


class Unblockable(ValueError):
    """A step that cannot run block by block; the message says what stands in the way."""


class Matrix(NamedTuple):
    """A matrix as blocks, by what they read and what they write."""

    blocks: tuple[tuple[Array, ...], ...]


def count(leaf: Any, hidden: int) -> int:
    """Return how many blocks lie side by side in an array; raise Unblockable where none fit."""
    width = leaf.shape[-1] if leaf.ndim else 1
    if width % hidden == 0:
        return width // hidden
    if width == 1:
        return 1  # a number a row
    raise Unblockable(f"an array of width {width} is in it, no multiple of hidden={hidden}")


def block_shape(leaf: Any, hidden: int, wide: int) -> tuple[int, ...]:
    """Return the shape of one block of a leaf."""
    if leaf.ndim == 0:
        return ()
    rows = leaf.shape[0] if leaf.ndim > 1 else 1
    return (rows, wide if leaf.shape[-1] % hidden == 0 else 1)


def number(value: Any) -> np.ndarray:
    """Return a constant that a function closes over; refuse what is known only while running."""
    if isinstance(value, Tracer):
        raise Unblockable(f"it closes over an array of shape {value.shape} that is not a weight")
    return np.asarray(value)


def blocks_of(value: Any, shape: Any, hidden: int) -> tuple[Any, ...]:
    """Return a value as blocks; a known array must be one number in each."""
    if not isinstance(value, np.ndarray):
        return value
    n = count(shape, hidden)
    parts = np.split(value, n, -1) if value.ndim else [value]
    if any(part.size and (part != part.flat[0]).any() for part in parts):
        raise Unblockable("a constant in it differs between units")
    return tuple(value.dtype.type(part.flat[0]) for part in parts)


def rule(hidden: int, wide: int, equation: Any, values: list[Any]) -> list[Any]:
    """Return the values of one equation, block by block."""
    name, params = equation.primitive.name, equation.params
    shapes = [var.aval for var in equation.invars]
    if name in SAME:
        return values
    if name == "dot_general":
        return [product(hidden, wide, equation, values)]
    if any(isinstance(value, Matrix) for value in values):
        if name == "convert_element_type" and values[0].blocks[0][0].dtype == params["new_dtype"]:
            return values
        raise Unblockable(f"{name} changes a recurrent matrix inside the loop")
    parts = [blocks_of(v, shape, hidden) for v, shape in zip(values, shapes, strict=True)]
    if name in ALIKE:
        return [alike(equation, parts)]
    if name in ("broadcast_in_dim", "reshape", "squeeze", "expand_dims"):
        return [spread(parts[0], shapes[0], equation.outvars[0].aval, name)]
    if name in MOVES:
        return MOVES[name](hidden, params, shapes, parts)
    raise Unblockable(f"{name} joins the units of a step")


def alike(equation: Any, parts: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Do an element-wise equation for each block."""
    made: list[Any] = []
    for at in range(max(map(len, parts))):
        now = [part[at if len(part) > 1 else 0] for part in parts]
        shape = np.broadcast_shapes(*(each.shape for each in now))
        made.append(equation.primitive.bind(*(filled(x, shape) for x in now), **equation.params))
    return tuple(made)


def filled(block: Any, shape: tuple[int, ...]) -> Any:
    """Return a block with its number, or its numbers a row or a unit, in all places of a shape."""
    if block.shape == shape:
        return block
    dims = range(len(shape) - block.ndim, len(shape))
    return lax.broadcast_in_dim(block, shape, tuple(dims))


def spread(part: tuple[Any, ...], before: Any, after: Any, name: str) -> tuple[Any, ...]:
    """Give blocks another shape that leaves units where they are; rows are spread where they meet."""
    old = before.shape[-1] if before.ndim else 1
    new = after.shape[-1] if after.ndim else 1
    if old == new and math.prod(before.shape[:-1]) in (1, math.prod(after.shape[:-1])):
        return part
    if old == 1 and name == "broadcast_in_dim" and len(part) == 1:
        return part  # meets its blocks one by one, the same in each
    raise Unblockable(f"{name} from {before.shape} to {after.shape} joins the units of a step")


Move = Callable[[int, dict[str, Any], list[Any], list[tuple[Any, ...]]], list[Any]]


def block_at(place: int, hidden: int) -> int:
    """Return the number of the block that begins at a column."""
    if place % hidden:
        raise Unblockable(f"a cut at column {place} goes through a block of {hidden}")
    return place // hidden


def whole(part: tuple[Any, ...], shape: Any, hidden: int) -> tuple[Any, ...]:
    """Return as many blocks as the shape has, also where one stands for all."""
    return part if len(part) > 1 else part * count(shape, hidden)


def cut(hidden: int, params: dict[str, Any], shapes: list[Any], parts: list[Any]) -> list[Any]:
    """Slice along the last axis."""
    (shape,), (part,) = shapes, parts
    begin, end = params["start_indices"], params["limit_indices"]
    if any(b or e != n for b, e, n in zip(begin[:-1], end[:-1], shape.shape[:-1], strict=True)):
        raise Unblockable("slice cuts the batch")
    return [whole(part, shape, hidden)[block_at(begin[-1], hidden) : block_at(end[-1], hidden)]]


def split(hidden: int, params: dict[str, Any], shapes: list[Any], parts: list[Any]) -> list[Any]:
    """Split along the last axis."""
    if params["axis"] != shapes[0].ndim - 1:
        raise Unblockable("split cuts the batch")
    rest, made = whole(parts[0], shapes[0], hidden), []
    for size in params["sizes"]:
        made.append(rest[: block_at(size, hidden)])
        rest = rest[block_at(size, hidden) :]
    return made


def join(hidden: int, params: dict[str, Any], shapes: list[Any], parts: list[Any]) -> list[Any]:
    """Concatenate along the last axis."""
    if params["dimension"] != shapes[0].ndim - 1:
        raise Unblockable("concatenate joins rows of the batch")
    pairs = zip(parts, shapes, strict=True)
    return [tuple(block for part, shape in pairs for block in whole(part, shape, hidden))]


def pad(hidden: int, params: dict[str, Any], shapes: list[Any], parts: list[Any]) -> list[Any]:
    """Pad the last axis by blocks of one number: what the derivative of a cut does."""
    *rows, (low, high, between) = params["padding_config"]
    if any(any(row) for row in rows) or between:
        raise Unblockable("pad changes the batch, or puts numbers between units")
    part, (filler,) = whole(parts[0], shapes[0], hidden), parts[1]
    return [(filler,) * block_at(low, hidden) + part + (filler,) * block_at(high, hidden)]


MOVES: dict[str, Move] = {"slice": cut, "split": split, "concatenate": join, "pad": pad}


def product(hidden: int, wide: int, equation: Any, values: list[Any]) -> tuple[Any, ...]:
    """Multiply blocks with a matrix; dead units are never heard, whatever they hold."""
    blocks, matrix = values
    (sides, batch), dims = equation.params["dimension_numbers"], len(equation.invars[0].aval.shape)
    if batch != ((), ()) or sides != ((dims - 1,), (0,)) or not isinstance(matrix, Matrix):
        raise Unblockable("a product that is not one with a recurrent matrix is in it")
    shape, kind = equation.invars[0].aval, equation.outvars[0].aval.dtype
    blocks = whole(blocks_of(blocks, shape, hidden), shape, hidden)
    heard = [alive(filled(block, (shape.shape[0], wide)), hidden, wide) for block in blocks]
    made: list[Any] = []
    for column in zip(*matrix.blocks, strict=True):
        terms = [
            lax.dot_general(v, r, (((1,), (0,)), ((), ())), preferred_element_type=kind)
            for v, r in zip(heard, column, strict=True)
        ]
        made.append(reduce(lax.add, terms))
    return tuple(made)


def alive(block: Array, hidden: int, wide: int) -> Array:
    """Return a block with zeros for the units above `hidden`."""
    if hidden == wide:
        return block
    unit = lax.broadcasted_iota(jnp.int32, block.shape, 1)
    return lax.select(lax.lt(unit, lax.full_like(unit, hidden)), block, lax.full_like(block, 0))
