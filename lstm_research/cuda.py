"""The recurrence as two kernels for a GPU: every step in one launch, forward and back, R in registers.

The Python of the cell, `cell.step` and `cotangents.back_step`, is traced once, block by block
(`blocked.py`), cut into products and what follows from them (`native_stages.py`), and written as CUDA
C++ (`cuda_kernel.py`) that the GPU's own compiler compiles while the program runs. The recurrent matrix,
rounded to bfloat16 or float16, is read once and stays in the registers of as many multiprocessors as
hold it, whatever the width (`cuda_plan.py`); a step passes on nothing but its operands.
So every variant that can be traced has its kernel, with lengths, resets and reverse, and no derivative is
written by hand. Gradients of matrices are products after the launch, of the operands as they were passed on.

All arithmetic but the products is float32; tanh is the GPU's instruction, to 11 bits. The backward kernel
reads pre-activations as float16, of 11 bits too; one beyond 65,504 is kept as that.

Source: Diamos et al. 2016 (persistent RNNs), Pöppel et al. 2024 (arXiv:2412.07752).
"""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research import cuda_driver
from lstm_research.axes import Array, Hiddens, Tree
from lstm_research.cell import Cell, Weights, given
from lstm_research.cotangents import (
    projected,
    recurrent,
    sides,
    with_inputs,
)
from lstm_research.cuda_trace import launch
from lstm_research.kernel_step import FEATURES, refusal
from lstm_research.masks import Masks
from lstm_research.precision import backwards, coarse, dot
from lstm_research.whole_step import (
    MOST,
    Back,
    Data,
    Saved,
    Shape,
    back_again,
    ended,
    looped,
    narrow,
    there,
)


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
    carries = run(shape, False, weights, row, first, carry, zx, masks)[0]
    return ended(shape, carries, masks)


def forward(
    shape: Shape, weights: Weights, row: Tree, first: Tree, carry: Tree, zx: Tree, masks: Masks
) -> tuple[tuple[Tree, Hiddens], Saved]:
    """Run the forward kernel; keep the pre-activations, the carries and the operands."""
    carries, z, heard = run(shape, True, weights, row, first, carry, zx, masks)
    saved = Saved(weights, row, first, carry, zx, masks, carries, z, heard)
    return ended(shape, carries, masks), saved


def run(
    shape: Shape, keep: bool, weights: Weights, row: Tree, first: Tree, carry: Tree, zx: Tree,
    masks: Masks,
) -> tuple[Tree, Tree, Tree]:  # fmt: skip
    """Return the carries after every step and, where kept, the pre-activations and the operands."""
    cell = shape.cell._replace(precision="float32")  # the kernel rounds
    f, data = there(cell, keep, keep, taken(shape, Data(weights, row, first, carry, zx, masks)))
    end = len(jax.tree.leaves(carry))
    kinds = lambda i: "steps" if i < end else "halves"
    heard = len(jax.tree.leaves(weights.r))
    return launch(shape, f, data, weights.r, kinds, keep, shape.cell.precision, spoken=heard)


class Fed(NamedTuple):
    """The way back through a step; dz of what the input drives also side by side, if the step projects it."""

    back: Back
    projects: bool

    def __call__(self, *given: Any) -> Tree:
        """Go it."""
        d_before, d_p, dz, _ = self.back(*given)
        return d_before, d_p, jnp.concatenate(sides(dz), -1) if self.projects else (), dz


def backward(
    shape: Shape, saved: Saved, cotangents: tuple[Tree, Hiddens]
) -> tuple[Weights, None, None, Tree, Tree, None]:
    """Run the backward kernel; then one product a matrix."""
    cell, weights = shape.cell._replace(precision="float32"), saved.weights  # the kernel rounds
    f, data, kinds = back_again(cell, False, taken(shape, saved), cotangents, z="halves")
    z, end = len(jax.tree.leaves(saved.z)), len(jax.tree.leaves(saved.start)) + len(weights.p)
    few = cell.drive is given
    fed = tuple(range(z, z + saved.zx.shape[-1])) if few else ()
    mine = lambda i: "fed" if few and i == end else kinds(i)
    turned = tuple(None if r is None else r.T for r in weights.r)
    turn, back = shape._replace(reverse=not shape.reverse), backwards(shape.cell.precision)
    d_start, d_p, d_w, dz = launch(
        turn, Fed(f, few), data, turned, mine, True, back, saved.carries,
        fed=fed, bias=few and weights.b is not None,
    )  # fmt: skip
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), dz)
    d_r = gradients(shape, saved.heard, dz)
    d_p = {name: g.sum(0).reshape(weights.p[name].shape) for name, g in d_p.items()}
    d_weights = weights._replace(r=d_r, p=d_p)
    if cell.drive is not given:
        return d_weights, None, None, d_start, projected(cell, saved.zx, single), None
    assert weights.w is not None
    d_x = dot(jnp.concatenate(sides(single), -1), weights.w.T, back)
    return with_inputs(d_weights, weights, d_w.sum(0)), None, None, d_start, d_x, None


def taken(shape: Shape, held: Any) -> Any:
    """Return `Data` or `Saved` with W and x as a product takes them, where a step projects x itself."""
    if shape.cell.drive is not given:
        return held
    w, x = (coarse(each, shape.cell.precision) for each in (held.weights.w, held.zx))
    return held._replace(weights=held.weights._replace(w=w), zx=x)


recurrence.defvjp(forward, backward)


def gradients(shape: Shape, read: Tree, dz: Tree) -> tuple[Array | None, ...]:
    """Return dR of each stage, from what its product read as the kernels rounded it."""
    return tuple(
        None if heard is None else multiplied(heard, recurrent(each), shape.cell.precision)
        for heard, each in zip(read, dz, strict=True)
    )


def multiplied(heard: Array, parts: list[Array], precision: Any) -> Array:
    """Return heard^T dz over steps and rows, summed in float32; the parts of dz lie side by side."""
    back = backwards(precision)
    rows = (((0, 1), (0, 1)), ((), ()))
    sums = [
        lax.dot_general(
            heard.astype(back), part.astype(back), rows, preferred_element_type=jnp.float32
        )
        for part in parts
    ]
    return sums[0] if len(sums) == 1 else jnp.concatenate(sums, -1)


@cache
def unserved(cell: Cell, hidden: int, rows: int = 1, features: int = FEATURES) -> str | None:
    """Return why a cell of this width has no kernel for so many sequences, None where it has."""
    if cell.linear is not None:
        return "it is linear in its state, which engine='parallel' runs at once"
    if cell.precision == "float32":
        return "its operands are float32, and a kernel takes bfloat16 or float16"
    fed = narrow(cell, features, MOST["cuda"])
    return refusal(loop, fed, hidden, jnp.float32, rows, features)


def suits(cell: Cell, hidden: int, dtype: Any, rows: int = 1, features: int = FEATURES) -> bool:
    """Say whether `auto` takes the kernels: on a GPU whose compiler is at hand."""
    able = dtype == jnp.float32 and not cell.noisy and cuda_driver.device() is not None
    return able and unserved(cell, hidden, max(1, rows), features) is None
