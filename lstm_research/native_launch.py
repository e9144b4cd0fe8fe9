"""A step of a cell as one call of machine code: traced, described, compiled and bound."""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research import native_call
from lstm_research.axes import Array, Tree
from lstm_research.blocked import Program, program
from lstm_research.blockwise import Unblockable, count
from lstm_research.cell import Cell
from lstm_research.native_math import refusal as unwritten
from lstm_research.native_plan import Input, Output, Product, Spec, laid
from lstm_research.native_stages import ROWS, staged


class Shape(NamedTuple):
    """What decides a pair of kernels, beside the arrays."""

    cell: Cell
    hidden: int
    reverse: bool


def launch(
    shape: Shape, f: Any, data: list[tuple[str, Tree]], matrices: Tree, kinds: Any,
    whole: Tree = None, pairs: Any = lambda out: (),
) -> tuple[Tree, list[Array]]:  # fmt: skip
    """Trace a step, compile its kernel and call it; return what f returns, and products over all steps.

    data: (kind, tree) of each argument of f, as `Input` has it; kinds(i): the kind of output i. "before"
    is found among the outputs, "next" in the arrays `whole`. pairs(out): of each product the output on
    its left, and those side by side on its right.
    """
    hidden, rights = shape.hidden, jax.tree.leaves(matrices)
    arrays = [leaf for _, tree in data for leaf in jax.tree.leaves(tree)]
    if wrong := {str(leaf.dtype) for leaf in (*arrays, *rights)} - {"float32", "bool"}:
        raise Unblockable(f"it holds {', '.join(sorted(wrong))}, and a kernel float32 alone")
    if any(r.ndim != 2 for r in rights):
        raise Unblockable("each of its heads has a matrix of its own")
    made = program(f, [slices(kind, tree) for kind, tree in data], matrices, hidden, hidden)
    inputs, given = list[Input](), list[Array]()
    past = jax.tree.leaves(whole)
    for kind, tree in data:
        for i, leaf in enumerate(jax.tree.leaves(tree)):
            width = leaf.size if kind == "shared" else leaf.shape[-1]
            inputs.append(Input(kind, width, len(given), i, kind == "before"))
            given.append(leaf.reshape(-1) if kind == "shared" else leaf)
            if kind == "next":
                inputs[-1] = inputs[-1]._replace(whole=len(given))
                given.append(past[i])
    time = next(i for i, leaf in enumerate(given) if leaf.ndim == 3)
    spec = described(shape, made, tuple(inputs), kinds, given[time].shape[1], rights, len(given))
    spec = multiplied(spec, pairs(jax.tree.unflatten(made.tree, range(len(made.counts)))))
    call = native_call.Call(spec, laid(spec), time)
    every = (leaf.astype(jnp.float32) for leaf in (*given, *rights))
    *found, _ = native_call.kernel_call.bind(*every, call=call)
    end = len(made.counts)
    return jax.tree.unflatten(made.tree, found[:end]), found[end:]


def multiplied(spec: Spec, pairs: Any) -> Spec:
    """Return a kernel with a product for each pair of outputs."""
    outputs, products = list(spec.outputs), list[Product]()
    for heard, parts in pairs:
        column = 0
        for dz in parts:
            products.append(Product(heard, dz, len(outputs), column))
            column += outputs[dz].width
        outputs.append(Output("product", column, outputs[heard].width))
    return spec._replace(outputs=tuple(outputs), products=tuple(products))


def slices(kind: str, tree: Tree) -> Tree:
    """Return the shapes of arrays in one step of a kernel."""
    if kind == "shared":
        return tree
    one = lambda leaf: jax.ShapeDtypeStruct((ROWS, leaf.shape[-1]), leaf.dtype)
    return jax.tree.map(one, tree)


def described(
    shape: Shape, made: Program, inputs: tuple[Input, ...], kinds: Any, batch: int,
    matrices: list[Array], given: int,
) -> Spec:  # fmt: skip
    """Return what a kernel is made of; raise Unblockable where a part of it cannot be written."""
    hidden, here = shape.hidden, native_call.processor()
    for equation in made.equations:
        if equation.primitive.name != "dot_general" and (reason := unwritten(equation)):
            raise Unblockable(reason)
    if any(var.aval.shape != (ROWS, hidden) for var in made.outputs):
        raise Unblockable("a step gives one number for all units")
    leaves = [count(jax.ShapeDtypeStruct((each.width,), np.float32), hidden) for each in inputs]
    grids = [(r.shape[0] // hidden, r.shape[1] // hidden) for r in matrices]
    outputs = tuple(Output(kinds(i), n * hidden, batch) for i, n in enumerate(made.counts))
    return Spec(
        stages=staged(made, leaves, grids),
        inputs=inputs,
        outputs=outputs,
        products=(),
        matrices=tuple((given + i, r.shape[1]) for i, r in enumerate(matrices)),
        arguments=given + len(matrices),
        rows=batch,
        hidden=hidden,
        lanes=math.gcd(hidden, here.lanes),
        registers=here.sums,
        reverse=shape.reverse,
    )
