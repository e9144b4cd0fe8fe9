"""What a recurrent cell is: matrix products between maps that hold no matrix.

One step of every cell has the same shape, and the engines (`unroll`, `fused`) know nothing else of
it::

    zx = x W + b                                   drive: all steps at once, before the loop
    for each stage k:  z_k = zx_k (+) v_k R_k,     v_k = read_k(z_1 .. z_{k-1}, carry)
    carry = update(z, carry)                       no matrix in here
    h     = emit(carry)

Most cells have one stage that reads h. A cell whose second product waits for the first (a GRU that
resets before its matrix) has two. `(+)` adds the blocks to which both sides contribute and keeps
the others apart, so that neither W nor R is padded with zeros.
"""

# JAX leaves types such as `device` unknown in its own signatures:
# pyright: reportUnknownMemberType=false

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from lstm_research.axes import Array, Float, Seed, Tree


class Weights(NamedTuple):
    """Everything that a cell learns, and the row of switches where that is data.

    `read` and `update` are given the vectors alone: their `w`, `b` and `r` are None.
    """

    w: Float[Array, "features drive"]
    b: Float[Array, "drive"]
    r: tuple[Float[Array, "read wide"], ...]  # one matrix a stage
    p: dict[str, Float[Array, "_"]]  # vectors inside the update: peepholes, inner biases
    row: Tree = None  # switches as arrays, never trained; None where the cell is compiled for a row


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
    read: Read


class Cell(NamedTuple):
    """Pure functions of one recurrence; the rest of the package sees a cell only through these.

    init(key, features, hidden) -> Weights; start(batch, hidden, dtype) -> carry;
    update(weights, z, carry) -> carry, element-wise in hidden, reads only `p` and `row`;
    emit(carry) -> h.
    """

    init: Callable[[Seed, int, int], Weights]
    start: Callable[..., Tree]
    stages: tuple[Stage, ...]
    update: Callable[[Weights, tuple[Pre, ...], Tree], Tree]
    emit: Callable[[Tree], Float[Array, "*batch hidden"]]


def drive(weights: Weights, x: Float[Array, "*any features"]) -> Float[Array, "*any drive"]:
    """Return zx = x W + b of every step in one product.

    The leading axes are flattened first: the backward pass of a product on three axes makes XLA:CPU
    insert a transposed copy of the largest array there is.
    """
    flat = x.reshape(-1, x.shape[-1]) @ weights.w + weights.b
    return flat.reshape(*x.shape[:-1], weights.w.shape[-1])


def width(weights: Weights, cell: Cell) -> int:
    """Return the number of hidden units that these weights were made for."""
    blocks = sum(len(stage.both) + len(stage.driven) for stage in cell.stages)
    return weights.w.shape[-1] // blocks


def driven(
    cell: Cell, zx: Float[Array, "*any drive"]
) -> tuple[tuple[Array | None, Array | None], ...]:
    """Cut zx into (both, driven) for each stage."""
    blocks = sum(len(stage.both) + len(stage.driven) for stage in cell.stages)
    hidden = zx.shape[-1] // blocks
    parts: list[tuple[Array | None, Array | None]] = []
    at = 0
    for stage in cell.stages:
        middle = at + len(stage.both) * hidden
        end = middle + len(stage.driven) * hidden
        both = zx[..., at:middle] if stage.both else None
        parts.append((both, zx[..., middle:end] if stage.driven else None))
        at = end
    return tuple(parts)


def join(stage: Stage, zx: tuple[Array | None, Array | None], zh: Array) -> Pre:
    """Return the pre-activations of a stage: zx (+) zh."""
    both, alone = zx
    if both is None:
        return Pre(None, alone, zh)
    if not stage.recurred:
        return Pre(both + zh, alone, None)
    shared = both.shape[-1]
    return Pre(both + zh[..., :shared], alone, zh[..., shared:])


def step(
    cell: Cell, weights: Weights, zx: Float[Array, "*batch drive"], carry: Tree
) -> tuple[Tree, tuple[Pre, ...]]:
    """Take one step; return the new carry and the pre-activations that led to it."""
    vectors = weights._replace(w=None, b=None, r=None)
    z: tuple[Pre, ...] = ()
    for stage, now, r in zip(cell.stages, driven(cell, zx), weights.r, strict=True):
        z = (*z, join(stage, now, stage.read(vectors, z, carry) @ r))
    return cell.update(vectors, z, carry), z


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


def emit_hidden(carry: Hidden | Carry) -> Float[Array, "*batch hidden"]:
    """Return h."""
    return carry.h


def read_hidden(weights: Weights, z: tuple[Pre, ...], carry: Tree) -> Array:
    """Read h of the step before, from any carry that has one."""
    return carry.h
