"""All steps of a linear recurrence at once: an associative scan, in pieces so that memory stays O(T).

`s_t = a_t s_{t-1} + b_t` is a chain of affine maps, and maps compose in any order::

    (a, b) then (a', b')  =  (a' a, a' b + b')          max: (a + a', max(a' + b, b'))

Inside a piece the maps compose in log2(piece) rounds; from piece to piece the state goes on
step by step. The backward pass is the same recurrence run the other way: with L the cotangent of s,

    l_t = L_t + a_{t+1} l_{t+1},    da_t = l_t s_{t-1},    db_t = l_t.

Sources: Blelloch 1990, Prefix sums and their applications; Martin & Cundy 2018 (arXiv:1709.04057).
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable
from functools import partial
from typing import Literal, cast

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research.axes import Array, Hiddens, Tree
from lstm_research.cell import Cell, Pre, Weights, driven, vectors
from lstm_research.linear import Level, Pair, finish
from lstm_research.masks import Masks, choose

PIECE = 256  # steps that compose at once
Rule = Literal["affine", "max"]


def then(rule: Rule, one: tuple[Array, Array], two: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return the map that does `one`, then `two`."""
    (a, b), (a_then, b_then) = one, two
    if rule == "affine":
        return a_then * a, a_then * b + b_then
    return a + a_then, jnp.maximum(a_then + b, b_then)


def apply(rule: Rule, maps: tuple[Array, Array], state: Array) -> Array:
    """Return the state that a map leads to."""
    a, b = maps
    return a * state + b if rule == "affine" else jnp.maximum(a + state, b)


def prefixes(rule: Rule, a: Array, b: Array, start: Array) -> Array:
    """Return the states after each step; a and b are `time _`, the start has no time."""
    steps = len(b)
    compose = partial(lax.associative_scan, partial(then, rule))
    if steps <= PIECE:
        return apply(rule, compose((a, b)), start)
    whole = steps - steps % PIECE
    pieces = jax.tree.map(lambda leaf: leaf[:whole].reshape(-1, PIECE, *leaf.shape[1:]), (a, b))

    def piece(state: Array, maps: tuple[Array, Array]) -> tuple[Array, Array]:
        states = apply(rule, compose(maps), state)
        return states[-1], states

    state, states = lax.scan(piece, start, pieces)
    states = states.reshape(whole, *states.shape[2:])
    if whole == steps:
        return states
    return jnp.concatenate([states, prefixes(rule, a[whole:], b[whole:], state)])


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def recurrence(rule: Rule, a: Array, b: Array, start: Array) -> Array:
    """Return the states after each step of `s = a s + b`, or `s = max(a + s, b)`."""
    return prefixes(rule, a, b, start)


def forward(
    rule: Rule, a: Array, b: Array, start: Array
) -> tuple[Array, tuple[Array, Array, Array, Array]]:
    """Return the states, and what the backward pass needs."""
    states = prefixes(rule, a, b, start)
    return states, (a, b, start, states)


def backward(
    rule: Rule, saved: tuple[Array, Array, Array, Array], cotangent: Array
) -> tuple[Array, Array, Array]:
    """Run the adjoint recurrence from the last step to the first."""
    a, b, start, states = saved
    before = jnp.concatenate([start[None], states[:-1]])
    slope = a if rule == "affine" else share(a + before, b)
    ahead = jnp.concatenate([slope[1:], jnp.zeros_like(slope[:1])])
    back = prefixes("affine", ahead[::-1], cotangent[::-1], jnp.zeros_like(start))[::-1]
    if rule == "affine":
        return back * before, back, slope[0] * back[0]
    return back * slope, back * (1.0 - slope), slope[0] * back[0]


def share(left: Array, right: Array) -> Array:
    """Return the derivative of max(left, right) in `left`: a tie is shared, as `jnp.maximum` does."""
    return jnp.where(left > right, 1.0, jnp.where(left < right, 0.0, 0.5)).astype(left.dtype)


recurrence.defvjp(forward, backward)


def states(level: Level, a: Array, b: Array, carry: Tree, first: Tree, masks: Masks) -> Pair:
    """Return the state of a level before and after every step, under the masks."""
    start = level.read(carry)
    shape = jnp.broadcast_shapes(a.shape, b.shape)
    a, b = jnp.broadcast_to(a, shape), jnp.broadcast_to(b, shape)
    affine = level.rule == "affine"
    if masks.fresh is not None:
        anew = level.read(first)
        b = jnp.where(masks.fresh, a * anew + b if affine else jnp.maximum(a + anew, b), b)
        a = jnp.where(masks.fresh, 0.0 if affine else -jnp.inf, a)
    if masks.valid is not None:
        a = jnp.where(masks.valid, a, 1.0 if affine else 0.0)
        b = jnp.where(masks.valid, b, 0.0 if affine else -jnp.inf)
    b = b.astype(jnp.result_type(b, start))
    after = cast(Array, recurrence(level.rule, a, b, start))
    before = jnp.concatenate([start[None], after[:-1]])
    if masks.fresh is not None:
        before = jnp.where(masks.fresh, level.read(first), before)
    return before, after


def last(carries: Tree, carry: Tree, masks: Masks, turned: bool) -> Tree:
    """Return the carry of the last step that exists; the one that came in where none does."""
    if masks.valid is None:
        return jax.tree.map(lambda leaf: leaf[-1], carries)
    if turned:  # padding comes first
        return choose(masks.valid[-1], jax.tree.map(lambda leaf: leaf[-1], carries), carry)
    count = masks.valid.sum(0)

    def at(leaf: Array, kept: Array) -> Array:
        end = jnp.take_along_axis(leaf, jnp.maximum(count - 1, 0)[None], 0)[0]
        return jnp.where(count > 0, end, kept)

    return jax.tree.map(at, carries, carry)


Solve = Callable[[Cell, Weights, Tree, Tree, tuple[Pre, ...], Masks], Tree]


def at_once(
    solve: Solve, cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks,
    reverse: bool,
) -> tuple[Tree, Hiddens]:  # fmt: skip
    """Run all steps by what solves for the carry after each of them; the rest is as `unroll.scan`."""
    turn: Callable[[Tree], Tree] = partial(jax.tree.map, lambda leaf: leaf[::-1])
    z = tuple(Pre(both, alone, None) for both, alone in driven(cell, zx))
    z, masks = (turn(z), turn(masks)) if reverse else (z, masks)
    found = solve(cell, weights, first, carry, z, masks)
    h = cell.emit(found)
    end = last(found, carry, masks, reverse)
    h = h if masks.valid is None else jnp.where(masks.valid, h, 0)
    return end, turn(h) if reverse else h


def carries(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, z: tuple[Pre, ...], masks: Masks
) -> Tree:
    """Return the carry after every step of a linear recurrence, level by level."""
    inside = vectors(weights)
    pairs: tuple[Pair, ...] = ()
    for level in cell.linear.levels:
        a, b = level.coefficients(inside, z, pairs)
        pairs = (*pairs, states(level, a, b, carry, first, masks))
    z = finish(cell.linear, cell.stages[-1], weights.r[-1], inside, z, pairs, cell.precision)
    return cell.linear.gather(inside, z, pairs)


def loop(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks, reverse: bool
) -> tuple[Tree, Hiddens]:
    """Run a linear recurrence over all steps at once; the same signature as `unroll.scan`."""
    return at_once(carries, cell, weights, first, carry, zx, masks, reverse)
