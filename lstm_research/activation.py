"""Neighbouring blocks activated by one tanh: written gate by gate, XLA:CPU computes each of them
twice.
"""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lstm_research.axes import Array, Float

Values = TypeVar("Values")


def once(values: Values) -> Values:
    """Return values that XLA:CPU computes once, not again for each use.

    Elsewhere it is for the compiler to decide: on a GPU a barrier cuts a step into more kernels.
    """
    return lax.optimization_barrier(values) if jax.default_backend() == "cpu" else values


def activate(
    names: str, z: Float[Array, "*batch blocks"], slope: float | Array = 1.0
) -> dict[str, Array]:
    """Activate neighbouring blocks with one tanh: g by tanh(slope z) / slope, gates by s(z); by
    letter.

    s(z) = tanh(z/2)/2 + 1/2. Without `once`, XLA:CPU would compute the gates for c and again for h.
    """
    columns = [(slope, 1.0 / slope, 0.0) if name == "g" else (0.5, 0.5, 0.5) for name in names]
    lib = jnp if isinstance(slope, jax.Array) else np  # numbers need no equations
    scale, gain, add = (
        lib.repeat(lib.stack([lib.asarray(v, z.dtype) for v in column]), z.shape[-1] // len(names))
        for column in zip(*columns, strict=True)
    )
    return cut(names, once(jnp.tanh(z * scale) * gain + add))


def cut(names: str, z: Float[Array, "*batch blocks"] | None) -> dict[str, Array]:
    """Cut an array into blocks by letter."""
    return {} if z is None else dict(zip(names, jnp.split(z, len(names), axis=-1), strict=True))


def sigmoid(z: Array) -> Array:
    """Return s(z), as `activate` computes it."""
    return jnp.tanh(z * 0.5) * 0.5 + 0.5
