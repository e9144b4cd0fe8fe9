"""A long sequence in pieces: only the carry between them is kept, a piece is run again to go back.

With pieces of sqrt(T) steps the backward pass holds sqrt(T) carries and the inner values of sqrt(T)
steps, at the price of one more forward pass. Inputs and outputs grow with T whatever is done.

Source: Chen et al. 2016 (arXiv:1604.06174).
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research.axes import Array, Hiddens, Tree

ROOM = {"cpu": 512 * 2**20}  # bytes that the inner values of a whole sequence may take, by backend
LARGE = 8 * 2**30  # the same where a device has memory of its own
COPIES = 3  # zx, z and carries: about so many arrays as wide as zx
SHORTEST = 256  # steps: a shorter piece spends its time on being started


def piece(shape: tuple[int, ...], width: int) -> int:
    """Return how many steps to run at once: all while they fit ROOM, else about sqrt(T).

    `shape` is that of x, `width` the bytes that one step of one sequence takes in zx.
    """
    steps, batch = shape[0], math.prod(shape[1:-1])
    if steps * batch * width * COPIES <= ROOM.get(jax.default_backend(), LARGE):
        return steps
    return min(steps, max(SHORTEST, math.isqrt(steps)))


def in_pieces(
    run: Callable[[Tree, Tree], tuple[Tree, Hiddens]],
    length: int,
    carry: Tree,
    inputs: Tree,
    reverse: bool,
) -> tuple[Tree, Hiddens]:
    """Run over `time _` inputs piece by piece; what is left over is the last piece in time."""
    steps = len(jax.tree.leaves(inputs)[0])
    whole = steps - steps % length
    again = jax.checkpoint(run)
    head = jax.tree.map(lambda leaf: leaf[:whole].reshape(-1, length, *leaf.shape[1:]), inputs)
    tail = jax.tree.map(lambda leaf: leaf[whole:], inputs)
    flat: Callable[[Array], Array] = lambda h: h.reshape(whole, *h.shape[2:])
    if whole == steps:
        carry, h = lax.scan(again, carry, head, reverse=reverse)
        return carry, flat(h)
    if reverse:
        carry, end = again(carry, tail)
        carry, h = lax.scan(again, carry, head, reverse=True)
    else:
        carry, h = lax.scan(again, carry, head)
        carry, end = again(carry, tail)
    return carry, jnp.concatenate([flat(h), end])
