"""A step of a cell there and back as functions of a kernel's arrays, masks inside; and its trace."""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Callable
from functools import lru_cache, partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Hiddens, Tree
from lstm_research.blocked import Program, program
from lstm_research.blockwise import Unblockable, count
from lstm_research.cell import Cell, Weights, driven, given, project, sizes, step
from lstm_research.cotangents import back_step, masked_back
from lstm_research.masks import Masks, choose
from lstm_research.native_plan import Input
from lstm_research.native_stages import ROWS, Stages, staged
from lstm_research.padding import reshaped
from lstm_research.unroll import scan

MOST = {"native": 16, "cuda": 4}  # features, at most, that a step of an engine projects itself
Kinds = list[tuple[str, Tree]]  # (kind, tree) of each argument of a step, as `Input` has it


class Shape(NamedTuple):
    """What decides a pair of kernels, beside the arrays."""

    cell: Cell
    hidden: int
    reverse: bool


class Data(NamedTuple):
    """What a kernel is given: arrays with one batch axis, masks of 0 and 1."""

    weights: Weights
    row: Tree
    first: Tree
    carry: Tree
    zx: Tree  # the inputs themselves where the cell's drive is `given`: a step makes zx of them
    masks: Masks


class Saved(NamedTuple):
    """What the backward pass needs of the forward pass."""

    weights: Weights
    row: Tree
    first: Tree
    start: Tree
    zx: Tree
    masks: Masks
    carries: Tree
    z: Tree  # without `driven`, which is a part of zx; or activations of it (`activated.py`)
    heard: Tree = ()  # what each product read, where a kernel gives it


def flattened(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks
) -> tuple[Data, tuple[int, ...]]:
    """Return the arguments of a loop as a kernel takes them, and their batch axes."""
    batch = jax.tree.leaves(carry)[0].shape[:-1]
    flat = partial(reshaped, (math.prod(batch),), len(batch))
    inside = weights._replace(row=None, m=None)
    inside = inside if cell.drive is given else inside._replace(w=None, b=None)
    masks = jax.tree.map(lambda mask: mask.astype(jnp.float32), masks)
    arrays = flat(0, first), flat(0, carry), flat(1, zx), flat(1, masks)
    return Data(inside, weights.row, *arrays), batch


def ended(shape: Shape, carries: Tree, masks: Masks) -> tuple[Tree, Hiddens]:
    """Return (last carry, h) of the carries of all steps."""
    h = shape.cell.emit(carries)
    if masks.valid is not None:
        h = jnp.where(masks.valid != 0, h, 0)
    return jax.tree.map(lambda leaf: leaf[0 if shape.reverse else -1], carries), h


def held(masks: Masks) -> Masks:
    """Return masks of 0 and 1 as choices."""
    return jax.tree.map(lambda mask: mask != 0, masks)


def looped(
    recurrence: Callable[..., Any], cell: Cell, weights: Weights, first: Tree,
    carry: Tree, zx: Tree, masks: Masks, reverse: bool,
) -> tuple[Tree, Hiddens]:  # fmt: skip
    """Run a recurrence on arrays of one batch axis, recurrence(shape, *data); arguments as `unroll.scan`."""
    if not all(leaf.size for leaf in jax.tree.leaves((zx, carry))):
        zx = whole(cell, weights, zx)
        return scan(cell, weights, first, carry, zx, masks, reverse)  # no step, or nobody takes one
    shape = Shape(cell, sizes(cell, weights)[1], reverse)
    data, batch = flattened(cell, weights, first, carry, zx, masks)
    last, h = recurrence(shape, *data)
    return reshaped(batch, 1, 0, last), reshaped(batch, 1, 1, h)


def narrow(cell: Cell, features: int, most: int) -> Cell:
    """Return the cell whose steps are given their inputs as they are, where those are few."""
    few = 0 < features <= most and cell.drive is project
    return cell._replace(drive=given) if few else cell


def fed(cell: Cell, weights: Weights, zx: Tree) -> tuple[Tree, Tree]:
    """Return what drives a step and what all steps share: zx, or inputs one by one and rows of W."""
    if cell.drive is not given:
        return zx, ()
    assert weights.w is not None
    every = range(zx.shape[-1])
    return [zx[..., i : i + 1] for i in every], ([weights.w[i] for i in every], weights.b)


def whole(cell: Cell, weights: Weights, zx: Tree) -> Tree:
    """Return zx of all steps, of inputs too that a step would project itself."""
    return project(weights, zx, Masks(None, None), None) if cell.drive is given else zx


def zx_from(cell: Cell, now: Tree, shared: Tree) -> Tree:
    """Return zx of a step, of what `fed` returns."""
    if cell.drive is not given:
        return now
    rows, b = shared
    zx = reduce(jnp.add, (x * w for x, w in zip(now, rows, strict=True)))
    return zx if b is None else zx + b


class There(NamedTuple):
    """A step of a cell: (carry, pre-activations where kept, what products read where asked)."""

    cell: Cell
    keep: bool
    hear: bool

    def __call__(
        self, zx: Tree, masks: Masks, carry: Tree, first: Tree, vectors: Tree, matrices: Tree
    ) -> Tree:
        """Take the step."""
        (valid, fresh), (p, row, shared) = held(masks), vectors
        before = carry if fresh is None else choose(fresh, first, carry)
        inside = Weights(None, None, matrices, p, row)
        after, z = step(self.cell, inside, zx_from(self.cell, zx, shared), before)
        after = after if valid is None else choose(valid, after, before)
        kept = tuple(pre._replace(driven=None) for pre in z) if self.keep else ()
        inside = inside._replace(r=None)  # pyright: ignore[reportArgumentType]
        return after, kept, read(self.cell, inside, matrices, z, before) if self.hear else ()


def there(cell: Cell, keep: bool, hear: bool, data: Data) -> tuple[There, Kinds]:
    """Return a step and its arrays."""
    now, shared = fed(cell, data.weights, data.zx)
    kinds: Kinds = [("steps", now), ("steps", data.masks)]
    kinds += [("before", data.carry), ("rows", data.first)]
    return There(cell, keep, hear), [*kinds, ("shared", (data.weights.p, data.row, shared))]


def read(cell: Cell, inside: Weights, matrices: Tree, z: Tree, before: Tree) -> Tree:
    """Return what each product of a step reads, None where there is none."""
    return tuple(
        None if stage.read is None or r is None else stage.read(inside, z[:k], before)
        for k, (stage, r) in enumerate(zip(cell.stages, matrices, strict=True))
    )


def alone(cell: Cell, zx: Tree) -> list[Array | None]:
    """Return the blocks of each stage that the input alone drives."""
    return [pair[1] for pair in driven(cell, zx)]


class Back(NamedTuple):
    """The way back through a step: the cotangents of the carry, of the vectors and of the
    pre-activations, and what products read where that is asked for.
    """

    cell: Cell
    hear: bool

    def __call__(
        self, z: Tree, now: Tree, masks: Masks, carry: Tree, first: Tree, d_carry: Tree, d_h: Array,
        vectors: Tree, turned: Tree,
    ) -> Tree:  # fmt: skip
        """Go it."""
        cell = self.cell
        marks, (p, row, shared) = held(masks), vectors
        lone = now if cell.drive is not given else alone(cell, zx_from(cell, now, shared))
        before = carry if marks.fresh is None else choose(marks.fresh, first, carry)
        z = tuple(pre._replace(driven=x) for pre, x in zip(z, lone, strict=True))
        spread = {name: jnp.broadcast_to(v, (ROWS, *v.shape)) for name, v in p.items()}
        inside = Weights(None, None, None, spread, row)  # pyright: ignore[reportArgumentType]
        back = partial(back_step, cell, inside, list(turned), z, before)
        heard = read(cell, inside, turned, z, before) if self.hear else ()
        return *masked_back(back, marks, d_carry, d_h), heard


def back_again(
    cell: Cell, hear: bool, saved: Saved, cotangents: tuple[Tree, Hiddens], z: str = "steps"
) -> tuple[Back, Kinds, Callable[[int], str]]:
    """Return the way back through a step, its arrays, and the kind of each of its outputs; z: that of z."""
    d_last, d_h = cotangents
    now, shared = fed(cell, saved.weights, saved.zx)
    now = now if cell.drive is given else alone(cell, now)
    data: Kinds = [(z, saved.z), ("steps", now), ("steps", saved.masks)]
    data += [("next", saved.start), ("rows", saved.first), ("carried", d_last), ("steps", d_h)]
    data.append(("shared", (saved.weights.p, saved.row, shared)))
    end = len(jax.tree.leaves(d_last)), len(saved.weights.p)
    kinds = lambda i: "carried" if i < end[0] else "summed" if i < sum(end) else "steps"
    return Back(cell, hear), data, kinds


class Traced(NamedTuple):
    """A step as a program of blocks, and the arrays that it is called with."""

    program: Program
    inputs: tuple[Input, ...]
    arrays: list[Array]  # without the matrices
    matrices: list[Array]
    timed: int  # an array whose first side is time


def traced(f: Any, data: Kinds, matrices: Tree, hidden: int, whole: Tree) -> Traced:
    """Trace a step on blocks; raise Unblockable where its numbers or matrices have no kernel.

    "before" is found among the outputs, "next" in the arrays `whole`.
    """
    rights = jax.tree.leaves(matrices)
    arrays = [leaf for kind, tree in data if kind != "halves" for leaf in jax.tree.leaves(tree)]
    if wrong := {str(leaf.dtype) for leaf in (*arrays, *rights)} - {"float32", "bool"}:
        raise Unblockable(f"it holds {', '.join(sorted(wrong))}, and a kernel float32 alone")
    if any(r.ndim != 2 for r in rights):
        raise Unblockable("each of its heads has a matrix of its own")
    shapes = [slices(kind, tree) for kind, tree in data], jax.tree.map(shaped, matrices)
    flat, tree = jax.tree.flatten(shapes)
    double = jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
    made = known(f, tree, tuple(flat), hidden, double)
    inputs, passed = list[Input](), list[Array]()
    past = jax.tree.leaves(whole)
    for kind, tree in data:
        for i, leaf in enumerate(jax.tree.leaves(tree)):
            width = leaf.size if kind == "shared" else leaf.shape[-1]
            inputs.append(Input(kind, width, len(passed), i, kind == "before"))
            passed.append(leaf.reshape(-1) if kind == "shared" else leaf)
            if kind == "next":
                inputs[-1] = inputs[-1]._replace(whole=len(passed))
                passed.append(past[i])
    timed = next(i for i, leaf in enumerate(passed) if leaf.ndim == 3)
    return Traced(made, tuple(inputs), passed, rights, timed)


@lru_cache(maxsize=128)
def known(f: Any, tree: Any, flat: tuple[Any, ...], hidden: int, double: bool) -> Program:
    """Return a step as a program of blocks, traced once: neither batch nor time are in it."""
    arguments, matrices = jax.tree.unflatten(tree, flat)
    return program(f, arguments, matrices, hidden, hidden)


def shaped(leaf: Any) -> jax.ShapeDtypeStruct:
    """Return the shape of an array."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)


def slices(kind: str, tree: Tree) -> Tree:
    """Return the shapes of arrays in one step of a kernel."""
    if kind == "shared":
        return jax.tree.map(shaped, tree)
    number = lambda leaf: np.dtype(np.float32) if kind == "halves" else leaf.dtype
    one = lambda leaf: jax.ShapeDtypeStruct((ROWS, leaf.shape[-1]), number(leaf))
    return jax.tree.map(one, tree)


def cut(found: Traced, hidden: int, unwritten: Callable[[Any], str | None]) -> Stages:
    """Return a step as stages; raise Unblockable where an equation cannot be written."""
    made = found.program
    for equation in made.equations:
        if equation.primitive.name != "dot_general" and (reason := unwritten(equation)):
            raise Unblockable(reason)
    if any(var.aval.shape != (ROWS, hidden) for var in made.outputs):
        raise Unblockable("a step gives one number for all units")
    widths = [jax.ShapeDtypeStruct((each.width,), np.float32) for each in found.inputs]
    grids = [(r.shape[0] // hidden, r.shape[1] // hidden) for r in found.matrices]
    return staged(made, [count(width, hidden) for width in widths], grids)
