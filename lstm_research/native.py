"""The recurrence as two kernels of machine code: every step in one call, forward and back.

XLA:CPU runs a loop as a dozen small calls a step, and packs R anew for each product. Here the Python of
the cell, `cell.step` and `cotangents.back_step`, is traced once, block by block (`blocked.py`), cut into
products and what follows from them (`native_stages.py`), and compiled by LLVM for the processor at hand
(`native_kernel.py`): R is packed once a call, sums stay in registers, and the equations of a tile are done
before it leaves the first cache. Where a process has one device for all its cores, threads share a call
that is worth it (`native_team.py`). So every variant that can be traced has its kernel, with lengths,
resets and reverse, and no derivative is written by hand. The gradients of the recurrent matrices are
products over some steps at a time, while dz is in the second cache (`native_product.py`).

Few features are projected inside too (`Cell.drive` is `given`): z = x W + b + v R without an array of x W,
whose writing and reading costs as much as a third of the products, and [dW; db] = [x, 1]^T dz beside dR.

The forward kernel writes the carries and, where there will be a backward pass, the pre-activations z, or
their activations where the backward kernel asks for nothing else (`activated.py`).

Needs llvmlite, float32 and a CPU. A vector holds as many units as the processor's registers, or the
greatest power of two that divides `hidden`.
"""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

import math
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp

from lstm_research import activated, native_call
from lstm_research.axes import Hiddens, Tree
from lstm_research.blocked import Program
from lstm_research.cell import Cell, Weights, given, sizes
from lstm_research.cotangents import (
    earlier,
    inputs,
    preactivations,
    projected,
    recurrent,
    recurrent_gradients,
    sides,
    with_inputs,
)
from lstm_research.kernel_step import FEATURES, refusal
from lstm_research.masks import Masks
from lstm_research.native_launch import launch
from lstm_research.padding import reshaped
from lstm_research.whole_step import (
    MOST,
    Data,
    Saved,
    Shape,
    alone,
    back_again,
    ended,
    flattened,
    held,
    looped,
    narrow,
    there,
    traced,
    whole,
)

NEAR = 2**17  # numbers: a gradient that stays in the second cache is summed in the kernel


def loop(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks, reverse: bool
) -> tuple[Tree, Hiddens]:
    """Run the recurrence; the same signature as `unroll.scan`.

    Raises Unblockable, a ValueError, where the cell or the type of its numbers has no kernel.
    """
    return looped(recurrence, cell, weights, first, carry, zx, masks, reverse)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def recurrence(
    shape: Shape, weights: Weights, row: Tree, first: Tree, carry: Tree, zx: Tree, masks: Masks
) -> tuple[Tree, Hiddens]:
    """Return (last carry, h); arrays have one batch axis, masks are 0 and 1."""
    carries, _ = run(shape, False, Data(weights, row, first, carry, zx, masks))
    return ended(shape, carries, masks)


def forward(
    shape: Shape, weights: Weights, row: Tree, first: Tree, carry: Tree, zx: Tree, masks: Masks
) -> tuple[tuple[Tree, Hiddens], Saved]:
    """Run the forward kernel; keep the carries, and pre-activations or what `known` says."""
    data = Data(weights, row, first, carry, zx, masks)
    carries, z = run(shape, True, data, known(shape, data))
    return ended(shape, carries, masks), Saved(*data, carries, z)


def run(
    shape: Shape, keep: bool, data: Data, through: tuple[activated.Path, ...] = ()
) -> tuple[Tree, Tree]:
    """Return the carries after every step and, where kept, the pre-activations or what `known` says."""
    f, kinds = there(shape.cell, keep, False, data)
    change = lambda made: activated.given(made, begin(made, data.carry), through)
    return launch(shape, f, kinds, data.weights.r, lambda i: "steps", change=change)[0][:2]


def begin(made: Program, carry: Tree) -> int:
    """Return the first block that a step gives after its carry."""
    return sum(made.counts[: len(jax.tree.leaves(carry))])


def known(shape: Shape, data: Data) -> tuple[activated.Path, ...]:
    """Return which blocks of the pre-activations are kept as their activations.

    None are where the gradient of a matrix, taken after the kernel, needs z for what was read.
    """
    if not close(data.weights) and len(shape.cell.stages) > 1:
        return ()
    f, kinds = there(shape.cell, True, False, data)
    made = traced(f, kinds, data.weights.r, shape.hidden, None).program
    return activated.paths(made, made.outputs[begin(made, data.carry) :])


def close(weights: Weights) -> bool:
    """Say whether the gradients of all recurrent matrices are summed in the kernel."""
    return all(r is None or r.size <= NEAR for r in weights.r)


def backward(
    shape: Shape, saved: Saved, cotangents: tuple[Tree, Hiddens]
) -> tuple[Weights, None, None, Tree, Tree, None]:
    """Go back from what `forward` kept."""
    data = Data(saved.weights, saved.row, saved.first, saved.start, saved.zx, saved.masks)
    return gradients(shape, saved, cotangents, known(shape, data))


def gradients(
    shape: Shape,
    saved: Saved,
    cotangents: tuple[Tree, Hiddens],
    through: tuple[activated.Path, ...] = (),
) -> tuple[Weights, None, None, Tree, Tree, None]:
    """Run the backward kernel; of large matrices take one product each after it.

    through: which blocks of z are their activations, as `known` says.
    """
    cell, weights, row = shape.cell, saved.weights, saved.row
    zx, masks, z = saved.zx, saved.masks, saved.z
    fed = cell.drive is given
    near = close(weights)
    f, data, kinds = back_again(cell, near, saved, cotangents)
    turned = tuple(None if r is None else r.T for r in weights.r)
    turn = shape._replace(reverse=not shape.reverse)

    def pairs(out: Tree) -> list[tuple[Any, list[int]]]:
        _, _, dz, heard = out
        found = [(v, recurrent(pre)) for pre, v in zip(dz, heard, strict=near) if v is not None]
        return [*found, (inputs(weights, zx), sides(dz))] if fed else found

    change = partial(activated.taken, known=through)
    (d_start, d_p, dz, _), sums = launch(turn, f, data, turned, kinds, saved.carries, pairs, change)
    d_w = sums.pop() if fed else None
    if near:
        d_r = jax.tree.unflatten(jax.tree.structure(weights.r), sums)
    else:
        before = earlier(saved.carries, saved.start, saved.first, held(masks), shape.reverse)
        parts = alone(cell, whole(cell, weights, zx))
        z = tuple(pre._replace(driven=x) for pre, x in zip(z, parts, strict=True))
        inside = weights._replace(r=None, row=row)
        d_r = recurrent_gradients(cell, inside, weights.r, z, before, dz)
    d_p = {name: g.sum(0).reshape(weights.p[name].shape) for name, g in d_p.items()}
    d_weights = weights._replace(r=d_r, p=d_p)
    if d_w is None:
        return d_weights, None, None, d_start, projected(cell, zx, dz), None
    assert weights.w is not None
    d_x = jnp.concatenate(sides(dz), -1) @ weights.w.T
    return with_inputs(d_weights, weights, d_w), None, None, d_start, d_x, None


recurrence.defvjp(forward, backward)


def ahead(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks, reverse: bool
) -> tuple[tuple[Tree, Hiddens], Tree]:
    """Run the forward kernel; return (last carry, h) and the carries, with one batch axis."""
    shape = Shape(cell, sizes(cell, weights)[1], reverse)
    data, batch = flattened(cell, weights, first, carry, zx, masks)
    carries, _ = run(shape, False, data)
    last, h = ended(shape, carries, data.masks)
    return (reshaped(batch, 1, 0, last), reshaped(batch, 1, 1, h)), carries


def back(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks, reverse: bool,
    carries: Tree, cotangents: tuple[Tree, Hiddens],
) -> tuple[Weights, Tree, Tree]:  # fmt: skip
    """Return what `backward` does, from the carries alone."""
    shape = Shape(cell, sizes(cell, weights)[1], reverse)
    data, batch = flattened(cell, weights, first, carry, zx, masks)
    before = earlier(carries, data.carry, data.first, held(data.masks), reverse)
    zx = whole(cell, data.weights, data.zx)
    z = preactivations(cell, data.weights._replace(row=data.row), zx, before)
    flat = partial(reshaped, (math.prod(batch),), len(batch))
    found = flat(0, cotangents[0]), flat(1, cotangents[1])
    d_weights, _, _, d_start, d_zx, _ = gradients(shape, Saved(*data, carries, z), found)
    return d_weights, reshaped(batch, 1, 0, d_start), reshaped(batch, 1, 1, d_zx)


@cache
def unserved(cell: Cell, hidden: int, features: int = FEATURES) -> str | None:
    """Return why a cell of this width has no kernel, None where it has."""
    if cell.linear is not None:
        return "it is linear in its state, which engine='parallel' runs at once"
    if cell.precision != "float32":
        return f"its operands are {cell.precision}, and a kernel rounds nothing"
    fed = narrow(cell, features, MOST["native"])
    return refusal(loop, fed, hidden, jnp.float32, features=features)


def suits(cell: Cell, hidden: int, dtype: Any, features: int = FEATURES) -> bool:
    """Say whether `auto` takes the kernels on a CPU: where a vector of units is at least half full."""
    able = dtype == jnp.float32 and not cell.noisy and jax.default_backend() == "cpu"
    full = 2 * math.gcd(hidden, native_call.processor().lanes) >= native_call.processor().lanes
    return able and full and unserved(cell, hidden, features) is None
