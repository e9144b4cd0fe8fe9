"""All that `lstm-research inspect` finds out about a trained network, as numbers."""

import math
from typing import Any, NamedTuple

import jax
import numpy as np

from lstm_research.analysis.cost import Cost, cost
from lstm_research.analysis.gradient_flow import by_lag, gradient_flow
from lstm_research.analysis.jacobian import (
    Spectrum,
    TooLarge,
    carried,
    fitting,
    jacobians,
    memory,
    parts,
    spectrum,
)
from lstm_research.analysis.recorded import Place, Record, heard, record
from lstm_research.analysis.saturation import CANDIDATE, Activity, activity
from lstm_research.analysis.timescales import timescales
from lstm_research.axes import Tree
from lstm_research.network import Network, parameters
from lstm_research.stream import named
from lstm_research.tasks.task import Batch, Task

Bands = dict[str, list[tuple[float, ...]]]  # (10%, median, 90%) by lag, a list a leaf of the carry


class Layer(NamedTuple):
    """What was found out about one layer; None where its cell has no such thing, and `notes` say why."""

    name: str
    units: int
    memory: str  # the leaf of the carry that remembers
    gates: dict[str, Activity]
    timescales: np.ndarray | None
    flow: Bands
    carried: np.ndarray | None  # ||d s_T / d s_T-k|| of the memory s of the first example
    spectrum: Spectrum | None
    cost: Cost
    notes: tuple[str, ...]
    record: Record


class Inspection(NamedTuple):
    """The layers of a network over a batch of one split."""

    split: str
    examples: int
    parameters: int
    layers: tuple[Layer, ...]
    batch: Batch


def inspect(network: Network, task: Task, split: str = "valid", examples: int = 64) -> Inspection:
    """Return what a network does over the first examples of a split; no noise, no training.

    Traces and Jacobians are those of the first example.
    """
    batch = first(task.held_out(task.data, split)[0], examples)
    layers = tuple(layer(network, task, batch, place) for place in heard(network, batch))
    rows = batch.inputs.shape[0]
    return Inspection(split, rows, parameters(network), layers, batch)


def first(batch: Batch, examples: int) -> Batch:
    """Return the first rows of a batch."""
    return jax.tree.map(lambda leaf: leaf[:examples], batch)


def layer(network: Network, task: Task, batch: Batch, place: Place) -> Layer:
    """Return what one layer does over a batch."""
    found, notes = record(place, batch), []
    valid = np.asarray(found.valid)
    kind = getattr(place.layer.spec, "kind", None) or place.layer.spec.cell.kind
    gates = {
        name: activity(name, np.asarray(found.gates[name]), valid)
        for name in sorted(found.gates, key=rank)
    }
    if not gates:
        notes.append(f"a cell of kind {kind} has no gates")
    elif "f" not in gates:
        notes.append(f"no timescales: nothing in this {kind} cell forgets")
    norms, lags = gradient_flow(network, task, batch, place)
    start = jax.tree.map(lambda leaf: leaf[0, 0], found.carry)
    try:
        products, spread = along(place, found, start)
    except TooLarge as error:
        notes.append(str(error))
        products = spread = None
    return Layer(
        place.name,
        place.layer.hidden_features,
        memory(start),
        gates,
        timescales(np.asarray(found.gates["f"]), valid) if "f" in gates else None,
        {name: by_lag(leaf, lags, valid) for name, leaf in norms.items()},
        products,
        spread,
        cost(place.cell, place.x.shape[-1], place.layer.hidden_features),
        tuple(notes),
        found,
    )


def rank(name: str) -> tuple[bool, int, str]:
    """Return the place of a gate among the others: i f o r first, the candidate last."""
    return name in CANDIDATE, "ifor".find(name) % 5, name


def along(place: Place, found: Record, like: Tree) -> tuple[np.ndarray, Spectrum]:
    """Return the products and the spectra of the Jacobians along the first example."""
    alive = np.flatnonzero(np.asarray(found.valid)[:, 0])
    order = alive[::-1] if place.layer.reverse else alive
    many = fitting(like, len(order))
    begin = place.cell.start((), place.layer.hidden_features, place.x.dtype)
    if many < len(order):
        begin = jax.tree.map(lambda leaf: leaf[order[-many - 1], 0], found.carry)
    each = np.asarray(jacobians(place.cell, place.weights, begin, place.x[order[-many:], 0]))
    return carried(each, parts(like)[memory(like)]), spectrum(each)


def numbers(found: Inspection) -> dict[str, Any]:
    """Return an inspection as plain data for JSON; what is not finite is null."""
    layers = [
        {
            "name": each.name,
            "units": each.units,
            "memory": each.memory,
            "gates": {name: used(one) for name, one in each.gates.items()},
            "timescales": None if each.timescales is None else plain(each.timescales),
            "gradient_flow": {
                name: [dict(zip(("low", "median", "high"), plain(band), strict=True))
                       for band in bands]
                for name, bands in each.flow.items()
            },
            "carried": None if each.carried is None else plain(each.carried),
            "spectrum": None if each.spectrum is None else spread(each.spectrum),
            "cost": each.cost._asdict(),
            "notes": list(each.notes),
        }
        for each in found.layers
    ]  # fmt: skip
    head = {name: getattr(found, name) for name in ("split", "examples", "parameters")}
    return head | {"layers": layers}


def used(one: Activity) -> dict[str, Any]:
    """Return the use of a gate as plain data."""
    data = {name: None if leaf is None else plain(leaf) for name, leaf in one._asdict().items()}
    overall = {} if one.left is None or one.right is None else {
        "share_below_0.1": float(one.left.mean()), "share_above_0.9": float(one.right.mean())
    }  # fmt: skip
    return overall | data


def spread(found: Spectrum) -> dict[str, Any]:
    """Return a spectrum as plain data: what each step does at the most, and all singular values."""
    radius = np.abs(found.eigenvalues)[:, 0]
    return {
        "spectral_radius": plain(radius),
        "largest_singular": plain(found.singular[:, 0]),
        "median_singular": plain(np.median(found.singular, -1)),
        "smallest_singular": plain(found.singular[:, -1]),
    }


def plain(values: Any) -> list[float | None]:
    """Return numbers for JSON, to 6 digits."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def leaves(found: Record) -> dict[str, np.ndarray]:
    """Return the carry of a record by name, `time batch width`."""
    return {name: np.asarray(leaf) for name, leaf in named(found.carry)}
