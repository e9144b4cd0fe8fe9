"""A step of a cell, traced once and run block by block.

A GPU kernel holds arrays whose sides are powers of two, and can neither cut nor join them; a cell is
written on arrays in which blocks of `hidden` units lie side by side. Because no unit looks at another
but through a product, every equation of a step is one of four kinds: element-wise (so it is done for
each block), a cut or a join (so nothing is done), a number that is the same in all units of a block
(so it is a constant of the program), or a product with a matrix (a sum of products of blocks). What
is none of these is refused by name: `Unblockable`.

The same holds for what `jax.vjp` makes of a step, so that no derivative is written by hand here
either.
"""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from lstm_research.axes import Array, Tree
from lstm_research.blockwise import (
    Matrix,
    Unblockable,
    block_shape,
    blocks_of,
    count,
    filled,
    number,
    rule,
    whole,
)

CALLS = {
    "checkpoint", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "eval_jaxpr", "jit",
    "pjit", "remat", "remat2",
}  # fmt: skip
INSIDE = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # where such an equation keeps the function it calls


class Program(NamedTuple):
    """A function of blocks without the equations that its outputs do not need."""

    equations: tuple[Any, ...]
    constants: tuple[tuple[Any, Any], ...]
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    used: tuple[bool, ...]  # by input: is it read at all
    groups: tuple[int, ...]  # how many inputs belong to each argument of the function
    counts: tuple[int, ...]  # how many blocks each leaf of the function's output has
    tree: Any  # of the function's output


def program(
    f: Callable[..., Tree], arguments: Sequence[Tree], matrices: Tree, hidden: int, wide: int
) -> Program:
    """Return `f(*arguments, matrices)` as a program on blocks of `wide` units, dead ones above hidden.

    arguments: shapes `rows k*hidden` with the rows of the kernel, `k*hidden`, or of numbers; matrices:
    a tree of shapes. The inputs of the program are the blocks of the arguments' leaves, in order, then
    those of the matrices, row by row. Raises Unblockable.
    """
    traced, shapes = jax.make_jaxpr(f, return_shape=True)(*arguments, matrices)
    flat = jax.tree.leaves(list(arguments))
    counts = [count(leaf, hidden) for leaf in flat]
    grids = [tuple(side // hidden for side in r.shape) for r in jax.tree.leaves(matrices)]

    def run(*blocks: Array) -> list[Array]:
        rest = list(blocks)
        take: Callable[[int], tuple[Array, ...]] = lambda n: tuple(rest.pop(0) for _ in range(n))
        values: list[Any] = [take(n) for n in counts]
        values += [Matrix(tuple(take(columns) for _ in range(rows))) for rows, columns in grids]
        made = evaluate(traced.jaxpr, traced.consts, values, partial(rule, hidden, wide))
        return [
            lax.convert_element_type(filled(block, block_shape(leaf, hidden, wide)), leaf.dtype)
            for value, leaf in zip(made, outputs, strict=True)
            for block in whole(blocks_of(value, leaf, hidden), leaf, hidden)
        ]

    outputs, tree = jax.tree.flatten(shapes)
    inputs = [
        jax.ShapeDtypeStruct(block_shape(leaf, hidden, wide), leaf.dtype)
        for leaf, n in zip(flat, counts, strict=True)
        for _ in range(n)
    ]
    for r, (rows, columns) in zip(jax.tree.leaves(matrices), grids, strict=True):
        inputs += [jax.ShapeDtypeStruct((wide, wide), r.dtype)] * (rows * columns)
    try:
        small = jax.make_jaxpr(run)(*inputs)
    except NotImplementedError as error:
        raise Unblockable(str(error)) from None
    groups = [sum(count(leaf, hidden) for leaf in jax.tree.leaves(each)) for each in arguments]
    groups.append(sum(rows * columns for rows, columns in grids))
    return pruned(small, tuple(groups), tuple(count(leaf, hidden) for leaf in outputs), tree)


def pruned(traced: Any, groups: tuple[int, ...], counts: tuple[int, ...], tree: Any) -> Program:
    """Return the program of a flat jaxpr, without what no output needs."""
    jaxpr = traced.jaxpr
    kept, needed = asked(jaxpr.eqns, jaxpr.outvars)
    used = tuple(var in needed for var in jaxpr.invars)
    constants = tuple(zip(jaxpr.constvars, map(number, traced.consts), strict=True))
    return Program(
        kept, constants, tuple(jaxpr.invars), tuple(jaxpr.outvars), used, groups, counts,
        tree,
    )  # fmt: skip


def asked(equations: Sequence[Any], outputs: Sequence[Any]) -> tuple[tuple[Any, ...], set[Any]]:
    """Return the equations that some outputs need, and every value that is read for them."""
    needed = {var for var in outputs if not literal(var)}
    kept: list[Any] = []
    for equation in reversed(equations):
        if needed & set(equation.outvars):
            kept.append(equation)
            needed |= {var for var in equation.invars if not literal(var)}
    return tuple(reversed(kept)), needed


def call(
    made: Program, inputs: Sequence[Any], replaced: dict[str, Callable[..., Array]] | None = None
) -> list[Any]:
    """Run a program; return the blocks of all leaves in order.

    An input that is not used may be anything. `replaced` holds other functions for primitives by name.
    """
    known: dict[Any, Any] = dict(made.constants) | dict(zip(made.inputs, inputs, strict=True))
    read: Callable[[Any], Any] = lambda var: var.val if literal(var) else known[var]
    for equation in made.equations:
        values = [read(var) for var in equation.invars]
        other = (replaced or {}).get(equation.primitive.name)
        out = other(*values) if other else equation.primitive.bind(*values, **equation.params)
        out = out if equation.primitive.multiple_results else [out]
        known |= dict(zip(equation.outvars, out, strict=True))
    return [read(var) for var in made.outputs]


def literal(var: Any) -> bool:
    """Say whether an operand of an equation is a number written into it."""
    return hasattr(var, "val")


def evaluate(
    jaxpr: Any, constants: Sequence[Any], inputs: Sequence[Any], rule: Callable[..., list[Any]]
) -> list[Any]:
    """Run a jaxpr whose values are NumPy arrays where they are known, else blocks or a Matrix."""
    known: dict[Any, Any] = dict(zip(jaxpr.constvars, map(number, constants), strict=True))
    known |= dict(zip(jaxpr.invars, inputs, strict=True))
    read: Callable[[Any], Any] = lambda var: (
        np.asarray(var.val, var.aval.dtype) if literal(var) else known[var]
    )
    for equation in jaxpr.eqns:
        values = [read(var) for var in equation.invars]
        if equation.primitive.name in CALLS:
            inner = next(equation.params[name] for name in INSIDE if name in equation.params)
            body = getattr(inner, "jaxpr", inner)
            out = evaluate(body, getattr(inner, "consts", ()), values, rule)
        elif all(isinstance(value, np.ndarray) for value in values):
            out = settled(equation, values)
        else:
            out = rule(equation, values)
        known |= dict(zip(equation.outvars, out, strict=True))
    return [read(var) for var in jaxpr.outvars]


def settled(equation: Any, values: list[np.ndarray]) -> list[Any]:
    """Return what an equation of numbers alone comes to; a program for each would take a start's time."""
    if equation.primitive.name == "broadcast_in_dim":
        shape, axes = equation.params["shape"], equation.params["broadcast_dimensions"]
        sides = [1] * len(shape)
        for axis, side in zip(axes, values[0].shape, strict=True):
            sides[axis] = side
        return [np.broadcast_to(values[0].reshape(sides), shape)]
    alone = jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ()))  # also in a shard
    with jax.ensure_compile_time_eval(), alone:
        out = equation.primitive.bind(*values, **equation.params)
    return [np.asarray(each) for each in (out if equation.primitive.multiple_results else [out])]
