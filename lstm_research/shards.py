"""A batch over several devices: each runs the loop for its share of the sequences.

Under `with jax.set_mesh(shards.mesh(devices))` every engine splits the first axis of the batch over the
devices of that mesh. Weights go to all of them; the gradients of the shares are added once, after the
loop. Two cores inside one small product are hardly faster than one; two cores with half of the batch
each are almost twice as fast, once each is a device of its own (`start.cores`).

XLA makes one exchange of all gradients. They are not joined to one array for it: XLA's CPU backend would
take sums over the batch (of peepholes) inside the loop that joins, reading them masked at every place of
the join, and a masked read costs hundreds of cycles where it meets no memory: 33 or 95 ms a step, by
where the arrays lay.

A batch stays whole where its first axis does not divide, and in a call with noise, whose random numbers
belong to the whole batch.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, PartitionSpec

from lstm_research.axes import Hiddens, Tree
from lstm_research.cell import Weights

AXIS = "sequences"  # the axis of a mesh over which a batch is split


def mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Return the mesh that splits a batch over these devices; None: all of the default backend."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def shares(batch: tuple[int, ...]) -> int:
    """Return into how many shares a batch falls under the mesh at hand; 1: it stays whole."""
    here = jax.sharding.get_abstract_mesh()
    many = (
        1 if AXIS in here.manual_axes else here.shape.get(AXIS, 1)
    )  # manual: the caller has split it
    return many if batch and batch[0] % many == 0 else 1


def split(
    run: Callable[[Weights, Tree, Tree], tuple[Tree, Hiddens]],
    weights: Weights,
    carry: Tree,
    now: Tree,
) -> tuple[Tree, Hiddens]:
    """Call run(weights, carry, now) on each device with its share; `now` has time as its first axis."""
    whole, batch, steps = PartitionSpec(), PartitionSpec(AXIS), PartitionSpec(None, AXIS)
    each = jax.shard_map(
        run, in_specs=(whole, batch, steps), out_specs=(batch, steps), check_vma=False
    )
    return each(weights, carry, now)
