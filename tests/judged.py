"""Draw the batches of a task onto the host, and judge outputs against them."""

from functools import cache, partial
from typing import Any

import jax
import numpy as np

from lstm_research.evaluate import metrics
from lstm_research.tasks.task import Batch


@cache
def draw(spec: Any, size: int, seed: int = 1) -> Batch:
    """Return a training batch as NumPy arrays."""
    batch = jax.jit(spec.build().draw, static_argnums=2)(None, jax.random.key(seed), size)
    return jax.tree.map(np.asarray, batch)


@cache
def held_out(spec: Any, split: str = "test") -> Batch:
    """Return the only batch of a split as NumPy arrays."""
    (batch,) = spec.build().held_out(None, split)
    return jax.tree.map(np.asarray, batch)


def score(spec: Any, outputs: np.ndarray, batch: Batch) -> dict[str, float]:
    """Return every metric that has any weight."""
    found = jax.jit(partial(metrics, spec.build()))(np.float32(outputs), batch)
    return {name: float(total / weight) for name, (total, weight) in found.items() if weight > 0}
