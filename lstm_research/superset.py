"""Several rows of the gated family as one cell: the switches on which they differ are data.

What the rows agree on stays Python, so that a block that none of them owns is neither stored nor
computed: Greff's eight need the four blocks of an LSTM, not the six of the whole family.
"""

import dataclasses
from collections.abc import Iterable
from functools import cache, partial
from typing import cast

import jax.numpy as jnp

from lstm_research.axes import Array, Seed
from lstm_research.cell import Cell, Weights, emit_hidden, start_carry
from lstm_research.gated import GateSpec, Switches, acting, init, stage, switches, update

ALL = Switches._make(None for _ in Switches._fields)  # nothing agreed on: everything owns weights


@dataclasses.dataclass(frozen=True)
class Superset:
    """A row inside a superset, a spec like any other; `over` has None where the rows differ."""

    row: GateSpec
    over: Switches = ALL

    def build(self) -> Cell:
        """Return the cell of all rows; the weights that it draws are those of this row."""
        return swept(self.row, self.over)


def common(rows: Iterable[GateSpec]) -> Switches:
    """Return what rows agree on, None where they differ."""
    columns = zip(*map(switches, rows), strict=True)
    return Switches._make(values[0] if len(set(values)) == 1 else None for values in columns)


@cache
def swept(spec: GateSpec, over: Switches = ALL) -> Cell:
    """Return the superset cell: every block that a row may own has weights, the row stands beside them.

    Equal to `gated(spec)` from the same key. Weights of dead parts receive a gradient of exactly
    zero. Costs the blocks of all rows together: for sweeps, never for timings.
    """

    def begin(key: Seed, features: int, hidden: int) -> Weights:
        free = (
            None if agreed is not None else jnp.asarray(value)
            for agreed, value in zip(over, switches(spec), strict=True)
        )
        return init(spec, over, key, features, hidden)._replace(row=Switches._make(free))

    return Cell(
        begin, start_carry, (stage(over),), partial(update, over), emit_hidden,
        gates=partial(acting, over),
    )  # fmt: skip


def narrowed(spec: GateSpec, over: Switches, weights: Weights) -> Weights:
    """Return the weights of one row as `gated(spec)` holds them, out of those of a superset."""
    row = switches(spec)
    wide, own = stage(over), stage(row)

    def columns(matrix: Array, names: str, wanted: str) -> Array:
        each = dict(zip(names, jnp.split(matrix, len(names), -1), strict=True))
        return jnp.concatenate([each[name] for name in wanted], -1)

    driven, recurred = wide.both + wide.driven, wide.both + wide.recurred
    w = columns(cast(Array, weights.w), driven, own.both + own.driven)
    b = columns(cast(Array, weights.b), driven, own.both + own.driven)
    r = columns(cast(Array, weights.r[0]), recurred, own.both + own.recurred)
    held = [f"p_{gate}" for gate in spec.peephole] + ["b_hg"] * spec.reset_bias
    return Weights(w, b, (r,), {name: weights.p[name] for name in held})
