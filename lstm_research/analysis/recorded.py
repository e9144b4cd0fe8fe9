"""Every step of every layer, kept: the gates, the carry, and which steps exist."""

# `jax.jit` forgets signatures: pyright: reportUnknownMemberType=false

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from lstm_research.axes import Array, Bool, Float, Tree
from lstm_research.cell import Cell, Weights, drives, sizes, step, vectors
from lstm_research.masks import Masks, choose, clean, layout
from lstm_research.network import Network
from lstm_research.nnx_layer import Recurrent
from lstm_research.tasks.task import Batch


class Place(NamedTuple):
    """A recurrent layer of a network and what it hears of a batch."""

    name: str  # "layer 1", or "layer 1 backwards"
    layer: Recurrent
    x: Float[Array, "time batch width"]

    @property
    def cell(self) -> Cell:
        """Return the cell of the layer."""
        return self.layer.spec.build()

    @property
    def weights(self) -> Weights:
        """Return the weights of the layer as arrays."""
        return nnx.as_pure(self.layer.weights)


class Record(NamedTuple):
    """What a layer did over a batch, in the order of the inputs; a reversed layer's too."""

    gates: dict[str, Float[Array, "time batch width"]]  # {} where the cell has none
    carry: Tree  # after each step, `time batch _`
    valid: Bool[Array, "time batch"]


def heard(network: Network, batch: Batch) -> list[Place]:
    """Return the layers of a network, the first one first, with what each hears of a batch."""
    places: list[Place] = []
    names = [
        f"layer {depth}{' backwards' if layer.reverse else ''}"
        for depth, ways in enumerate(network.layers, 1)
        for layer in ways
    ]

    def listen(layer: Recurrent, x: Array, **rest: Any) -> Any:
        places.append(Place(names[len(places)], layer, x))
        return layer(x, **rest)

    network(
        batch.inputs, lengths=batch.lengths, resets=batch.resets, deterministic=True, run=listen
    )
    return places


def record(place: Place, batch: Batch) -> Record:
    """Return what a layer did over a batch, without noise."""
    resets = None if batch.resets is None else batch.resets.T
    return recorded(place.cell, place.layer.reverse, place.weights, place.x, batch.lengths, resets)


@partial(jax.jit, static_argnums=(0, 1))
def recorded(
    cell: Cell, reverse: bool, weights: Weights, x: Array, lengths: Array | None,
    resets: Array | None,
) -> Record:  # fmt: skip
    """Run a cell over time from its start, keeping all; arguments as `unroll`, time first."""
    masks = layout(x, lengths, resets, reverse)
    x = clean(x, masks)
    first = cell.start(x.shape[1:-1], sizes(cell, weights)[1], x.dtype)
    inside = vectors(weights)

    def body(carry: Tree, now: tuple[Tree, Masks]) -> tuple[Tree, tuple[dict[str, Array], Tree]]:
        zx, masks = now
        before = carry if masks.fresh is None else choose(masks.fresh, first, carry)
        after, z = step(cell, weights, zx, before)
        gates = {} if cell.gates is None else cell.gates(inside, z, before)
        whole = {
            name: jnp.broadcast_to(value, (*x.shape[1:-1], value.shape[-1]))
            for name, value in gates.items()
        }
        after = after if masks.valid is None else choose(masks.valid, after, before)
        return after, (whole, after)

    zx = drives(cell, weights, x, masks, None)
    _, (gates, carries) = lax.scan(body, first, (zx, masks), reverse=reverse)
    valid = jnp.ones(x.shape[:-1], bool) if masks.valid is None else masks.valid[..., 0]
    return Record(gates, carries, valid)
