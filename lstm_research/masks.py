"""What a padded, interrupted or reversed sequence means, decided once for all engines: two masks."""

# pyright: reportUnknownMemberType=false

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lstm_research.axes import Array, Bool, Lengths, Resets, Steps, Tree


class Masks(NamedTuple):
    """What happens before and at a step; None where it never does."""

    valid: Bool[Array, "time *batch 1"] | None  # the step exists
    fresh: Bool[Array, "time *batch 1"] | None  # forget the carry before this step


def layout(x: Steps, lengths: Lengths | None, resets: Resets | None, reverse: bool) -> Masks:
    """Return the masks of a batch.

    A reset at t starts a new sequence at t. Run backwards, that sequence ends before the loop goes
    on to t - 1, so the carry is forgotten there.
    """
    steps, batch = x.shape[0], x.shape[1:-1]
    valid = fresh = None
    if lengths is not None:
        when = jnp.arange(steps).reshape(-1, *(1 for _ in batch))
        valid = (when < jnp.asarray(lengths))[..., None]
    if resets is not None:
        fresh = jnp.asarray(resets, bool)[..., None]
        fresh = fresh if valid is None else fresh & valid  # padding resets nothing
        if reverse:
            fresh = jnp.concatenate([fresh[1:], jnp.zeros_like(fresh[:1])])
    return Masks(valid, fresh)


def clean(x: Steps, masks: Masks) -> Steps:
    """Return x with zeros as padding: NaN in there must not reach a gradient through 0 * NaN."""
    return x if masks.valid is None else jnp.where(masks.valid, x, 0)


def choose(mask: Array, yes: Tree, no: Tree) -> Tree:
    """Return `yes` where the mask holds, else `no`, leaf by leaf."""
    return jax.tree.map(partial(jnp.where, mask), yes, no)
