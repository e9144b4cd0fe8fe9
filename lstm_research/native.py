"""The recurrence as two kernels of machine code: every step in one call, forward and back.

XLA:CPU runs a loop as a dozen small calls a step, and packs R anew for each product. Here the Python of
the cell, `cell.step` and `cotangents.back_step`, is traced once, block by block (`blocked.py`), cut into
products and what follows from them (`native_stages.py`), and compiled by LLVM for the processor at hand
(`native_kernel.py`): R is packed once a call, sums stay in registers, and the equations of a tile are done
before it leaves the first cache. So every variant that can be traced has its kernel, with lengths,
resets and reverse, and no derivative is written by hand. The gradients of the recurrent matrices are
products over some steps at a time, while dz is in the second cache (`native_product.py`).

The forward kernel writes the carries and, where there will be a backward pass, the pre-activations z; the
backward kernel activates them again, which costs less than reading gates would.

Needs llvmlite, float32 and a CPU. A vector holds as many units as the processor's registers, or the
greatest power of two that divides `hidden`.
"""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

import math
from functools import cache, partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research import native_call
from lstm_research.axes import Array, Hiddens, Tree
from lstm_research.blocked import Program, program
from lstm_research.blockwise import Unblockable, count
from lstm_research.cell import Cell, Weights, driven, sizes, step
from lstm_research.cotangents import back_step, earlier, masked_back, projected, recurrent_gradients
from lstm_research.kernel_step import trial
from lstm_research.masks import Masks, choose
from lstm_research.native_math import refusal as unwritten
from lstm_research.native_plan import Input, Output, Product, Spec, laid
from lstm_research.native_stages import ROWS, staged
from lstm_research.padding import reshaped
from lstm_research.unroll import scan

NEAR = 2**17  # numbers: a gradient that stays in the second cache is summed in the kernel


class Shape(NamedTuple):
    """What decides a pair of kernels, beside the arrays."""

    cell: Cell
    hidden: int
    reverse: bool


def loop(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks, reverse: bool
) -> tuple[Tree, Hiddens]:
    """Run the recurrence; the same signature as `unroll.scan`.

    Raises Unblockable, a ValueError, where the cell or the type of its numbers has no kernel.
    """
    hidden, batch = sizes(cell, weights)[1], jax.tree.leaves(carry)[0].shape[:-1]
    if not all(leaf.size for leaf in jax.tree.leaves((zx, carry))):
        return scan(cell, weights, first, carry, zx, masks, reverse)  # no step, or nobody takes one
    flat = partial(reshaped, (math.prod(batch),), len(batch))
    inside = weights._replace(w=None, b=None, row=None, m=None)
    masks = jax.tree.map(lambda mask: mask.astype(jnp.float32), masks)
    data = (inside, weights.row, flat(0, first), flat(0, carry), flat(1, zx), flat(1, masks))
    found = recurrence(Shape(cell, hidden, reverse), *data)
    last, h = cast(tuple[Tree, Array], found)
    back = partial(reshaped, batch, 1)
    return back(0, last), back(1, h)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def recurrence(
    shape: Shape, weights: Weights, row: Tree, first: Tree, carry: Tree, zx: Tree, masks: Masks
) -> tuple[Tree, Hiddens]:
    """Return (last carry, h); arrays have one batch axis, masks are 0 and 1."""
    carries, _ = run(shape, False, weights, row, first, carry, zx, masks)
    return ended(shape, carries, masks)


class Saved(NamedTuple):
    """What the backward pass needs of the forward pass."""

    weights: Weights
    row: Tree
    first: Tree
    start: Tree
    zx: Tree
    masks: Masks
    carries: Tree
    z: Tree  # without `driven`, which is a part of zx


def forward(
    shape: Shape, weights: Weights, row: Tree, first: Tree, carry: Tree, zx: Tree, masks: Masks
) -> tuple[tuple[Tree, Hiddens], Saved]:
    """Run the forward kernel; keep the pre-activations and the carries."""
    carries, z = run(shape, True, weights, row, first, carry, zx, masks)
    saved = Saved(weights, row, first, carry, zx, masks, carries, z)
    return ended(shape, carries, masks), saved


def ended(shape: Shape, carries: Tree, masks: Masks) -> tuple[Tree, Hiddens]:
    """Return (last carry, h) of the carries of all steps."""
    h = shape.cell.emit(carries)
    if masks.valid is not None:
        h = jnp.where(masks.valid != 0, h, 0)
    return jax.tree.map(lambda leaf: leaf[0 if shape.reverse else -1], carries), h


def run(
    shape: Shape, keep: bool, weights: Weights, row: Tree, first: Tree, carry: Tree, zx: Tree,
    masks: Masks,
) -> tuple[Tree, Tree]:  # fmt: skip
    """Return the carries after every step and, where kept, the pre-activations."""
    cell = shape.cell

    def f(zx: Tree, masks: Masks, carry: Tree, first: Tree, vectors: Tree, matrices: Tree) -> Tree:
        (valid, fresh), (p, row) = held(masks), vectors
        before = carry if fresh is None else choose(fresh, first, carry)
        after, z = step(cell, Weights(None, None, matrices, p, row), zx, before)
        after = after if valid is None else choose(valid, after, before)
        return after, tuple(pre._replace(driven=None) for pre in z) if keep else ()

    data = [("steps", zx), ("steps", masks), ("before", carry), ("rows", first)]
    data.append(("shared", (weights.p, row)))
    return launch(shape, f, data, weights.r, lambda i: "steps")[0]


def backward(
    shape: Shape, saved: Saved, cotangents: tuple[Tree, Hiddens]
) -> tuple[Weights, None, None, Tree, Tree, None]:
    """Run the backward kernel; of large matrices take one product each after it."""
    cell, (d_last, d_h) = shape.cell, cotangents
    weights, row, zx, masks, z = saved.weights, saved.row, saved.zx, saved.masks, saved.z
    parts = [pair[1] for pair in driven(cell, zx)]
    near = all(r is None or r.size <= NEAR for r in weights.r)

    def f(
        z: Tree, alone: Tree, masks: Masks, carry: Tree, first: Tree, d_carry: Tree, d_h: Array,
        vectors: Tree, turned: Tree,
    ) -> Tree:  # fmt: skip
        marks, (p, row) = held(masks), vectors
        before = carry if marks.fresh is None else choose(marks.fresh, first, carry)
        z = tuple(pre._replace(driven=x) for pre, x in zip(z, alone, strict=True))
        spread = {name: jnp.broadcast_to(v, (ROWS, *v.shape)) for name, v in p.items()}
        inside = Weights(None, None, None, spread, row)  # pyright: ignore[reportArgumentType]
        back = partial(back_step, cell, inside, list(turned), z, before)
        heard = tuple(
            None
            if stage.read is None or r is None or not near
            else stage.read(inside, z[:k], before)
            for k, (stage, r) in enumerate(zip(cell.stages, turned, strict=True))
        )
        return *masked_back(back, marks, d_carry, d_h), heard

    turned = tuple(None if r is None else r.T for r in weights.r)
    data = [("steps", z), ("steps", parts), ("steps", masks), ("next", saved.start)]
    data += [("rows", saved.first), ("carried", d_last), ("steps", d_h)]
    data.append(("shared", (weights.p, row)))
    end = len(jax.tree.leaves(d_last)), len(weights.p)
    kinds = lambda i: "carried" if i < end[0] else "summed" if i < sum(end) else "steps"
    turn = shape._replace(reverse=not shape.reverse)
    pairs = lambda out: [
        (v, [part for part in (pre.both, pre.recurred) if part is not None])
        for pre, v in zip(*out[2:], strict=True)
        if v is not None
    ]
    (d_start, d_p, dz, _), sums = launch(turn, f, data, turned, kinds, saved.carries, pairs)
    if near:
        d_r = jax.tree.unflatten(jax.tree.structure(weights.r), sums)
    else:
        before = earlier(saved.carries, saved.start, saved.first, held(masks), shape.reverse)
        z = tuple(pre._replace(driven=x) for pre, x in zip(z, parts, strict=True))
        inside = weights._replace(r=None, row=row)
        d_r = recurrent_gradients(cell, inside, weights.r, z, before, dz)
    d_p = {name: g.sum(0).reshape(weights.p[name].shape) for name, g in d_p.items()}
    d_weights = weights._replace(r=d_r, p=d_p)
    return d_weights, None, None, d_start, projected(cell, zx, dz), None


recurrence.defvjp(forward, backward)


def held(masks: Masks) -> Masks:
    """Return masks of 0 and 1 as choices."""
    return jax.tree.map(lambda mask: mask != 0, masks)


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


@cache
def unserved(cell: Cell, hidden: int) -> str | None:
    """Return why a cell of this width has no kernel, None where it has."""
    if cell.linear is not None:
        return "it is linear in its state, which engine='parallel' runs at once"
    if cell.precision != "float32":
        return f"its operands are {cell.precision}, and a kernel rounds nothing"
    try:
        jax.eval_shape(*trial(loop, cell, hidden, jnp.float32))
    except ValueError as error:
        return str(error)
    return None


def suits(cell: Cell, hidden: int, dtype: Any) -> bool:
    """Say whether `auto` takes the kernels on a CPU: where a vector of units is at least half full."""
    able = dtype == jnp.float32 and not cell.noisy and jax.default_backend() == "cpu"
    full = 2 * math.gcd(hidden, native_call.processor().lanes) >= native_call.processor().lanes
    return able and full and unserved(cell, hidden) is None
