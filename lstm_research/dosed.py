"""A wrapped cell whose shares of noise are data: runs that differ in them alone are one program.

The shares stand in `Weights.row`, beside what the cell inside keeps there, and every function of the cell
puts its wrappers on anew around what it finds there. What a wrapper computes is its own affair
(`wrappers`); which of them are on is a part of the program.
"""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax.numpy as jnp

from lstm_research.axes import Array, Seed, Tree
from lstm_research.cell import Cell, Stage, Weights, project
from lstm_research.wrappers import Wrapped, WrapSpec, noisy, normed, shares


class Doses(NamedTuple):
    """What `Weights.row` holds."""

    inner: Tree  # the row of the cell inside
    shares: dict[str, Array]  # of each noise that is on, by its name in `WrapSpec`


@dataclasses.dataclass(frozen=True)
class Dosed:
    """A spec like any other, equal in what it computes to `Wrapped(cell, wrap)`."""

    cell: Any
    wrap: WrapSpec

    def build(self) -> Cell:
        """Return the cell; raise ValueError where a wrapper cannot hold it."""
        return dosed(self.cell, self.wrap)


def dosable(cell: Any, wrap: WrapSpec | None) -> bool:
    """Say whether the shares of these wrappers may be data: some are on, and nothing keeps statistics.

    Statistics are blended into the row as it is, and a share must not change by a rounding.
    """
    if wrap is None or not shares(wrap) or wrap.norm == "batch":
        return False
    return cell.build().observe is None


@cache
def dosed(spec: Any, wrap: WrapSpec) -> Cell:
    """Return the cell of `Wrapped(spec, wrap)`, its shares read from the row of its weights."""
    made, inside = Wrapped(spec, wrap).build(), normed(spec.build(), wrap)

    def now(weights: Weights) -> tuple[Cell, Weights]:
        return noisy(inside, weights.row.shares), weights._replace(row=weights.row.inner)

    def asked(name: str) -> Callable[..., Any]:
        def call(weights: Weights, *given: Any, **more: Any) -> Any:
            cell, own = now(weights)
            return getattr(cell, name)(own, *given, **more)

        return call

    def init(key: Seed, features: int, hidden: int) -> Weights:
        weights = made.init(key, features, hidden)
        doses = {name: jnp.asarray(share, float) for name, share in shares(wrap).items()}
        return weights._replace(row=Doses(weights.row, doses))

    def ready(weights: Weights, key: Seed) -> Weights:
        return asked("ready")(weights, key)._replace(row=weights.row)

    def reading(place: int, weights: Weights, z: Any, carry: Tree) -> Array:
        cell, own = now(weights)
        read = cell.stages[place].read
        assert read is not None
        return read(own, z, carry)

    def staged(place: int, stage: Stage) -> Stage:
        return stage if stage.read is None else stage._replace(read=partial(reading, place))

    return made._replace(
        init=init,
        stages=tuple(staged(place, stage) for place, stage in enumerate(made.stages)),
        update=asked("update"),
        drive=project if made.drive is project else asked("drive"),
        ready=None if made.ready is None else ready,
        gates=None if made.gates is None else asked("gates"),
    )
