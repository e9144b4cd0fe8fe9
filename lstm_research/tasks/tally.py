"""How right answers are counted: one by one, by whole rows, and until the first wrong one of a stream."""

import jax.numpy as jnp

from lstm_research.axes import Array, Bool, Float
from lstm_research.loss import Sum


def shares(
    name: str, right: Bool[Array, "batch time"], asked: Bool[Array, "batch time"]
) -> dict[str, Sum]:
    """Count the right ones of the answers that are asked for, and the rows without a wrong one.

    They are called `name` and `sequence_name`; rows that ask nothing count in neither.
    """
    rows, whole = asked.any(axis=1), (right | ~asked).all(axis=1)
    return {
        name: ((right & asked).sum(), asked.sum()),
        f"sequence_{name}": ((rows & whole).sum(), rows.sum()),
    }


def before_error(
    right: Bool[Array, "batch time"],
    asked: Bool[Array, "batch time"],
    counted: Bool[Array, "batch time"] | None = None,
) -> Sum:
    """Count in each row the predictions before its first wrong one, as Gers and colleagues do.

    A row without a wrong one counts whole, what is not asked for is never wrong. counted: which of
    the predictions make up the count; None: all that are asked. The mean is over rows that ask any.
    """
    sound = jnp.cumprod((right | ~asked).astype(jnp.int32), axis=1) > 0
    return (sound & (asked if counted is None else counted)).sum().astype(jnp.float32), (
        asked.any(axis=1).sum().astype(jnp.float32)
    )


def expected(right: Float[Array, "..."] | float, length: int) -> float:
    """Return how far one gets on average who is right with this probability, `length` at most."""
    return float(length if right == 1 else right * (1 - right**length) / (1 - right))
