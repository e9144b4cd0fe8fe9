"""Losses over a mask, as a sum and the weight that it is a sum over, so that batches add up
exactly.

Shapes: one axis more in `outputs` than in `mask`; units are nats, or the square of the target's
unit.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from lstm_research.axes import Array, Float, Int

Sum = tuple[Float[Array, ""], Float[Array, ""]]


def masked(values: Float[Array, "*scored"], mask: Float[Array, "*scored"]) -> Sum:
    """Return (sum, weight) of values under a mask; what the mask hides may be NaN."""
    return jnp.where(mask > 0, values * mask, 0).sum(), mask.sum()


def cross_entropy(
    outputs: Float[Array, "*scored classes"],
    targets: Int[Array, "*scored"],
    mask: Float[Array, "*scored"],
) -> Sum:
    """Return the negative log-likelihood of a class, in nats per prediction."""
    outputs = jnp.where(mask[..., None] > 0, outputs, 0)
    logs = jax.nn.log_softmax(outputs)
    return masked(-jnp.take_along_axis(logs, targets[..., None], -1)[..., 0], mask)


def bernoulli(
    outputs: Float[Array, "*scored outputs"],
    targets: Float[Array, "*scored outputs"],
    mask: Float[Array, "*scored"],
) -> Sum:
    """Return the negative log-likelihood of independent bits given logits, summed over outputs, in
    nats.
    """
    outputs = jnp.where(mask[..., None] > 0, outputs, 0)
    targets = jnp.where(mask[..., None] > 0, targets, 0)
    return masked((jax.nn.softplus(outputs) - targets * outputs).sum(-1), mask)


def squared_error(
    outputs: Float[Array, "*scored outputs"],
    targets: Float[Array, "*scored outputs"],
    mask: Float[Array, "*scored"],
) -> Sum:
    """Return the squared error, summed over outputs."""
    gap = jnp.where(mask[..., None] > 0, outputs - targets, 0)
    return masked((gap**2).sum(-1), mask)


LOSSES: dict[str, Callable[..., Sum]] = {
    "cross_entropy": cross_entropy,
    "bernoulli": bernoulli,
    "squared_error": squared_error,
}
