"""What a recurrent layer costs, from shapes, and from XLA's own count of one step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lstm_research.axes import Array
from lstm_research.cell import Cell, Weights, drive, sizes
from lstm_research.cell import step as advance


class Cost(NamedTuple):
    """What one layer of one cell costs; operations and bytes of the forward pass."""

    parameters: int
    products: int  # operations of the matrix products of a step of one sequence, a sum is one too
    flops: float | None  # all operations of a step as XLA counts them; None where it does not tell
    transcendentals: float | None  # exp and tanh among them, as XLA counts these
    weight_bytes: int
    carry_bytes: int  # of one sequence
    kept_bytes: int  # of a step of one sequence: what a backward pass keeps at the least


def cost(cell: Cell, features: int, hidden: int) -> Cost:
    """Return the cost of a cell of this width; nothing is computed but one compilation.

    products: 2 a number of every matrix, for each is used once a step. kept_bytes: the
    pre-activations, the new carry and the input of a step; an engine may keep less and run steps again.
    """
    weights = jax.eval_shape(lambda: cell.init(jax.random.key(0), features, hidden))
    assert sizes(cell, weights) == (features, hidden)
    trained = jax.tree.leaves(weights._replace(row=None))
    x = jax.ShapeDtypeStruct((features,), jnp.zeros(()).dtype)
    carry = jax.eval_shape(lambda: cell.start((), hidden))
    zx = jax.eval_shape(lambda weights, x: drive(cell, weights, x[None]), weights, x)
    counted = analysed(cell, weights, carry, x)
    return Cost(
        sum(leaf.size for leaf in trained),
        2 * sum(leaf.size for leaf in trained if leaf.ndim > 1),
        counted.get("flops"),
        counted.get("transcendentals"),
        weight(trained),
        weight(jax.tree.leaves(carry)),
        weight(jax.tree.leaves((zx, carry, x))),
    )


def weight(leaves: list[Array]) -> int:
    """Return the bytes of arrays or of their shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)


def analysed(cell: Cell, weights: Weights, carry: object, x: object) -> dict[str, float]:
    """Return XLA's count of one step of one sequence, the input part in it."""

    def one(weights: Weights, carry: object, x: Array) -> object:
        zx = jax.tree.map(lambda leaf: leaf[0], drive(cell, weights, x[None]))
        return advance(cell, weights, zx, carry)[0]

    found = jax.jit(one).lower(weights, carry, x).cost_analysis()
    return dict(found) if found else {}
