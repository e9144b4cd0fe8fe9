"""What a batch norm knows: mean and biased variance, measured in training and stored for a test."""

# pyright: reportUnknownMemberType=false

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lstm_research.axes import Array, Bool, Float, Lengths, Steps, Tree
from lstm_research.masks import clean, layout

MOMENTUM = 0.05  # share of the newest batch in stored statistics


class Statistics(NamedTuple):
    """Mean and variance of every column."""

    mean: Float[Array, "*any _"]
    var: Float[Array, "*any _"]


def moments(z: Float[Array, "*any _"], valid: Bool[Array, "*any 1"] | None) -> Statistics:
    """Return the mean and the biased variance of every column over what exists; 0 where nothing does."""
    axes = tuple(range(z.ndim - 1))
    if valid is None:
        return Statistics(z.mean(axes), z.var(axes))
    count = jnp.maximum(valid.sum(), 1)
    mean = jnp.where(valid, z, 0).sum(axes) / count
    return Statistics(mean, jnp.where(valid, (z - mean) ** 2, 0).sum(axes) / count)


def blended(old: Tree, new: Tree, valid: Bool[Array, "time *batch 1"] | None) -> Tree:
    """Return old + MOMENTUM (new - old), or old where the batch holds no step.

    What was there at the start fades as (1 - MOMENTUM)^n over n batches; nothing corrects for it.
    """
    share = MOMENTUM if valid is None else jnp.where(valid.any(), MOMENTUM, 0.0)
    return jax.tree.map(lambda a, b: (a + share * (b - a)).astype(a.dtype), old, new)


def existing(x: Steps, lengths: Lengths | None) -> tuple[Steps, Array | None]:
    """Return inputs with zeros as padding, and which steps exist.

    Raises ValueError where lengths are not those of the batch.
    """
    if lengths is None:
        return x, None
    if jnp.shape(lengths) != x.shape[1:-1]:
        raise ValueError(f"lengths has shape {jnp.shape(lengths)}; the batch is {x.shape[1:-1]}")
    masks = layout(x, lengths, None, False)
    return clean(x, masks), masks.valid
