"""Zoneout: units that keep what they had, at random in training and by expectation in a test."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lstm_research import initial
from lstm_research.axes import Array, Seed, Tree
from lstm_research.cell import Cell, Pre, Weights, sizes
from lstm_research.wrappers.front import Share, front, shapes


def zoneout(cell: Cell, wanted: Mapping[str, Share]) -> Cell:
    """Return a cell whose c and h keep the value of the step before, each unit with its own chance.

    ::

        s' = d s + (1 - d) s_new,    d ~ Bernoulli(share)  a step and unit     training
        s' = share s + (1 - share) s_new                                       test

    wanted: the share of c, of h, or of both. s_new is the step of the bare cell from c and h:
    h_new = o tanh(c_new) sees c before it is zoned. A cell that carries h alone zones out h alone.
    Raises ValueError for a carry without h, for a share of c where more than c, h and the count of a
    batch norm is carried (what goes with a memory cannot stay while it moves), and where no share is
    left. Source: Krueger et al. 2017 (arXiv:1606.01305), as in the authors' code.
    """
    there = shapes(cell)
    told = " and ".join(f"zoneout_{name}={share}" for name, share in wanted.items())
    if "h" not in there:
        raise ValueError(
            f"{told}: zoneout acts on c and h; this cell carries {', '.join(there) or 'neither'}"
        )
    if "c" in wanted and "c" in there and there.keys() - {"c", "h", "steps"}:
        raise ValueError(f"{told} needs a carry of c and h; this cell carries {', '.join(there)}")
    shares = {name: wanted[name] for name in there if name in wanted}
    if not shares:
        raise ValueError(f"{told} needs a memory c; this cell carries {', '.join(there)}")
    return front(cell, partial(draw, shares), update=partial(update, shares))


def draw(shares: dict[str, Share], cell: Cell, weights: Weights, x: Array, key: Seed) -> Array:
    """Return 1 where a unit keeps its value: the masks of each state side by side."""
    wide = shapes(cell, sizes(cell, weights)[1])
    return jnp.concatenate(
        [
            jax.random.bernoulli(
                initial.fold(key, f"zoneout_{name}"), share, (*x.shape[:-1], wide[name])
            ).astype(x.dtype)
            for name, share in shares.items()
        ],
        -1,
    )


def update(
    shares: dict[str, Share],
    cell: Cell,
    masks: Array | None,
    weights: Weights,
    z: tuple[Pre, ...],
    carry: Tree,
    **inside: Any,
) -> Tree:
    """Return the new carry, a part of it left as it was."""
    new, at = cell.update(weights, z, carry, **inside), 0
    for name, share in shares.items():
        old, fresh = getattr(carry, name), getattr(new, name)
        if masks is None:
            kept = share * old + (1.0 - share) * fresh
        else:
            kept = jnp.where(masks[..., at : at + old.shape[-1]] > 0, old, fresh)
        new, at = new._replace(**{name: kept}), at + old.shape[-1]
    return new
