"""How far a stream goes until its first wrong prediction, as Gers and colleagues judge one."""

import jax.numpy as jnp

from lstm_research.axes import Array, Bool, Float
from lstm_research.loss import Sum


def before_error(
    right: Bool[Array, "batch time"],
    asked: Bool[Array, "batch time"],
    counted: Bool[Array, "batch time"] | None = None,
) -> Sum:
    """Count in each row the predictions before its first wrong one, all of them where none is.

    asked: a prediction that is not asked for is never wrong. counted: which of them make up the
    count; None: all that are asked. The mean is over rows that ask anything.
    """
    sound = jnp.cumprod((right | ~asked).astype(jnp.int32), axis=1) > 0
    return (sound & (asked if counted is None else counted)).sum().astype(jnp.float32), (
        asked.any(axis=1).sum().astype(jnp.float32)
    )


def expected(right: Float[Array, "..."] | float, length: int) -> float:
    """Return how far one gets on average who is right with this probability, `length` at most."""
    return float(length if right == 1 else right * (1 - right**length) / (1 - right))
