"""What is read of a long sequence, added up as it comes: h of all steps is never there at once.

`unroll` returns h of every step, and a loss of it has a gradient as large; both grow with T whatever the
backward pass keeps (`keep.py`). Here a piece of about sqrt(T) steps is run, read and forgotten, and run
again on the way back (`jax.checkpoint`), so that the memory of a training step grows with sqrt(T) beside
its inputs, for one more forward pass.

Source: Chen et al. 2016 (arXiv:1604.06174).
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research import keep
from lstm_research.axes import Lengths, Resets, Steps, Tree
from lstm_research.cell import Cell, Weights
from lstm_research.engines import unroll
from lstm_research.pieces import cut


def accumulate(
    cell: Cell,
    weights: Weights,
    carry: Tree,
    x: Steps,
    read: Callable[..., Tree],
    *more: Tree,
    lengths: Lengths | None = None,
    resets: Resets | None = None,
    piece: int | None = None,
    **settings: Any,
) -> tuple[Tree, Tree]:
    """Run a cell over time and return (carry, total), the sum of what `read` makes of each piece.

        carry, h_k = unroll(cell, weights, carry, x_k)      for every piece k of x
        total     += read(h_k, *more_k)

    x is `time *batch features`, h_k `steps *batch hidden`; each of `more` is a tree of arrays whose first
    axis is time, targets for instance. read returns a tree of arrays that add up over time, as
    `lambda h, y: jnp.sum((h @ out - y) ** 2)` does; it may close over parameters. `piece`: steps of a
    piece, by itself the root of their number or 256, whichever is more; what is left over is the last
    one. `lengths`, `resets` and settings as in `unroll`: h is zero at and past a length, and read sees it.
    No `reverse`, for a piece begins where the one before it ended, and no `key`, for noise would depend
    on the pieces. Raises ValueError as `unroll` does, and where the first axis of `more` is not time.
    """
    steps = x.shape[0]
    if wrong := {leaf.shape[:1] for leaf in jax.tree.leaves(more)} - {(steps,)}:
        raise ValueError(f"x has {steps} steps and what is read beside h has {min(wrong)}")
    if piece is not None and piece < 1:
        raise ValueError(f"piece={piece} must be at least 1")
    if refused := {"reverse", "key"} & set(settings):
        raise ValueError(f"accumulate takes no {min(refused)}; unroll does")
    length = min(steps, piece or keep.piece(steps))

    @jax.checkpoint
    def one(carry: Tree, now: tuple[Any, ...]) -> tuple[Tree, Tree]:
        begin, x, resets, more = now
        left = None if lengths is None else jnp.clip(lengths - begin, 0, len(x))
        carry, h = unroll(cell, weights, carry, x, lengths=left, resets=resets, **settings)
        return carry, read(h, *more)

    def add(state: tuple[Tree, Tree], now: tuple[Any, ...]) -> tuple[tuple[Tree, Tree], None]:
        carry, found = one(state[0], now)
        return (carry, jax.tree.map(jnp.add, state[1], found)), None

    every = x, resets, more
    if not steps:
        return one(carry, (0, *every))
    whole, head, tail = cut(steps, length, every)
    head = jnp.arange(0, whole, length), *head
    first = jax.tree.map(lambda leaf: leaf[0], head)
    blank = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(one, carry, first)[1]
    )
    state, _ = lax.scan(add, (carry, blank), head)
    if whole == steps:
        return state
    return add(state, (whole, *tail))[0]
