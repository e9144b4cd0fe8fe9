"""Metrics of outputs against a batch, as sums and weights, so that batches of any size add up
exactly.
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Float, Tree
from lstm_research.loss import LOSSES, Sum, masked
from lstm_research.tasks.task import Batch, Task


def loss(task: Task, outputs: Float[Array, "..."], batch: Batch) -> Sum:
    """Return what training lowers: the task's loss under the batch's mask."""
    return LOSSES[task.loss](outputs, batch.targets, batch.mask)


def metrics(task: Task, outputs: Float[Array, "..."], batch: Batch) -> dict[str, Sum]:
    """Return every metric of a task as (sum, weight).

    nll                nats per scored prediction, summed over outputs
    mse                squared error per scored prediction
    quantile           pinball loss per scored prediction, mean over quantiles
    within             share of predictions off by less than the task's tolerance
    accuracy           share of scored predictions whose largest output is the target
    sequence_accuracy  share of rows in which every scored prediction is right

    A task with slices has mse or accuracy of every bin besides.
    """
    total = loss(task, outputs, batch)
    own = task.score(outputs, batch) if task.score is not None else {}
    if task.loss == "squared_error":
        found = {"mse": total}
        if task.tolerance is not None:
            near = (jnp.abs(outputs - batch.targets) < task.tolerance).all(-1)
            found["within"] = masked(near.astype(jnp.float32), batch.mask)
        gap = ((outputs - batch.targets) ** 2).sum(-1)
        return found | cut(task, batch, "mse", gap, batch.mask) | own
    if task.loss == "bernoulli":
        return {"nll": total} | own
    if task.loss == "quantile":
        return {"quantile": total} | own
    mask = batch.mask if batch.scored is None else batch.scored
    right = (outputs.argmax(-1) == batch.targets).astype(jnp.float32)
    rows = mask.reshape(mask.shape[0], -1)
    whole = jnp.where(rows > 0, right.reshape(rows.shape), 1.0).min(-1)
    return (
        {
            "nll": total,
            "accuracy": masked(right, mask),
            "sequence_accuracy": masked(whole, (rows > 0).any(-1).astype(jnp.float32)),
        }
        | cut(task, batch, "accuracy", right, mask)
        | own
    )


def cut(
    task: Task, batch: Batch, metric: str, values: Float[Array, "*scored"], mask: Array
) -> dict[str, Sum]:
    """Return a metric over every bin of the task's slices; nothing where it has none."""
    if task.slices is None or batch.extent is None:
        return {}
    return task.slices.cut(metric, values, batch.extent, mask)


def evaluate(
    measure: Callable[[Batch], dict[str, Sum]], batches: Iterable[Batch]
) -> dict[str, Any]:
    """Return each metric over all batches of a split; NaN where nothing was scored.

    A float a metric, or a list of them where `measure` answers for several runs at once.
    """
    sums: dict[str, Any] = {}
    weights: dict[str, Any] = {}
    for batch in batches:
        for name, (total, weight) in measure(batch).items():
            sums[name] = sums.get(name, 0.0) + np.asarray(total, np.float64)
            weights[name] = weights.get(name, 0.0) + np.asarray(weight, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            name: np.where(weights[name], sums[name] / weights[name], np.nan).tolist()
            for name in sums
        }


def carrying(
    measure: Callable[[Batch, Tree], tuple[dict[str, Sum], Tree]], carry: Tree
) -> Callable[[Batch], dict[str, Sum]]:
    """Return `measure` of a batch alone: each call gets the carry that the one before it returned."""

    def each(batch: Batch) -> dict[str, Sum]:
        nonlocal carry
        found, carry = measure(batch, carry)
        return found

    return each
