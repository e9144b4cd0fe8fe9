"""The Jacobian of one step along a trajectory: its spectrum, and what products of many leave over."""

# JAX leaves types such as that of `ravel_pytree` unknown: pyright: reportUnknownMemberType=false

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from lstm_research.axes import Array, Float, Tree
from lstm_research.cell import Cell, Weights
from lstm_research.stream import named, step

LARGEST = 2**25  # numbers in all Jacobians of one trajectory


class TooLarge(ValueError):
    """The Jacobians of this cell do not fit; the message says how large they are."""


class Spectrum(NamedTuple):
    """Eigenvalues and singular values of the Jacobian of each step, the largest first."""

    eigenvalues: np.ndarray  # time state, complex
    singular: np.ndarray  # time state


@partial(jax.jit, static_argnums=0)
def jacobians(
    cell: Cell, weights: Weights, first: Tree, x: Float[Array, "time features"]
) -> Float[Array, "time state state"]:
    """Return d carry_t / d carry_{t-1} along one sequence from a carry, the leaves side by side."""
    start, unravel = ravel_pytree(first)

    def advance(flat: Array, x: Array) -> Array:
        return ravel_pytree(step(cell, weights, unravel(flat), x)[0])[0]

    def body(flat: Array, x: Array) -> tuple[Array, Array]:
        return advance(flat, x), jax.jacfwd(advance)(flat, x)

    return jax.lax.scan(body, start, x)[1]


def fitting(carry: Tree, steps: int) -> int:
    """Return the number of last steps whose Jacobians fit; raise TooLarge where not even two do."""
    state = sum(leaf.size for leaf in jax.tree.leaves(carry))
    kept = min(steps, LARGEST // state**2)
    if kept < 2:
        raise TooLarge(f"a carry of {state:,} numbers has Jacobians of {state**2:,}: left out")
    return kept


def spectrum(jacobians: np.ndarray) -> Spectrum:
    """Return the spectrum of the Jacobian of each step."""
    exact = np.asarray(jacobians, np.float64)
    found = np.linalg.eigvals(exact)
    order = np.argsort(-np.abs(found), axis=-1)
    return Spectrum(np.take_along_axis(found, order, -1), np.linalg.svd(exact, compute_uv=False))


def carried(jacobians: np.ndarray, part: slice) -> np.ndarray:
    """Return ||d s_T / d s_{T-k}|| for k = 0 .. T: the largest singular value of that block.

    The product of all Jacobians between the two steps, of which the block is that of one leaf s.
    """
    product = np.eye(jacobians.shape[-1])
    norms = [1.0]
    for one in np.asarray(jacobians, np.float64)[::-1]:
        product = product @ one
        norms.append(float(np.linalg.norm(product[part, part], 2)))
    return np.array(norms)


def parts(carry: Tree) -> dict[str, slice]:
    """Return where each leaf lies in a flattened carry of one sequence."""
    found, at = {}, 0
    for name, leaf in named(carry):
        found[name] = slice(at, at + leaf.size)
        at += leaf.size
    return found


def memory(carry: Tree) -> str:
    """Return the name of the leaf that remembers: c where there is one, else z, h, or the first."""
    names = [name for name, _ in named(carry)]
    return next((name for name in ("c", "z", "h") if name in names), names[0])
