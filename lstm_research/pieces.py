"""A long sequence in pieces: only what passes from one to the next is kept beside what a piece keeps.

With pieces of sqrt(T) steps that are run again (`jax.checkpoint`) the backward pass holds sqrt(T) carries
and the inner values of sqrt(T) steps, at the price of one more forward pass. Inputs and outputs grow with
T whatever is done.

Source: Chen et al. 2016 (arXiv:1604.06174).
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research.axes import Array, Hiddens, Tree


def in_pieces(
    run: Callable[[Tree, Tree], tuple[Tree, Hiddens]],
    length: int,
    carry: Tree,
    inputs: Tree,
    reverse: bool,
) -> tuple[Tree, Hiddens]:
    """Run over `time _` inputs piece by piece; what is left over is the last piece in time."""
    steps = len(jax.tree.leaves(inputs)[0])
    whole, head, tail = cut(steps, length, inputs)
    flat: Callable[[Array], Array] = lambda h: h.reshape(whole, *h.shape[2:])
    if whole == steps:
        carry, h = lax.scan(run, carry, head, reverse=reverse)
        return carry, flat(h)
    if reverse:
        carry, end = run(carry, tail)
        carry, h = lax.scan(run, carry, head, reverse=True)
    else:
        carry, h = lax.scan(run, carry, head)
        carry, end = run(carry, tail)
    return carry, jnp.concatenate([flat(h), end])


def cut(steps: int, length: int, inputs: Tree) -> tuple[int, Tree, Tree]:
    """Return how many steps fall into whole pieces, inputs `pieces length _` of these, and of the rest."""
    whole = steps - steps % length
    head = jax.tree.map(lambda leaf: leaf[:whole].reshape(-1, length, *leaf.shape[1:]), inputs)
    return whole, head, jax.tree.map(lambda leaf: leaf[whole:], inputs)
