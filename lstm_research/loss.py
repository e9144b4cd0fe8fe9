"""Losses over a mask, as a sum and the weight that it is a sum over, so that batches add up
exactly.

Shapes: one axis more in `outputs` than in `mask`; units are nats, or the square of the target's
unit (quantile: the target's unit; several outputs a target).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

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


def levels(count: int) -> np.ndarray:
    """Return the quantiles that so many outputs a target stand for: k / (count + 1), k = 1..count."""
    return np.arange(1, count + 1) / (count + 1)


def quantile(
    outputs: Float[Array, "*scored outputs"],
    targets: Float[Array, "*scored targets"],
    mask: Float[Array, "*scored"],
) -> Sum:
    """Return the pinball loss (Koenker & Bassett 1978), mean over quantiles, sum over targets.

    The outputs are Q numbers for each target, target after target: `levels(Q)`. With q such a level
    and gap = target - output, the loss is max(q gap, (q - 1) gap).
    """
    width = targets.shape[-1]
    shares = jnp.asarray(levels(outputs.shape[-1] // width), jnp.result_type(outputs))
    split = outputs.reshape(*outputs.shape[:-1], width, shares.size)
    gap = jnp.where(mask[..., None, None] > 0, targets[..., None] - split, 0)
    return masked(jnp.maximum(shares * gap, (shares - 1) * gap).mean(-1).sum(-1), mask)


LOSSES: dict[str, Callable[..., Sum]] = {
    "cross_entropy": cross_entropy,
    "bernoulli": bernoulli,
    "squared_error": squared_error,
    "quantile": quantile,
}
