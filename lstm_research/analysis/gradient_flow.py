"""How much of the gradient of a prediction reaches the steps before it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lstm_research.analysis.recorded import Place
from lstm_research.axes import Array, Tree
from lstm_research.cell import drives, sizes
from lstm_research.evaluate import loss
from lstm_research.masks import Masks, choose, clean, layout
from lstm_research.network import Network
from lstm_research.nnx_layer import Recurrent
from lstm_research.stream import named
from lstm_research.tasks.task import Batch, Task
from lstm_research.unroll import masked_step


def gradient_flow(
    network: Network, task: Task, batch: Batch, place: Place
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return (norms, lags): `time batch` norms of dL/ds_t for each leaf s of the carry, by name.

    L is the loss of the last prediction of each row, of the first where the layer runs backwards. s_t is
    the leaf after step t, the other leaves held: what it changes in the prediction through all later
    steps. lags: steps between t and that prediction, as the layer takes them; below 0 where no path
    leads from t to it. The layers above take part; noise does not.
    """
    one, at = single(task, batch, place.layer.reverse)

    def total(nudges: Tree) -> Array:
        def run(layer: Recurrent, x: Array, **rest: Any) -> Any:
            return nudged(layer, x, nudges, **rest) if layer is place.layer else layer(x, **rest)

        outputs = network(
            batch.inputs, lengths=batch.lengths, resets=batch.resets, deterministic=True, run=run
        )
        return loss(task, outputs, one)[0]

    grads = jax.grad(total)(still(place))
    norms = {name: np.linalg.norm(np.asarray(leaf), axis=-1) for name, leaf in named(grads)}
    ahead = at - np.arange(len(place.x))[:, None]
    return norms, -ahead if place.layer.reverse else ahead


def still(place: Place) -> Tree:
    """Return a nudge of 0 for each leaf of the carry at each step."""
    steps, *batch = place.x.shape[:-1]
    cell, hidden = place.cell, sizes(place.cell, place.weights)[1]
    start = cell.start(tuple(batch), hidden, place.x.dtype)
    return jax.tree.map(lambda leaf: jnp.zeros((steps, *leaf.shape), leaf.dtype), start)


def nudged(
    layer: Recurrent, x: Array, nudges: Tree, *, lengths: Array | None, resets: Array | None,
    **rest: Any,
) -> tuple[Tree, Array]:  # fmt: skip
    """Return (carry, h) of a layer whose carry is moved a little after each valid step."""
    place = Place("", layer, x)
    cell, weights = place.cell, place.weights
    masks = layout(x, lengths, resets, layer.reverse)
    x = clean(x, masks)
    first = cell.start(x.shape[1:-1], sizes(cell, weights)[1], x.dtype)

    def body(carry: Tree, now: tuple[Tree, Masks, Tree]) -> tuple[Tree, Array]:
        zx, masks, nudge = now
        after, _ = masked_step(cell, weights, first, carry, (zx, masks))
        moved = jax.tree.map(jnp.add, after, nudge)
        after = moved if masks.valid is None else choose(masks.valid, moved, after)
        h = cell.emit(after)
        return after, h if masks.valid is None else jnp.where(masks.valid, h, 0)

    zx = drives(cell, weights, x, masks, None)
    return lax.scan(body, first, (zx, masks, nudges), reverse=layer.reverse)


def single(task: Task, batch: Batch, first: bool) -> tuple[Batch, np.ndarray]:
    """Return the batch with one prediction scored in each row, and the step of it."""
    rows, steps = batch.inputs.shape[:2]
    lengths = np.full(rows, steps) if batch.lengths is None else np.asarray(batch.lengths)
    if task.readout == "last":
        return batch, np.zeros(rows, int) if first else lengths - 1
    asked = np.asarray(batch.mask if batch.scored is None else batch.scored) > 0
    at = asked.argmax(1) if first else steps - 1 - asked[:, ::-1].argmax(1)
    mask = (np.arange(steps) == at[:, None]) & asked
    return batch._replace(mask=jnp.asarray(mask, batch.mask.dtype)), at


def by_lag(norms: np.ndarray, lags: np.ndarray, valid: np.ndarray) -> list[tuple[float, ...]]:
    """Return (10%, median, 90%) over the rows of a batch at lag 0, 1, ..."""
    found = []
    for lag in range(int(lags[valid].max()) + 1):
        here = norms[(lags == lag) & valid]
        if not len(here):
            break
        found.append(tuple(float(value) for value in np.quantile(here, (0.1, 0.5, 0.9))))
    return found
