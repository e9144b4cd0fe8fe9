"""All steps of an element-wise recurrence at once, by Newton iteration.

Where no matrix joins the units, `s_t = F(s_{t-1}, z_t)` has a Jacobian J of 1 x 1 (or k x k for k
leaves of the carry) a unit. Each iteration linearises every step around the present guess and solves
the linear recurrence that comes out by an associative scan::

    s_t  <-  J_t s_{t-1} + (F(s'_{t-1}, z_t) - J_t s'_{t-1}),       s' the guess before

until every step holds to a tolerance. Where that is not reached in LIMIT iterations the sequential
loop gives the answer, so the result never depends on luck. The backward pass is exact and needs no
iteration: `l_t = L_t + J_{t+1}^T l_{t+1}`, then one pull-back of F over all steps.

Sources: Lim et al. 2024 (arXiv:2309.12252); Danieli et al. 2025 (arXiv:2510.21450), who run gated
cells with diagonal matrices so. Departure: the check and the way back to the loop.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lstm_research.axes import Array, Hiddens, Tree
from lstm_research.cell import Cell, Pre, Weights, vectors
from lstm_research.masks import Masks, choose
from lstm_research.parallel import at_once

LIMIT = 40  # iterations before the sequential loop takes over
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}


def serves(cell: Cell) -> bool:
    """Return whether no matrix joins the units of a cell over time."""
    return all(stage.read is None for stage in cell.stages)


def shifted(states: Tree, start: Tree, first: Tree, masks: Masks) -> Tree:
    """Return the state before each step."""
    before = jax.tree.map(lambda s, leaf: jnp.concatenate([leaf[None], s[:-1]]), states, start)
    return before if masks.fresh is None else choose(masks.fresh, first, before)


def transition(cell: Cell, weights: Weights, z: Tree, masks: Masks, before: Tree) -> Tree:
    """Return the state after each step: F, or the state before where the step does not exist."""
    after = cell.update(weights, z, before)
    return after if masks.valid is None else choose(masks.valid, after, before)


def jacobian(f: Any, before: Tree) -> tuple[Tree, list[list[Array]]]:
    """Return f(before), and its derivative of leaf i in leaf j at [i][j], a number a unit."""
    leaves, tree = jax.tree.flatten(before)
    columns: list[list[Array]] = []
    value = None
    for j in range(len(leaves)):
        turn = tree.unflatten([jnp.full_like(leaf, float(i == j)) for i, leaf in enumerate(leaves)])
        value, column = jax.jvp(f, (before,), (turn,))
        columns.append(jax.tree.leaves(column))
    return value, [list(row) for row in zip(*columns, strict=True)]


Block = tuple[list[list[Array]], list[Array]]  # J and b of the map s -> J s + b


def then(one: Block, two: Block) -> Block:
    """Return the map that does `one`, then `two`."""
    (j, b), (k, c) = one, two
    many = range(len(b))
    both = [[sum(k[i][m] * j[m][n] for m in many) for n in many] for i in many]
    return both, [sum(k[i][m] * b[m] for m in many) + c[i] for i in many]  # pyright: ignore[reportReturnType]


def solved(jac: list[list[Array]], b: list[Array]) -> list[Array]:
    """Return the states of `s_t = J_t s_{t-1} + b_t` where J_0 is zero."""
    return lax.associative_scan(then, (jac, b))[1]


def cleared(jac: list[list[Array]], masks: Masks) -> list[list[Array]]:
    """Return J with zeros where a step does not look back: the first, and after a reset."""
    blind = jnp.arange(len(jac[0][0])).reshape(-1, *(1 for _ in jac[0][0].shape[1:])) == 0
    blind = blind if masks.fresh is None else blind | masks.fresh
    return [[jnp.where(blind, 0.0, each) for each in row] for row in jac]


def iterate(
    cell: Cell, weights: Weights, first: Tree, start: Tree, z: Tree, masks: Masks
) -> tuple[Tree, Array]:
    """Return the states after each step, and whether they hold to the tolerance."""
    f = partial(transition, cell, weights, z, masks)
    steps = len(jax.tree.leaves(z)[0])
    guess = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (steps, *leaf.shape)), start)
    guess = f(shifted(guess, start, first, masks))
    tree = jax.tree.structure(guess)

    def improve(loop: tuple[Tree, Array, Array]) -> tuple[Tree, Array, Array]:
        states, _, count = loop
        before = shifted(states, start, first, masks)
        value, jac = jacobian(f, before)
        jac = cleared(jac, masks)
        old, many = jax.tree.leaves(before), range(len(jac))
        b = [
            leaf - sum(jac[i][j] * old[j] for j in many)
            for i, leaf in enumerate(jax.tree.leaves(value))
        ]
        states = tree.unflatten(solved(jac, b))
        return states, residual(f(shifted(states, start, first, masks)), states), count + 1

    def unfinished(loop: tuple[Tree, Array, Array]) -> Array:
        return (loop[1] > limit) & (loop[2] < LIMIT)

    limit = TOLERANCE[str(jax.tree.leaves(guess)[0].dtype)]
    states, gap, _ = lax.while_loop(
        unfinished, improve, (guess, jnp.asarray(jnp.inf), jnp.int32(0))
    )
    return states, gap <= limit


def residual(value: Tree, states: Tree) -> Array:
    """Return the largest gap between F and the states, relative where a state exceeds 1."""
    gaps = jax.tree.map(
        lambda v, s: (jnp.abs(v - s) / jnp.maximum(jnp.abs(v), 1.0)).max(), value, states
    )
    return jnp.stack(jax.tree.leaves(gaps)).max().astype(jnp.result_type(float))


def sequential(
    cell: Cell, weights: Weights, first: Tree, start: Tree, z: Tree, masks: Masks
) -> Tree:
    """Return the states after each step, one step after the other."""

    def body(carry: Tree, now: tuple[Tree, Masks]) -> tuple[Tree, Tree]:
        z_t, mask = now
        before = carry if mask.fresh is None else choose(mask.fresh, first, carry)
        after = transition(cell, weights, z_t, mask, before)
        return after, after

    return lax.scan(body, start, (z, masks))[1]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def states(cell: Cell, weights: Weights, first: Tree, start: Tree, z: Tree, masks: Masks) -> Tree:
    """Return the states after each step: Newton's where they hold, else the loop's."""
    found, holds = iterate(cell, weights, first, start, z, masks)
    return lax.cond(holds, lambda: found, lambda: sequential(cell, weights, first, start, z, masks))


def forward(
    cell: Cell, weights: Weights, first: Tree, start: Tree, z: Tree, masks: Masks
) -> tuple[Tree, Any]:
    """Return the states, and what the backward pass needs."""
    found = states(cell, weights, first, start, z, masks)
    return found, (weights, first, start, z, masks, found)


def backward(cell: Cell, saved: Any, cotangent: Tree) -> tuple[Any, ...]:
    """Solve the adjoint recurrence, then pull back through every step at once."""
    weights, first, start, z, masks, found = saved
    row, bare = weights.row, weights._replace(row=None)
    before = shifted(found, start, first, masks)
    _, jac = jacobian(partial(transition, cell, weights, z, masks), before)
    jac, many = cleared(jac, masks), range(len(jac))
    ahead = [
        [jnp.concatenate([jac[j][i][1:], jnp.zeros_like(jac[j][i][:1])])[::-1] for j in many]
        for i in many
    ]
    turned = [leaf[::-1] for leaf in jax.tree.leaves(cotangent)]
    back = jax.tree.structure(found).unflatten([leaf[::-1] for leaf in solved(ahead, turned)])

    def once(bare: Weights, start: Tree, z: Tree) -> Tree:
        weights = bare._replace(row=row)
        return transition(cell, weights, z, masks, shifted(found, start, first, masks))

    d_weights, d_start, d_z = jax.vjp(once, bare, start, z)[1](back)
    return d_weights, None, d_start, d_z, None


states.defvjp(forward, backward)


def carries(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, z: tuple[Pre, ...], masks: Masks
) -> Tree:
    """Return the carry after every step of an element-wise recurrence."""
    return states(cell, vectors(weights), first, carry, z, masks)


def loop(
    cell: Cell, weights: Weights, first: Tree, carry: Tree, zx: Tree, masks: Masks, reverse: bool
) -> tuple[Tree, Hiddens]:
    """Run an element-wise recurrence over all steps at once; the signature of `unroll.scan`."""
    return at_once(carries, cell, weights, first, carry, zx, masks, reverse)
