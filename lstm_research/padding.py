"""Arrays padded to what a kernel holds, and cut back: units to a power of two, rows to whole slices."""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lstm_research.axes import Array, Tree

LEAST = 16  # units: the shortest side that a matrix unit takes


def power(hidden: int) -> int:
    """Return the width of a block that holds `hidden` units."""
    return max(LEAST, 1 << (hidden - 1).bit_length())


class Fit(NamedTuple):
    """The sizes on both sides: blocks of `hidden` units in `batch` rows, slices of `slice` rows."""

    hidden: int
    batch: int
    slice: int

    def rows(self, tree: Tree) -> list[Array]:
        """Return arrays of `rows width` with dead rows and units."""
        return [self.units(self.whole(leaf)) for leaf in jax.tree.leaves(tree)]

    def masks(self, tree: Tree, dtype: Any) -> Tree:
        """Return masks as numbers; what a dead row does is of no consequence."""
        return jax.tree.map(lambda leaf: self.whole(leaf).astype(dtype), tree)

    def vectors(self, tree: Tree) -> list[Array]:
        """Return vectors as one row, numbers as one by one, choices as integers."""
        flat = [leaf.astype(int) if leaf.dtype == bool else leaf for leaf in jax.tree.leaves(tree)]
        return [self.units(leaf.reshape(1, -1)) for leaf in flat]

    def matrices(self, tree: Tree) -> list[Array]:
        """Return matrices with dead rows and columns in each block."""
        return [self.units(self.units(leaf).T).T for leaf in jax.tree.leaves(tree)]

    def back(self, leaves: list[Array]) -> list[Array]:
        """Return arrays of `rows width` without dead rows and units."""
        wide, made = power(self.hidden), []
        for leaf in leaves:
            kept = leaf[..., : self.batch, :]
            if wide != self.hidden and leaf.shape[-1] % wide == 0:
                parts = kept.reshape(*kept.shape[:-1], -1, wide)[..., : self.hidden]
                kept = parts.reshape(*kept.shape[:-1], -1)
            made.append(kept)
        return made

    def whole(self, leaf: Array) -> Array:
        """Return an array whose last axis but one is a multiple of a slice."""
        short = -leaf.shape[-2] % self.slice
        pads = [(0, 0)] * (leaf.ndim - 2) + [(0, short), (0, 0)]
        return jnp.pad(leaf, pads) if short else leaf

    def units(self, leaf: Array) -> Array:
        """Return an array with dead units after each block of its last axis; one number stays one."""
        short = power(self.hidden) - self.hidden
        if not short or leaf.shape[-1] % self.hidden:
            return leaf
        parts = leaf.reshape(*leaf.shape[:-1], -1, self.hidden)
        parts = jnp.pad(parts, [(0, 0)] * leaf.ndim + [(0, short)])
        return parts.reshape(*leaf.shape[:-1], -1)


def reshaped(batch: tuple[int, ...], axes: int, skipped: int, tree: Tree) -> Tree:
    """Return arrays with other batch axes, which follow the first `skipped` axes."""
    return jax.tree.map(
        lambda leaf: leaf.reshape(*leaf.shape[:skipped], *batch, *leaf.shape[skipped + axes :]),
        tree,
    )
