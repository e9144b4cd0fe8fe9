"""How noise enters a cell: a stage without product in front of its own, which holds the masks.

::

    zx' = (zx, front)              front: time *batch _, drawn from the key; None without one
    stages' = (front, *stages)

The engines see one more stage and learn nothing of noise. `weights.r` gets a None in front.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax

from lstm_research.axes import Array, Float, Seed, Tree
from lstm_research.cell import Cell, Parts, Pre, Read, Stage, Weights, driven, sizes
from lstm_research.masks import Masks

WIDTH = 5040  # units of a cell that is only asked for its shapes: a multiple of any number of heads
Share = float | Array  # of the units that a noise hits; data where runs differ in it
Draw = Callable[[Cell, Weights, Array, Seed], Array]  # (cell, weights, x, key) -> time *batch _
Update = Callable[..., Tree]  # (cell, masks, weights, z, carry, **inside) -> carry
Look = Callable[[Tree, Array], Tree]  # (carry, masks) -> the carry that the products read


class Fronted(NamedTuple):
    """What a wrapped cell makes of its inputs."""

    inner: Tree
    front: Float[Array, "time *batch _"] | None


def front(
    cell: Cell, draw: Draw, *, update: Update | None = None, look: Look | None = None
) -> Cell:
    """Return the cell with a front stage: `update` and `look` are given what it holds at a step."""
    stages = tuple(
        stage if stage.read is None else stage._replace(read=partial(reading, stage.read, look))
        for stage in cell.stages
    )
    return cell._replace(
        init=partial(init, cell),
        stages=(Stage("", "m", "", None), *stages),
        update=partial(stepped, cell, update),
        gates=None if cell.gates is None else partial(gates, cell),
        drive=partial(drive, cell, draw),
        cut=partial(cut, cell),
        sizes=partial(measured, cell),
        ready=None if cell.ready is None else partial(ready, cell),
        observe=None if cell.observe is None else partial(observe, cell),
        linear=None,
        noisy=True,
    )


def peeled(weights: Weights) -> Weights:
    """Return the weights of the cell inside."""
    return weights if weights.r is None else weights._replace(r=weights.r[1:])


def init(cell: Cell, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the weights of the cell inside: the front stage has none."""
    weights = cell.init(key, features, hidden)
    return weights._replace(r=(None, *weights.r))


def drive(
    cell: Cell, draw: Draw, weights: Weights, x: Array, masks: Masks, key: Seed | None
) -> Fronted:
    """Return zx of the cell inside and the masks of all steps."""
    inner = peeled(weights)
    zx = cell.drive(inner, x, masks, key)
    return Fronted(zx, None if key is None else draw(cell, inner, x, key))


def cut(cell: Cell, zx: Fronted) -> Parts:
    """Return the blocks of all stages, those of the front stage first."""
    return ((None, zx.front), *driven(cell, zx.inner))


def measured(cell: Cell, weights: Weights) -> tuple[int, int]:
    """Return (features, hidden)."""
    return sizes(cell, peeled(weights))


def ready(cell: Cell, weights: Weights, key: Seed) -> Weights:
    """Return the weights of one call."""
    assert cell.ready is not None
    made = cell.ready(peeled(weights), key)
    return made._replace(r=(None, *made.r))


def observe(cell: Cell, weights: Weights, x: Array, masks: Masks, key: Seed | None) -> Tree:
    """Return what the cell inside measures by itself."""
    assert cell.observe is not None
    return cell.observe(peeled(weights), x, masks, key)


def stepped(
    cell: Cell,
    update: Update | None,
    weights: Weights,
    z: tuple[Pre, ...],
    carry: Tree,
    **inside: Any,
) -> Tree:
    """Take the step of the cell inside, changed by `update` where there is one."""
    if update is None:
        return cell.update(weights, z[1:], carry, **inside)
    return update(cell, held(z), weights, z[1:], carry, **inside)


def gates(cell: Cell, weights: Weights, z: tuple[Pre, ...], carry: Tree) -> dict[str, Array]:
    """Return the gates of the cell inside."""
    assert cell.gates is not None
    return cell.gates(weights, z[1:], carry)


def held(z: tuple[Pre, ...]) -> Array | None:
    """Return what the front stage holds at a step; it is drawn, not learned."""
    return None if z[0].driven is None else jax.lax.stop_gradient(z[0].driven)


def reading(
    read: Read, look: Look | None, weights: Weights, z: tuple[Pre, ...], carry: Tree
) -> Array:
    """Read as the cell inside does, from the carry that `look` leaves to see."""
    masks = held(z)
    seen = carry if look is None or masks is None else look(carry, masks)
    return read(weights, z[1:], seen)


def shapes(cell: Cell, hidden: int = WIDTH) -> dict[str, int]:
    """Return the width of each leaf of the carry by name."""
    carry = jax.eval_shape(lambda: cell.start((), hidden))
    return {name: leaf.shape[-1] for name, leaf in carry._asdict().items()}
