"""Layer norm inside a cell: on what it hears, and on what its output sees of the memory."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from jax import lax

from lstm_research.axes import Array, Float, Seed, Tree
from lstm_research.cell import Cell, Pre, Read, Stage, Weights, blocks, project
from lstm_research.masks import Masks
from lstm_research.wrappers.front import shapes

EPSILON = 1e-5  # beside the variance


def standard(z: Float[Array, "*any _"]) -> Float[Array, "*any _"]:
    """Return z at mean 0 and variance 1 over its last axis."""
    centred = z - z.mean(-1, keepdims=True)
    return centred * lax.rsqrt((centred**2).mean(-1, keepdims=True) + EPSILON)


def layer_norm(cell: Cell) -> Cell:
    """Return a cell that normalises its two pre-activations apart, and c where the output sees it.

    ::

        z  = LN(x W) + LN(h R) + b             over all blocks that a product adds to x W at once
        h' = o tanh(LN(c'))                    the memory itself stays as it is
        LN(v) = gain (v - mean(v)) / sqrt(var(v) + 1e-5) + shift

    Blocks of one side alone are normalised alone: for a GRU, g = tanh(LN(x W_g) + r LN(h R_g)).
    Cells outside the gated family, and those whose memory is h, normalise their pre-activations and
    nothing else. Parameters of an LSTM: + 16H + 2H. Raises ValueError for a cell whose input enters
    in another way than as x W + b. Source: Ba, Kiros & Hinton 2016 (arXiv:1607.06450, eq. 20-22 and
    26-28); gains start at 1 and shifts at 0, which the supplement prints the other way round.
    Peepholes see c without norm.
    """
    if cell.drive is not project or cell.cut is not None:
        raise ValueError(
            "norm='layer' needs a cell whose input enters as x W + b; this one's does not"
        )
    view = cell.opened and "c" in shapes(cell)
    joins = any(stage.read for stage in cell.stages)
    return cell._replace(
        init=partial(init, cell, view),
        stages=tuple(map(partial(apart, cell), range(len(cell.stages)))),
        update=partial(update, cell, view) if joins else cell.update,
        gates=None if cell.gates is None else partial(gates, cell),
        drive=partial(drive, cell),
        linear=None if joins else cell.linear,
    )


def apart(cell: Cell, at: int) -> Stage:
    """Return a stage whose two sides stay apart until they are normalised."""
    stage = cell.stages[at]
    if stage.read is None:
        return stage
    both = stage.both
    read = partial(reading, cell, stage.read)
    return Stage("", both + stage.driven, both + stage.recurred, read)


def init(cell: Cell, view: bool, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the weights of the cell inside; gains start at 1 and shifts at 0."""
    weights = cell.init(key, features, hidden)
    assert weights.w is not None
    p, m = dict(weights.p), dict(weights.m or {})
    m |= pair("x", weights.w.shape[-1])
    for at, r in enumerate(weights.r):
        if r is not None:
            p |= pair(f"h{at}", wide(r))
    return weights._replace(p=p | pair("c", hidden) if view else p, m=m)


def wide(r: Array) -> int:
    """Return the columns of a stage's recurrent product."""
    return r.shape[-1] if r.ndim == 2 else r.shape[0] * r.shape[2] * r.shape[3]


def pair(name: str, width: int) -> dict[str, Array]:
    """Return the start of one norm."""
    return {f"gain_{name}": jnp.ones(width), f"shift_{name}": jnp.zeros(width)}


def drive(cell: Cell, weights: Weights, x: Array, masks: Masks, key: Seed | None) -> Array:
    """Return LN(x W) + b."""
    zx = project(weights._replace(b=None), x, masks, key)
    each, parts, at = zx.shape[-1] // blocks(cell), [], 0
    for letters in (names for stage in cell.stages for names in (stage.both, stage.driven)):
        if letters:
            parts.append(standard(zx[..., at : at + len(letters) * each]))
            at += len(letters) * each
    zx = jnp.concatenate(parts, -1) * weights.m["gain_x"] + weights.m["shift_x"]
    return zx if weights.b is None else zx + weights.b


def joined(cell: Cell, weights: Weights, z: tuple[Pre, ...]) -> tuple[Pre, ...]:
    """Return the pre-activations as the cell inside knows them."""
    return tuple(
        pre if pre.recurred is None else added(stage, at, weights.p, pre)
        for at, (stage, pre) in enumerate(zip(cell.stages, z, strict=False))
    )


def added(stage: Stage, at: int, p: dict[str, Array], pre: Pre) -> Pre:
    """Return the sum of the two sides of a stage, that of the recurrence normalised here."""
    zx, zh = pre.driven, pre.recurred
    assert zh is not None
    shared = zh.shape[-1] * len(stage.both) // len(stage.both + stage.recurred)
    sides = [side for side in (zh[..., :shared], zh[..., shared:]) if side.shape[-1]]
    zh = jnp.concatenate([standard(side) for side in sides], -1)
    zh = zh * p[f"gain_h{at}"] + p[f"shift_h{at}"]
    both = zx[..., :shared] + zh[..., :shared] if stage.both and zx is not None else None
    alone = zx[..., shared:] if stage.driven and zx is not None else None
    return Pre(both, alone, zh[..., shared:] if stage.recurred else None)


def reading(cell: Cell, read: Read, weights: Weights, z: tuple[Pre, ...], carry: Tree) -> Array:
    """Read as the cell inside does."""
    return read(weights, joined(cell, weights, z), carry)


def update(
    cell: Cell, view: bool, weights: Weights, z: tuple[Pre, ...], carry: Tree, **inside: Any
) -> Tree:
    """Take the step of the cell inside on normalised pre-activations."""
    if view:
        inside["view"] = seen(weights)
    return cell.update(weights, joined(cell, weights, z), carry, **inside)


def gates(cell: Cell, weights: Weights, z: tuple[Pre, ...], carry: Tree) -> dict[str, Array]:
    """Return the gates of the cell inside on normalised pre-activations."""
    assert cell.gates is not None
    return cell.gates(weights, joined(cell, weights, z), carry)


def seen(weights: Weights) -> Callable[[Array], Array]:
    """Return what the output sees of c: LN(c)."""
    return lambda c: standard(c) * weights.p["gain_c"] + weights.p["shift_c"]
