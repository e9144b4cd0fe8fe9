"""Calls of JAX: K training steps or forward passes in one program, a pack of runs, a stream.

Where the process has several devices, ours splits its batch itself (`lstm_research.shards`). For a rival
the whole training step is split here and its gradients are averaged, which is what Flax's users write.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec

import lstm_research as lr
from lstm_research import shards, start
from lstm_research.axes import Array, Tree
from race.rivals import RIVALS, Apply, ours, weights

RATE = 0.01
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
    dtype = job.get("dtype", "float32")
    x = jax.random.normal(jax.random.key(0), (steps, batch, features))
    if dtype != "float32":  # operands are rounded, the state is not
        engine = job["rival"].removeprefix("ours, ")
        return *ours(engine, precision=dtype)(cell, held), x
    return *RIVALS[job["rival"]].make(cell, held), x


def train(job: dict[str, Any]) -> Call:
    """Return training steps: forward, backward, gradient descent on the mean of h squared."""
    params, apply, x = parts(job)
    loss: Callable[[Tree, Array], Array] = lambda params, x: jnp.mean(apply(params, x) ** 2)
    objective = jax.value_and_grad(by_pieces(job) if job.get("pieces") else loss)
    average: Callable[[Tree], Tree] = lambda tree: lax.pmean(tree, shards.AXIS)
    several = splits(job)

    def steps(params: Tree, x: Array, count: Array) -> Array:
        def one(_: Array, state: tuple[Tree, Array]) -> tuple[Tree, Array]:
            value, grads = objective(state[0], x)
            if several:
                value, grads = average((value, grads))
            return jax.tree.map(lambda p, g: p - RATE * g, state[0], grads), value

        return lax.fori_loop(0, count, one, (params, jnp.float32(0)))[1]

    runs = job.get("runs")
    if runs:  # a pack: the same program for many sets of weights, each with its own inputs
        params, x = jax.tree.map(lambda leaf: jnp.stack([leaf] * runs), (params, x))
        steps = jax.vmap(steps, (0, 0, None))
    return called(steps, params, x, several)


def by_pieces(job: dict[str, Any]) -> Callable[[Tree, Array], Array]:
    """Return the same mean, added up piece by piece by `lr.accumulate`."""
    batch, steps, _, hidden = job["shape"]
    cell = lr.cell(job.get("cell", "lstm"))

    def loss(held: Tree, x: Array) -> Array:
        carry = cell.start((batch,), hidden, x.dtype)
        total = lr.accumulate(cell, held, carry, x, lambda h: jnp.sum(h**2))[1]
        return total / (batch * steps * hidden)

    return loss


def passes(job: dict[str, Any]) -> Call:
    """Return forward passes, each on inputs that wait for the pass before."""
    params, apply, x = parts(job)
    several = splits(job)

    def steps(params: Tree, x: Array, count: Array) -> Array:
        def one(_: Array, value: Array) -> Array:
            value = jnp.mean(apply(params, x + (TINY * value).astype(x.dtype)) ** 2)
            return lax.pmean(value, shards.AXIS) if several else value

        return lax.fori_loop(0, count, one, jnp.float32(0))

    return called(steps, params, x, several)


def splits(job: dict[str, Any]) -> bool:
    """Return whether the step is split here, not in the package."""
    return jax.device_count() > 1 and (
        bool(job.get("whole")) or not job["rival"].startswith("ours")
    )


def called(steps: Callable[..., Array], params: Tree, x: Array, split: bool) -> Call:
    """Compile steps(params, x, count), the batch over the devices where there are several."""
    cores, mesh = jax.device_count(), shards.mesh()
    if cores > 1 and x.shape[-2] % cores:
        raise ValueError(f"a batch of {x.shape[-2]} does not split over {cores} devices")
    if split:
        whole, parts = PartitionSpec(), PartitionSpec(None, shards.AXIS)
        steps = jax.shard_map(
            steps, mesh=mesh, in_specs=(whole, parts, whole), out_specs=whole, check_vma=False
        )
    run = jax.jit(steps)

    def call(count: int) -> float:
        with contextlib.nullcontext() if split or cores == 1 else jax.set_mesh(mesh):
            return float(jnp.mean(run(params, x, jnp.int32(count))))

    return call


def stream(job: dict[str, Any]) -> Call:
    """Return single steps: an array of NumPy in, one out, the carry kept between.

    `single`: by `lr.step`, a program of JAX, else by `lr.Stream`.
    """
    start.serve()
    _, _, x = parts(job)
    cell = lr.cell("lstm")
    held = jax.tree.map(jnp.asarray, weights("lstm", *job["shape"][2:]))
    inputs = [np.asarray(now) for now in x]
    first = cell.start((x.shape[1],), job["shape"][3], x.dtype)

    def program(count: int) -> float:
        carry, h = first, np.zeros(())
        for i in range(count):
            carry, h = lr.step(cell, held, carry, inputs[i % len(inputs)])
            h = np.asarray(h)
        return float(np.mean(np.square(h)))

    if job.get("single"):
        return program
    step = lr.Stream(cell, held, first)

    def call(count: int) -> float:
        h = np.zeros(())
        for i in range(count):  # it goes on where the call before ended
            h = step(inputs[i % len(inputs)])
        return float(np.mean(np.square(h)))

    return call


def sequence(job: dict[str, Any]) -> Call:
    """Return whole sequences: an array of NumPy in, one out."""
    start.serve()
    params, apply, x = parts(job)
    inputs, run = np.asarray(x), jax.jit(apply)

    def call(count: int) -> float:
        h = np.zeros(())
        for _ in range(count):
            h = np.asarray(run(params, inputs))
        return float(np.mean(np.square(h)))

    return call
