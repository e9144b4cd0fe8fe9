"""Neighbouring blocks activated by one tanh: written gate by gate, XLA:CPU computes each of them
twice.
"""

import jax.numpy as jnp
from jax import lax

from lstm_research.axes import Array, Float


def activate(
    names: str, z: Float[Array, "*batch blocks"], slope: float | Array = 1.0
) -> dict[str, Array]:
    """Activate neighbouring blocks with one tanh: g by tanh(slope z) / slope, gates by s(z); by
    letter.

    s(z) = tanh(z/2)/2 + 1/2. The barrier keeps XLA:CPU from computing the gates once for c and
    again for h.
    """
    columns = [(slope, 1.0 / slope, 0.0) if name == "g" else (0.5, 0.5, 0.5) for name in names]
    scale, gain, add = (
        jnp.repeat(jnp.stack([jnp.asarray(v, z.dtype) for v in column]), z.shape[-1] // len(names))
        for column in zip(*columns, strict=True)
    )
    return cut(names, lax.optimization_barrier(jnp.tanh(z * scale) * gain + add))


def cut(names: str, z: Float[Array, "*batch blocks"] | None) -> dict[str, Array]:
    """Cut an array into blocks by letter."""
    return {} if z is None else dict(zip(names, jnp.split(z, len(names), axis=-1), strict=True))


def sigmoid(z: Array) -> Array:
    """Return s(z), as `activate` computes it."""
    return jnp.tanh(z * 0.5) * 0.5 + 0.5
