"""One step at a time: what a service does that sees a sequence as it comes.

A carry is all that there is to keep between steps. It can be written to a file and read by another
process; a sequence in pieces is the sequence, whatever the pieces.
"""

# `jax.jit` forgets signatures: pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Float, Tree
from lstm_research.blockwise import Unblockable
from lstm_research.cell import Cell, Weights, drive, sizes
from lstm_research.cell import step as advance
from lstm_research.engines import machine_code


@partial(jax.jit, static_argnums=0)
def step(
    cell: Cell, weights: Weights, carry: Tree, x: Float[Array, "*batch features"]
) -> tuple[Tree, Float[Array, "*batch hidden"]]:
    """Take one step and return (carry, h): `unroll` over one input, without its checks.

    x is `*batch features`, h is `*batch hidden`; noise is off.
    """
    zx = jax.tree.map(lambda leaf: leaf[0], drive(cell, weights, x[None]))
    carry, _ = advance(cell, weights, zx, carry)
    return carry, cell.emit(carry)


class Stream:
    """A recurrence that takes an input as it comes and keeps its carry: for a service.

    stream(x) takes one step and returns h: x is `*batch features`, h is `*batch hidden`, arrays of NumPy.
    On a CPU, in float32, a cell with a kernel takes a step as machine code that Python calls; any
    other as a program of JAX (`step`). `stream.carry` is a copy of what it holds: save it, or go on from
    it elsewhere. Noise is off. Not for several threads at once.
    """

    def __init__(self, cell: Cell, weights: Weights, carry: Tree) -> None:
        """Begin with a carry, for instance `cell.start(batch, hidden)`."""
        self.cell, self.weights = cell, jax.tree.map(jnp.asarray, weights)
        self.features = sizes(cell, weights)[0]
        self.batch = jax.tree.leaves(carry)[0].shape[:-1]
        self.begun: Tree = carry
        self.stepper = stepper(cell, self.weights, carry)

    def __call__(self, x: Any) -> np.ndarray:
        """Take one step; raise ValueError where x has another shape than the carry goes with."""
        x = np.asarray(x)
        if x.shape != (*self.batch, self.features):
            raise ValueError(
                f"x has shape {x.shape}; this stream takes {(*self.batch, self.features)}"
            )
        if self.stepper is not None:
            return self.stepper(x)
        self.begun, h = step(self.cell, self.weights, self.begun, x)
        return np.asarray(h)

    @property
    def carry(self) -> Tree:
        """Return what the next step begins with."""
        return self.begun if self.stepper is None else self.stepper.carry


def stepper(cell: Cell, weights: Weights, carry: Tree) -> Any:
    """Return what takes a step as machine code, None where that cannot be."""
    if machine_code() is None:
        return None
    from lstm_research import native_stream

    if not native_stream.serves(cell, weights, carry):
        return None
    try:
        return native_stream.Stepper(cell, weights, carry)
    except Unblockable:
        return None


def save_carry(path: str | Path, carry: Tree) -> None:
    """Write a carry to a file of NumPy (`.npz`), a name for each leaf, without pickle."""
    leaves: Any = {name: np.asarray(leaf) for name, leaf in named(carry)}
    with open(path, "wb") as file:
        np.savez(file, **leaves)


def load_carry(path: str | Path, like: Tree) -> Tree:
    """Return the carry in a file; `like` is a carry of the same cell, for instance its start.

    Raises ValueError that names the file where its leaves are not those of `like`; the batch may
    differ.
    """
    with np.load(path, allow_pickle=False) as found:
        names = [name for name, _ in named(like)]
        if sorted(found.files) != sorted(names):
            raise ValueError(
                f"{path} holds a carry of {', '.join(sorted(found.files))}; this cell carries "
                f"{', '.join(sorted(names))}"
            )
        for name, leaf in named(like):
            if found[name].shape[-1:] != leaf.shape[-1:]:
                raise ValueError(
                    f"{path}: {name} is {found[name].shape[-1]} wide; this cell needs {leaf.shape[-1]}"
                )
        leaves = [jnp.asarray(found[name]) for name in names]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def named(carry: Tree) -> list[tuple[str, Array]]:
    """Return the leaves of a carry by name."""
    flat, _ = jax.tree_util.tree_flatten_with_path(carry)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in flat]
