"""Calls of JAX: K training steps or forward passes in one program, a pack of runs, a stream.

Where the process has several devices, the batch is split over them and the gradients are averaged: the
same for every rival.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

import lstm_research as lr
from lstm_research.axes import Array, Tree
from race.rivals import RIVALS, Apply, weights

RATE = 0.01
SCALE = 2.0**16  # of the loss in float16, whose smallest number would swallow the gradients
TINY = 1e-30  # ties a pass to the one before it, so that no compiler runs them once
Call = Callable[[int], float]


def make(job: dict[str, Any]) -> Call:
    """Return the call that a job describes."""
    return {"train": train, "forward": passes, "step": stream, "sequence": sequence}[job["work"]](
        job
    )


def parts(job: dict[str, Any]) -> tuple[Tree, Apply, Array]:
    """Return parameters, the function of h, and the inputs, `time batch features`."""
    batch, steps, features, hidden = job["shape"]
    cell = job.get("cell", "lstm")
    held = weights(cell, features, hidden)
    if job.get("bare"):  # without the products of R: what is left is the loop and its gates
        held = held._replace(r=tuple(None for _ in held.r))
    params, apply = RIVALS[job["rival"]].make(cell, held)
    dtype = jnp.dtype(job.get("dtype", "float32"))
    x = jax.random.normal(jax.random.key(0), (steps, batch, features)).astype(dtype)

    def cast(params: Tree, x: Array) -> Array:
        return apply(jax.tree.map(lambda p: p.astype(dtype), params), x).astype(jnp.float32)

    return params, apply if dtype == jnp.float32 else cast, x


def train(job: dict[str, Any]) -> Call:
    """Return training steps: forward, backward, gradient descent on the mean of h squared."""
    params, apply, x = parts(job)
    scale = SCALE if job.get("dtype") == "float16" else 1.0
    objective = jax.value_and_grad(lambda params, x: scale * jnp.mean(apply(params, x) ** 2))
    average: Callable[[Tree], Tree] = lambda tree: lax.pmean(tree, "cores")
    several = jax.device_count() > 1

    def steps(params: Tree, x: Array, count: Array) -> Array:
        def one(_: Array, state: tuple[Tree, Array]) -> tuple[Tree, Array]:
            value, grads = objective(state[0], x)
            if several:
                value, grads = average((value, grads))
            return jax.tree.map(lambda p, g: p - RATE / scale * g, state[0], grads), value / scale

        return lax.fori_loop(0, count, one, (params, jnp.float32(0)))[1]

    runs = job.get("runs")
    if runs:  # a pack: the same program for many sets of weights
        params = jax.tree.map(lambda p: jnp.stack([p] * runs), params)
        steps = jax.vmap(steps, (0, None, None))
    return called(steps, params, x)


def passes(job: dict[str, Any]) -> Call:
    """Return forward passes, each on inputs that wait for the pass before."""
    params, apply, x = parts(job)
    several = jax.device_count() > 1

    def steps(params: Tree, x: Array, count: Array) -> Array:
        def one(_: Array, value: Array) -> Array:
            value = jnp.mean(apply(params, x + (TINY * value).astype(x.dtype)) ** 2)
            return lax.pmean(value, "cores") if several else value

        return lax.fori_loop(0, count, one, jnp.float32(0))

    return called(steps, params, x)


def called(steps: Callable[..., Array], params: Tree, x: Array) -> Call:
    """Compile steps(params, x, count), the batch over the devices where there are several."""
    cores = jax.device_count()
    if cores > 1:
        if x.shape[1] % cores:
            raise ValueError(f"a batch of {x.shape[1]} does not split over {cores} devices")
        whole, split = PartitionSpec(), PartitionSpec(None, "cores")
        mesh = Mesh(np.array(jax.devices()), ("cores",))
        steps = jax.shard_map(
            steps, mesh=mesh, in_specs=(whole, split, whole), out_specs=whole, check_vma=False
        )
    run = jax.jit(steps)
    return lambda count: float(jnp.mean(run(params, x, jnp.int32(count))))


def stream(job: dict[str, Any]) -> Call:
    """Return single steps: an array of NumPy in, one out, the carry kept between."""
    _, _, x = parts(job)
    cell = lr.cell("lstm")
    held = jax.tree.map(jnp.asarray, weights("lstm", *job["shape"][2:]))
    inputs = [np.asarray(now) for now in x]
    start = cell.start((x.shape[1],), job["shape"][3], x.dtype)
    lr.step(cell, held, start, inputs[0])

    def call(count: int) -> float:
        carry, h = start, np.zeros(())
        for i in range(count):
            carry, h = lr.step(cell, held, carry, inputs[i % len(inputs)])
            h = np.asarray(h)
        return float(np.mean(np.square(h)))

    return call


def sequence(job: dict[str, Any]) -> Call:
    """Return whole sequences: an array of NumPy in, one out."""
    params, apply, x = parts(job)
    inputs, run = np.asarray(x), jax.jit(apply)

    def call(count: int) -> float:
        h = np.zeros(())
        for _ in range(count):
            h = np.asarray(run(params, inputs))
        return float(np.mean(np.square(h)))

    return call
