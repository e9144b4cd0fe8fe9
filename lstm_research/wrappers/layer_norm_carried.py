"""Layer norm as TensorFlow has it: a norm a gate on the sum, and a memory that is carried normalised."""

from functools import partial
from typing import Any

import jax.numpy as jnp

from lstm_research.axes import Array, Seed, Tree
from lstm_research.cell import Cell, Pre, Weights
from lstm_research.wrappers.front import shapes
from lstm_research.wrappers.layer_norm import pair, seen, standard


def layer_norm_carried(cell: Cell) -> Cell:
    """Return a cell that normalises each block of z by itself and carries LN(c) instead of c.

    ::

        z_k = LN_k(x W_k + h R_k)              a gain and a shift a block, the shift in place of b_k
        c'  = LN(f c + i g)                    h' = o tanh(c')

    Another system in time than `layer_norm`, which carries c itself. Parameters of an LSTM: 4HD +
    4H^2 + 10H. Raises ValueError for a cell that is not of kind gated or has no memory beside h.
    Source: TensorFlow 1, contrib rnn_cell, LayerNormBasicLSTMCell. Departure: 1e-5 beside the
    variance. A peephole of the output gate sees c before its norm.
    """
    if not cell.opened or "c" not in shapes(cell):
        raise ValueError("norm='layer_carried' needs a cell of kind gated with a memory c beside h")
    return cell._replace(
        init=partial(init, cell), update=partial(update, cell), gates=partial(gates, cell)
    )


def init(cell: Cell, key: Seed, features: int, hidden: int) -> Weights:
    """Draw the weights of the cell inside; its biases become the shifts."""
    weights = cell.init(key, features, hidden)
    assert weights.w is not None and weights.b is not None
    p = weights.p | pair("z", weights.w.shape[-1]) | pair("c", hidden)
    return weights._replace(b=None, p=p | {"shift_z": weights.b})


def update(cell: Cell, weights: Weights, z: tuple[Pre, ...], carry: Tree, **inside: Any) -> Tree:
    """Take the step of the cell inside; carry the memory normalised."""
    (pre,) = z
    norm = inside["view"] = seen(weights)
    new = cell.update(weights, (blockwise(pre, weights.p, carry.c),), carry, **inside)
    return new._replace(c=norm(new.c))


def gates(cell: Cell, weights: Weights, z: tuple[Pre, ...], carry: Tree) -> dict[str, Array]:
    """Return the gates of the cell inside on normalised pre-activations."""
    assert cell.gates is not None  # those of kind gated have them
    return cell.gates(weights, (blockwise(z[0], weights.p, carry.c),), carry)


def blockwise(pre: Pre, p: dict[str, Array], c: Array) -> Pre:
    """Return the pre-activations with each block at its own gain and shift."""
    assert pre.both is not None
    blocks = jnp.split(pre.both, pre.both.shape[-1] // c.shape[-1], -1)
    z = jnp.concatenate([standard(block) for block in blocks], -1)
    return pre._replace(both=z * p["gain_z"] + p["shift_z"])
