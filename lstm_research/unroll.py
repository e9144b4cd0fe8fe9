"""A cell over time: the plain `lax.scan`, the oracle of every fast path.

`masks.layout` turns lengths and resets into two masks, and `masked_step` is what a step does with them.
"""

# `jax.jit` forgets signatures, and JAX leaves types such as `device` unknown in its own:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lstm_research.axes import Array, Hiddens, Lengths, Resets, Seed, Steps, Tree
from lstm_research.cell import Cell, Weights, blocks, drives, given, project, sizes, step
from lstm_research.keep import Keep, Size, decide
from lstm_research.masks import Masks, choose, clean, layout
from lstm_research.pieces import in_pieces
from lstm_research.shards import shares, split
from lstm_research.states import States
from lstm_research.states import run as from_states

Engine = Literal[
    "auto", "scan", "fused", "parallel", "newton", "pallas", "columns", "native", "cuda"
]
Unroll = Callable[..., tuple[Tree, Hiddens]]


def refuse(
    cell: Cell,
    weights: Weights,
    carry: Tree,
    x: Steps,
    lengths: Lengths | None,
    resets: Resets | None,
) -> None:
    """Raise ValueError with the axis and both sizes where the arrays do not belong together."""
    batch, (features, hidden) = x.shape[1:-1], sizes(cell, weights)
    if x.shape[-1] != features:
        raise ValueError(f"x has {x.shape[-1]} features and the weights were made for {features}")
    if lengths is not None and np.shape(lengths) != batch:
        raise ValueError(f"lengths has shape {np.shape(lengths)}; the batch of x is {batch}")
    if resets is not None and np.shape(resets) != x.shape[:-1]:
        raise ValueError(
            f"resets has shape {np.shape(resets)}; time and batch of x are {x.shape[:-1]}"
        )
    wanted = jax.eval_shape(lambda: cell.start(batch, hidden))
    if jax.tree.structure(carry) != jax.tree.structure(wanted):
        raise ValueError(
            f"the carry is a {type(carry).__name__}; this cell carries a {type(wanted).__name__}"
        )
    for got, want in zip(jax.tree.leaves(carry), jax.tree.leaves(wanted), strict=True):
        if got.shape != want.shape:
            raise ValueError(
                f"a leaf of the carry has shape {got.shape}; this cell and batch need {want.shape}"
            )


def masked_step(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, now: tuple[Tree, Masks]
) -> tuple[Tree, Array]:
    """Take one step under the masks: forget, step, keep the old carry where the step does not
    exist.
    """
    zx, masks = now
    before = carry if masks.fresh is None else choose(masks.fresh, first, carry)
    after, _ = step(cell, weights, zx, before)
    h = cell.emit(after)
    if masks.valid is None:
        return after, h
    return choose(masks.valid, after, before), jnp.where(masks.valid, h, 0)


def scan(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks, reverse: bool
) -> tuple[Tree, Hiddens]:
    """Run the loop as one `lax.scan`; `first` is the carry after a reset, None where there is none."""
    body = partial(masked_step, cell, weights, first)
    return lax.scan(body, carry, (zx, masks), reverse=reverse)


class Way(NamedTuple):
    """How a sequence is run: by which engine, and what that keeps for the backward pass."""

    name: Engine
    loop: Unroll
    states: States | None = None  # the loop both ways, where it can keep carries alone
    able: tuple[Keep, ...] = ("gates",)
    asked: Keep = "auto"


def able(keeps: tuple[Keep, ...], cell: Cell) -> tuple[Keep, ...]:
    """Return what an engine can keep of a cell: in pieces alone where each step is driven by itself."""
    alone = cell.drive in (project, given)
    return tuple(each for each in keeps if alone or each != "pieces")


def size(cell: Cell, weights: Weights, carry: Tree, rows: int, itemsize: int) -> Size:
    """Return the bytes of a step of so many sequences."""
    width = sizes(cell, weights)[1] * blocks(cell) if weights.w is None else weights.w.shape[1]
    carried = sum(leaf.shape[-1] for leaf in jax.tree.leaves(carry))
    return Size(width * itemsize * rows, carried * itemsize * rows)


def over_time(
    way: Way,
    cell: Cell,
    weights: Weights,
    carry: Tree,
    x: Steps,
    lengths: Lengths | None,
    resets: Resets | None,
    reverse: bool,
    key: Seed | None,
) -> tuple[Tree, Hiddens]:
    """Check, mask and project the inputs, then run a loop over them."""
    refuse(cell, weights, carry, x, lengths, resets)
    return compiled(way, cell, reverse, weights, carry, x, lengths, resets, key)


@partial(jax.jit, static_argnums=(0, 1, 2))
def compiled(
    way: Way, cell: Cell, reverse: bool, weights: Weights, carry: Tree, x: Steps,
    lengths: Lengths | None, resets: Resets | None, key: Seed | None,
) -> tuple[Tree, Hiddens]:  # fmt: skip
    """Run the loop under jit, so that a call outside of one compiles once and not every time."""
    hidden, batch = sizes(cell, weights)[1], x.shape[1:-1]
    dtype = jnp.result_type(x, *jax.tree.leaves(weights._replace(row=None)))
    masks = layout(x, lengths, resets, reverse)
    x = clean(x, masks)
    if cell.ready is not None and key is not None:
        weights = cell.ready(weights, key)
    each = size(cell, weights, carry, math.prod(batch), dtype.itemsize)
    asked = "auto" if way.asked == "auto" or not x.size else way.asked  # of no step nothing is kept
    kept = decide(asked, way.able, x.shape[0], each, jax.default_backend())

    def whole(weights: Weights, carry: Tree, now: tuple[Steps, Masks]) -> tuple[Tree, Hiddens]:
        fresh, batch = now[1].fresh, now[0].shape[1:-1]
        first = None if fresh is None else cell.start(batch, hidden, dtype)
        bare, row = weights._replace(row=None), weights.row
        states = way.states if kept.policy == "states" else None

        def run(carry: Tree, now: tuple[Steps, Masks]) -> tuple[Tree, Hiddens]:
            if states is not None:
                return from_states(states, cell, reverse, bare, row, first, carry, *now, key)
            zx = drives(cell, weights, *now, key)
            return way.loop(cell, weights, first, carry, zx, now[1], reverse)

        if kept.length < now[0].shape[0]:
            again: Any = jax.checkpoint(run) if kept.policy == "pieces" else run
            return in_pieces(again, kept.length, carry, now, reverse)
        return run(carry, now)

    quiet = key is None or not cell.noisy
    if quiet and shares(batch) > 1:
        return split(whole, weights, carry, (x, masks))
    return whole(weights, carry, (x, masks))


def unroll_scan(
    cell: Cell,
    weights: Weights,
    carry: Tree,
    x: Steps,
    *,
    lengths: Lengths | None = None,
    resets: Resets | None = None,
    reverse: bool = False,
    key: Seed | None = None,
) -> tuple[Tree, Hiddens]:
    """Run a cell over time with autodiff as its backward: the oracle. Arguments as `engines.unroll`."""
    return over_time(Way("scan", scan), cell, weights, carry, x, lengths, resets, reverse, key)
