"""What a recurrent cell is: matrix products between maps that hold no matrix.

One step of every cell has the same shape, and the engines (`unroll`, `fused`) know nothing else of
it::

    zx = x W + b                                   drive: all steps at once, before the loop
    for each stage k:  z_k = zx_k (+) v_k R_k,     v_k = read_k(z_1 .. z_{k-1}, carry)
    carry = update(z, carry)                       no matrix in here
    h     = emit(carry)

Most cells have one stage that reads h. A cell whose second product waits for the first (a GRU that
resets before its matrix) has two; a stage that reads nothing has no product. `(+)` adds the blocks
to which both sides contribute and keeps the others apart, so that neither W nor R is padded with
zeros.

What else a cell needs before the loop it says in the optional fields of `Cell`: a `drive` of its own
for everything that depends on x alone, and a `cut` that finds the blocks in what it returns.
"""

# JAX leaves types such as `device` unknown in its own signatures:
# pyright: reportUnknownMemberType=false

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lstm_research.axes import Array, Float, Seed, Tree
from lstm_research.masks import Masks
from lstm_research.precision import Precision, dot


class Weights(NamedTuple):
    """Everything that a cell learns, and the row of switches where that is data.

    `read` and `update` are given `vectors(weights)`: `w`, `b`, `r` and `m` are None.
    """

    w: Float[Array, "features drive"] | None
    b: Float[Array, "drive"] | None  # None: the biases are among `p`, or there are none
    r: tuple[Array | None, ...]  # one a stage: (read, wide), (heads, read, blocks, each), or None
    p: dict[str, Float[Array, "_"]]  # vectors inside the update: peepholes, inner biases
    row: Tree = None  # numbers that are never trained: switches; None where compiled for a row
    m: Tree = None  # a dict of matrices that `drive` and `ready` use beside w


class Pre(NamedTuple):
    """The pre-activations of one stage; a part without blocks is None, and a cell knows which."""

    both: Float[Array, "*batch both"] | None
    driven: Float[Array, "*batch driven"] | None
    recurred: Float[Array, "*batch recurred"] | None


Read = Callable[[Weights, tuple[Pre, ...], Tree], Float[Array, "*batch read"]]


class Stage(NamedTuple):
    """Names of the blocks of one product, each as wide as the cell, and the vector that it reads."""

    both: str  # blocks into which input and recurrence add up, a letter each
    driven: str  # blocks of the input alone
    recurred: str  # blocks of the recurrence alone
    read: Read | None  # None: no product, every block is driven


def project(
    weights: Weights,
    x: Array,
    masks: Masks,
    key: Seed | None,
    precision: Precision = "float32",
) -> Array:
    """Return zx = x W + b of every step in one product.

    The leading axes are flattened first: the backward pass of a product on three axes makes XLA:CPU
    insert a transposed copy of the largest array there is.
    """
    assert weights.w is not None
    flat = dot(x.reshape(-1, x.shape[-1]), weights.w, precision, few=True)
    flat = flat if weights.b is None else flat + weights.b
    return flat.reshape(*x.shape[:-1], weights.w.shape[-1])


def given(weights: Weights, x: Array, masks: Masks, key: Seed | None) -> Array:
    """Return the inputs themselves: the `drive` of a cell whose engine projects inside its loop."""
    return x


Drive = Callable[[Weights, Array, Masks, Seed | None], Tree]
Parts = tuple[tuple[Array | None, Array | None], ...]  # (both, driven) of each stage


class Cell(NamedTuple):
    """Pure functions of one recurrence; the rest of the package sees a cell only through these.

    init(key, features, hidden) -> Weights; start(batch, hidden, dtype) -> carry;
    update(weights, z, carry) -> carry, holds no matrix, reads only `p` and `row`;
    emit(carry) -> h. The rest have defaults:
    drive(weights, x, masks, key) -> zx, a tree of `time *batch _`; key None: no noise, as in a test;
    cut(zx) -> (both, driven) of each stage, under any leading axes;
    sizes(weights) -> (features, hidden); ready(weights, key) -> the weights of one call;
    gates(weights, z, carry) -> the activations of the step that `update` takes from there, by the
    names of the cell's equations; `f` is the share of its memory that a unit keeps; None: no gates;
    linear: levels and gather of a recurrence that is linear in its state (`linear.py`);
    observe(weights, x, masks, key) -> what a training call of these arguments measured, shaped as
    `Weights.row`, into which a layer blends it; weights are those before `ready`, padding is finite.
    """

    init: Callable[[Seed, int, int], Weights]
    start: Callable[..., Tree]
    stages: tuple[Stage, ...]
    update: Callable[[Weights, tuple[Pre, ...], Tree], Tree]
    emit: Callable[[Tree], Float[Array, "*batch hidden"]]
    drive: Drive = project
    cut: Callable[[Tree], Parts] | None = None
    sizes: Callable[[Weights], tuple[int, int]] | None = None
    ready: Callable[[Weights, Seed], Weights] | None = None
    gates: Callable[[Weights, tuple[Pre, ...], Tree], dict[str, Array]] | None = None
    linear: Tree = None
    noisy: bool = False  # a key changes what `drive` or `ready` return
    observe: Callable[[Weights, Array, Masks, Seed | None], Tree] | None = None
    opened: bool = False  # `update` takes `taken` and `view`, functions of g and of the memory
    precision: Precision = "float32"  # of the operands of x W and v R, where `drive` is `project`


def drive(
    cell: Cell, weights: Weights, x: Float[Array, "*any features"], key: Seed | None = None
) -> Tree:
    """Return zx of inputs without padding: what the cell makes of them before its loop."""
    return drives(cell, weights, x, Masks(None, None), key)


def drives(cell: Cell, weights: Weights, x: Array, masks: Masks, key: Seed | None) -> Tree:
    """Return zx; a `drive` of the cell's own knows nothing of precision."""
    if cell.drive is project:
        return project(weights, x, masks, key, cell.precision)
    return cell.drive(weights, x, masks, key)


def sizes(cell: Cell, weights: Weights) -> tuple[int, int]:
    """Return (features, hidden) that these weights were made for."""
    if cell.sizes is not None:
        return cell.sizes(weights)
    assert weights.w is not None
    return weights.w.shape[0], weights.w.shape[1] // blocks(cell)


def outputs(cell: Cell, hidden: int) -> int:
    """Return the width of h."""
    return jax.eval_shape(lambda: cell.emit(cell.start((), hidden))).shape[-1]


def blocks(cell: Cell) -> int:
    """Return how many blocks the input drives."""
    return sum(len(stage.both) + len(stage.driven) for stage in cell.stages)


def driven(cell: Cell, zx: Tree) -> Parts:
    """Cut zx into (both, driven) for each stage."""
    if cell.cut is not None:
        return cell.cut(zx)
    hidden = zx.shape[-1] // blocks(cell)
    parts: list[tuple[Array | None, Array | None]] = []
    at = 0
    for stage in cell.stages:
        middle = at + len(stage.both) * hidden
        end = middle + len(stage.driven) * hidden
        both = zx[..., at:middle] if stage.both else None
        parts.append((both, zx[..., middle:end] if stage.driven else None))
        at = end
    return tuple(parts)


def product(
    v: Float[Array, "*any read"], r: Array, precision: Precision = "float32"
) -> Float[Array, "*any wide"]:
    """Return v R; of a matrix a head, each head hears itself alone, and blocks come side by side."""
    if r.ndim == 2:
        return dot(v, r, precision)
    heads, read, count, each = r.shape
    apart = v.reshape(*v.shape[:-1], heads, read)
    if precision == "float32":
        z = jnp.einsum("...nd,ndbe->...bne", apart, r)
    else:
        alone = jax.vmap(partial(dot, precision=precision), (-2, 0), -2)
        z = alone(apart, r.reshape(heads, read, count * each))
        z = jnp.moveaxis(z.reshape(*z.shape[:-1], count, each), -3, -2)
    return z.reshape(*v.shape[:-1], count * heads * each)


def join(stage: Stage, zx: tuple[Array | None, Array | None], zh: Array) -> Pre:
    """Return the pre-activations of a stage: zx (+) zh."""
    both, alone = zx
    if both is None:
        return Pre(None, alone, zh)
    if not stage.recurred:
        return Pre(both + zh, alone, None)
    shared = both.shape[-1]
    return Pre(both + zh[..., :shared], alone, zh[..., shared:])


def vectors(weights: Weights) -> Weights:
    """Return what `read` and `update` are given: the weights without their matrices."""
    return weights._replace(w=None, b=None, r=None, m=None)


def step(cell: Cell, weights: Weights, zx: Tree, carry: Tree) -> tuple[Tree, tuple[Pre, ...]]:
    """Take one step; return the new carry and the pre-activations that led to it."""
    inside = vectors(weights)
    z: tuple[Pre, ...] = ()
    for stage, now, r in zip(cell.stages, driven(cell, zx), weights.r, strict=True):
        if stage.read is None or r is None:
            z = (*z, Pre(*now, None))
        else:
            heard = product(stage.read(inside, z, carry), r, cell.precision)
            z = (*z, join(stage, now, heard))
    return cell.update(inside, z, carry), z


class Hidden(NamedTuple):
    """The carry of a cell whose memory is its output."""

    h: Float[Array, "*batch hidden"]


class Carry(NamedTuple):
    """The carry of a cell with a memory of its own, in the order of Flax."""

    c: Float[Array, "*batch hidden"]
    h: Float[Array, "*batch hidden"]


def start_hidden(batch: tuple[int, ...], hidden: int, dtype: Tree = None) -> Hidden:
    """Return h = 0."""
    return Hidden(jnp.zeros((*batch, hidden), dtype))


def start_carry(batch: tuple[int, ...], hidden: int, dtype: Tree = None) -> Carry:
    """Return c = h = 0."""
    return Carry(jnp.zeros((*batch, hidden), dtype), jnp.zeros((*batch, hidden), dtype))


def emit_hidden(carry: Tree) -> Float[Array, "*batch hidden"]:
    """Return h."""
    return carry.h


def read_hidden(weights: Weights, z: tuple[Pre, ...], carry: Tree) -> Array:
    """Read h of the step before, from any carry that has one."""
    return carry.h
