"""Recurrent batch norm: what a cell hears and what its output sees of c, normalised a step at a time.

A call with a key (training) measures the batch at each step; a call without one uses the statistics
in `Weights.row`, one set a step. The carry counts the steps of each sequence, so that a test finds
its place after a reset or in the middle of a stream.
"""

from collections import namedtuple
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research.axes import Array, Float, Lengths, Seed, Steps, Tree
from lstm_research.cell import Cell, Pre, Read, Stage, Weights, blocks, project, sizes, step
from lstm_research.masks import Masks, choose
from lstm_research.moments import Statistics, existing, moments
from lstm_research.wrappers import front
from lstm_research.wrappers.layer_norm import wide

EPSILON = 1e-5  # beside the variance
GAIN = 0.1  # start of every gain
Norm = Callable[[str, Array], Array]  # (name, value) -> the value normalised


def batch_norm(cell: Cell, steps: int, *, spy: bool = False) -> Cell:
    """Return a cell that normalises over the batch: its two pre-activations apart, and c for h alone.

    ::

        z  = BN(h R; gain_h) + BN(x W; gain_x) + b        of each product; b is p["b<stage>"]
        h' = o tanh(BN(c'; gain_c) + shift_c)             the memory itself stays as it is
        BN(v; gain) = gain (v - mean_t) / sqrt(var_t + 1e-5)

    mean_t and var_t (biased) of step t are those of the sequences that exist there in training, and
    stored ones in a test: `Weights.row` holds them for the first `steps` steps of a sequence, a later
    step uses the last one that was ever observed. Gains are shared over steps, and start at 0.1;
    gradients flow through the statistics of a batch. Parameters of an LSTM: 4HD + 4H^2 + 14H. Cells
    outside the gated family, and those whose memory is h, normalise their pre-activations and nothing
    else. Step t of training is the t-th of the loop, for all rows: where rows restart inside a call,
    or end unevenly in a reversed one, their own counts differ from it. `observe` runs the loop once
    more from rest. `spy=True`: the cell of `observed`, whose steps also return what they measured.
    Raises ValueError for a cell whose input enters in another way than as x W + b, or that has no
    recurrent matrix; a training call raises it where x has no batch axis. Source: Cooijmans et al.
    2017 (arXiv:1603.09025). Departures: no noise in the first h, no trained first carry.
    """
    refuse(cell)
    view = cell.opened and "c" in front.shapes(cell)
    kind = type(jax.eval_shape(lambda: cell.start((), front.WIDTH)))
    inner = cell._replace(stages=tuple(apart(cell, kind, stage) for stage in cell.stages))
    made = cell._replace(
        init=partial(init, cell, view, steps),
        start=partial(start, cell),
        stages=(Stage("", "m", "", None), *inner.stages),
        update=partial(update, cell, kind, view, spy),
        gates=None if cell.gates is None else partial(gates, cell, kind),
        emit=lambda carry: cell.emit(bare(kind, carry)),
        drive=drive,
        cut=partial(front.cut, inner),
        sizes=partial(front.measured, cell),
        ready=None if cell.ready is None else partial(front.ready, cell),
        linear=None,
        noisy=True,
    )
    if spy:
        return made
    return made._replace(observe=partial(observed, batch_norm(cell, steps, spy=True)))


def refuse(cell: Cell) -> None:
    """Raise ValueError for a cell that this norm does not fit."""
    if cell.drive is not project or cell.cut is not None:
        raise ValueError(
            "norm='batch' needs a cell whose input enters as x W + b; this one's does not"
        )
    if not any(stage.read for stage in cell.stages):
        raise ValueError("norm='batch' needs a cell with a recurrent matrix; this one has none")


@cache
def counted(fields: tuple[str, ...]) -> type:
    """Return the class of a carry that has these leaves."""
    return namedtuple("Counted", fields)


def start(cell: Cell, batch: tuple[int, ...], hidden: int, dtype: Tree = None) -> Tree:
    """Return the start of the cell inside, and step 0."""
    carry = cell.start(batch, hidden, dtype)
    return counted((*carry._fields, "steps"))(*carry, jnp.zeros((*batch, 1), dtype))


def bare(kind: Any, carry: Tree) -> Tree:
    """Return the carry of the cell inside."""
    return kind(*carry[: len(kind._fields)])


def apart(cell: Cell, kind: Any, stage: Stage) -> Stage:
    """Return a stage whose two sides stay apart until they are normalised."""
    read = None if stage.read is None else partial(reading, cell, kind, stage.read)
    recurred = "" if read is None else stage.both + stage.recurred
    return Stage("", stage.both + stage.driven, recurred, read)


def init(cell: Cell, view: bool, steps: int, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the weights of the cell inside; nothing was observed, mean 0 and variance 1 are stored."""
    weights = cell.init(key, features, hidden)
    assert weights.w is not None and weights.row is None
    each, p, widths, at = weights.w.shape[-1] // blocks(cell), dict(weights.p), {}, 0
    for k, (stage, r) in enumerate(zip(cell.stages, weights.r, strict=True)):
        if many := each * len(stage.both + stage.driven):
            widths[f"x{k}"] = many
            p |= {} if weights.b is None else {f"b{k}": weights.b[at : at + many]}
            at += many
        if r is not None:
            widths[f"h{k}"] = wide(r)
    if view:
        widths["c"], p["shift_c"] = hidden, jnp.zeros(hidden)
    p |= {f"gain_{name}": jnp.full(many, GAIN) for name, many in widths.items()}
    row: Tree = {
        name: Statistics(jnp.zeros((steps, many)), jnp.ones((steps, many)))
        for name, many in widths.items()
    }
    row["seen"] = jnp.zeros((steps, 1))  # more than 0 where a step was ever observed
    return weights._replace(b=None, r=(None, *weights.r), p=p, row=row)


def drive(weights: Weights, x: Array, masks: Masks, key: Seed | None) -> front.Fronted:
    """Return x W, and in training which sequences exist at a step."""
    if key is None:
        return front.Fronted(project(weights, x, masks, key), None)
    if x.ndim < 3:
        raise ValueError(
            f"norm='batch' measures a batch in training; x of shape {x.shape} has no batch axis"
        )
    valid = jnp.ones((*x.shape[:-1], 1), x.dtype)
    valid = valid if masks.valid is None else valid * masks.valid
    return front.Fronted(project(weights, x, masks, key), valid)


def stored(row: Tree, steps: Float[Array, "*any 1"]) -> Callable[[str], Statistics]:
    """Return the stored statistics of a name at a step: of the last one observed, if that is past."""

    def find(name: str) -> Statistics:
        kept, last = row["seen"], jnp.maximum((row["seen"] > 0).sum() - 1, 0)
        now = jnp.clip(jnp.floor(steps), 0, last) == jnp.arange(len(kept))
        one = lax.stop_gradient(now.astype(kept.dtype))
        of = lax.stop_gradient(row[name])
        return Statistics(*(jnp.matmul(one, leaf, precision="highest") for leaf in of))

    return find


def norm(weights: Weights, z: tuple[Pre, ...], carry: Tree) -> Norm:
    """Return BN at a step, whose front stage says which sequences exist: None in a test."""
    valid, find = z[0].driven, stored(weights.row, carry.steps)

    def standard(name: str, value: Array) -> Array:
        mean, var = find(name) if valid is None else moments(value, valid > 0)
        return (value - mean) * lax.rsqrt(var + EPSILON) * weights.p[f"gain_{name}"]

    return standard


def joined(cell: Cell, weights: Weights, z: tuple[Pre, ...], carry: Tree) -> tuple[Pre, ...]:
    """Return the pre-activations as the cell inside knows them."""
    if len(z) == 1:
        return ()
    batch = norm(weights, z, carry)
    return tuple(
        added(stage, k, batch, weights.p, pre)
        for k, (stage, pre) in enumerate(zip(cell.stages, z[1:], strict=False))
    )


def added(stage: Stage, k: int, batch: Norm, p: dict[str, Array], pre: Pre) -> Pre:
    """Return the sum of the two sides of a stage, each normalised."""
    zx = None if pre.driven is None else batch(f"x{k}", pre.driven)
    if zx is not None and f"b{k}" in p:
        zx = zx + p[f"b{k}"]
    zh = None if pre.recurred is None else batch(f"h{k}", pre.recurred)
    side, letters = (
        (zx, stage.both + stage.driven) if zh is None else (zh, stage.both + stage.recurred)
    )
    assert side is not None
    shared = side.shape[-1] * len(stage.both) // len(letters)
    both, alone = (None, None) if zx is None else (zx[..., :shared], zx[..., shared:])
    if both is not None and zh is not None:
        both = both + zh[..., :shared]
    return Pre(
        both if stage.both else None,
        alone if stage.driven else None,
        zh[..., shared:] if zh is not None and stage.recurred else None,
    )


def reading(
    cell: Cell, kind: Any, read: Read, weights: Weights, z: tuple[Pre, ...], carry: Tree
) -> Array:
    """Read as the cell inside does."""
    heard = joined(cell, weights, z, carry)
    return read(weights._replace(row=None), heard, bare(kind, carry))


def update(
    cell: Cell, kind: Any, view: bool, spy: bool, weights: Weights, z: tuple[Pre, ...], carry: Tree,
    **inside: Any,
) -> Tree:  # fmt: skip
    """Take the step of the cell inside on normalised pre-activations, and count it."""
    if view:
        batch, shift = norm(weights, z, carry), weights.p["shift_c"]
        inside["view"] = lambda c: batch("c", c) + shift
    heard = joined(cell, weights, z, carry)
    inner = cell.update(weights._replace(row=None), heard, bare(kind, carry), **inside)
    fields, leaves = (*kind._fields, "steps"), (*inner, carry.steps + 1.0)
    if not spy:
        return counted(fields)(*leaves)
    return counted((*fields, "found"))(*leaves, found(z, inner.c if view else None))


def gates(
    cell: Cell, kind: Any, weights: Weights, z: tuple[Pre, ...], carry: Tree
) -> dict[str, Array]:
    """Return the gates of the cell inside on normalised pre-activations."""
    assert cell.gates is not None
    heard = joined(cell, weights, z, carry)
    return cell.gates(weights._replace(row=None), heard, bare(kind, carry))


def found(z: tuple[Pre, ...], c: Array | None) -> dict[str, Statistics]:
    """Return what a step of training measured, by name."""
    assert z[0].driven is not None
    values = {f"x{k}": pre.driven for k, pre in enumerate(z[1:])}
    values |= {f"h{k}": pre.recurred for k, pre in enumerate(z[1:])} | {"c": c}
    valid = z[0].driven > 0
    return {name: moments(each, valid) for name, each in values.items() if each is not None}


def observed(spy: Cell, weights: Weights, x: Steps, masks: Masks, key: Seed | None) -> Tree:
    """Return the row after a training call from rest; a step without a sequence keeps what it had.

    `spy` is made as the cell of the call, of `batch_norm(cell, steps, spy=True)`, all wrappers around it.
    """
    keep = min(len(weights.row["seen"]), len(x))
    x, masks = jax.tree.map(lambda leaf: leaf[:keep], (x, masks))
    there = (
        jnp.ones((keep, 1), bool)
        if masks.valid is None
        else masks.valid.reshape(keep, -1).any(-1, keepdims=True)
    )
    ready = weights if spy.ready is None or key is None else spy.ready(weights, key)
    dtype = jnp.result_type(x, *jax.tree.leaves(weights._replace(row=None)))
    first = spy.start(x.shape[1:-1], sizes(spy, weights)[1], dtype)

    def body(carry: Tree, now: tuple[Tree, Masks]) -> tuple[Tree, Tree]:
        zx, (valid, fresh) = now
        before = carry if fresh is None else choose(fresh, first, carry)
        (*after, measured), _ = step(spy, ready, zx, before)
        after = type(first)(*after)
        return (after if valid is None else choose(valid, after, before)), measured

    _, new = lax.scan(body, first, (spy.drive(ready, x, masks, key), masks))
    new["seen"] = jnp.ones_like(weights.row["seen"][:keep])

    def put(old: Array, now: Array) -> Array:
        return jnp.asarray(old).at[:keep].set(jnp.where(there, now, old[:keep]).astype(old.dtype))

    return jax.tree.map(put, weights.row, new)


def calibrated(
    cell: Cell, weights: Weights, x: Steps, lengths: Lengths | None = None, key: Seed | None = None
) -> Weights:
    """Return the weights with the statistics of these data stored; a test then equals training.

    That holds for sequences from rest, up to as many steps as are stored. key: the noise of wrappers
    outside of this one. Raises ValueError where lengths are not those of the batch.
    """
    assert cell.observe is not None
    x, valid = existing(x, lengths)
    key = jax.random.key(0) if key is None else key
    return weights._replace(row=cell.observe(weights, x, Masks(valid, None), key))
