"""The matrix products of a training step, each alone in a loop: the limit that no engine passes.

A job's `product` is (m, k, n) of one product; the batch of a step is split where the process has several
devices, each of which runs its part.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

Call = Callable[[int], float]
Shape = tuple[int, int, int, int]
SQUARE = (2048, 2048, 2048)


def terms(shape: Shape) -> dict[str, tuple[tuple[int, int, int], str, int]]:
    """Return name -> ((m, k, n), the axis that a batch splits, how often in a training step)."""
    batch, steps, features, hidden = shape
    wide, rows = 4 * hidden, batch * steps
    return {
        "h R, a step": ((batch, hidden, wide), "m", steps),
        "dz R', a step": ((batch, wide, hidden), "m", steps),
        "dR, all steps": ((hidden, rows, wide), "k", 1),
        "x W, all steps": ((rows, features, wide), "m", 1),
        "dW, all steps": ((features, rows, wide), "k", 1),
    }


def flops(shape: Shape, train: bool = True) -> int:
    """Return the operations of the products of a training step, or of a forward pass; no dx."""
    found = terms(shape)
    names = found if train else ("h R, a step", "x W, all steps")
    return sum(2 * int(np.prod(found[name][0])) * found[name][2] for name in names)


def make(job: dict[str, Any]) -> Call:
    """Return products a[m, k] b[k, n], each tied to the one before by a single number."""
    (m, k, n), cores = job["product"], jax.device_count()
    dtype = jnp.dtype(job.get("dtype", "float32"))
    if cores > 1:
        m, k = (m // cores, k) if job["split"] == "m" else (m, k // cores)
    key = jax.random.key(0)
    a = jax.random.normal(key, (cores, m, k)).astype(dtype)
    b = jax.random.normal(key, (k, n)).astype(dtype)

    def steps(a: jax.Array, b: jax.Array, count: jax.Array) -> jax.Array:
        def one(_: jax.Array, a: jax.Array) -> jax.Array:
            z = lax.optimization_barrier(a @ b)
            return a.at[0, 0].set(z[0, 0] * jnp.asarray(1e-3, dtype))

        return lax.fori_loop(0, count, one, a[0])[:1, :1]

    if cores > 1:
        whole, split = PartitionSpec(), PartitionSpec("cores")
        mesh = Mesh(np.array(jax.devices()), ("cores",))
        steps = jax.shard_map(
            steps, mesh=mesh, in_specs=(split, whole, whole), out_specs=split, check_vma=False
        )
    run = jax.jit(steps)
    return lambda count: float(jnp.sum(run(a, b, jnp.int32(count))))
