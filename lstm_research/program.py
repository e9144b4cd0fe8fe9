"""The compiled training of one static signature: K steps a call, batches made on the device.

A batch is a function of (task, seed, step), so that there is nothing to save and nothing to lose; seeds
share the program, and the host looks only between calls.
"""

import dataclasses
import time
from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax

from lstm_research.axes import Array, Seed, Tree
from lstm_research.evaluate import evaluate, loss, metrics
from lstm_research.initial import fold
from lstm_research.network import Network, NetworkSpec, parameters
from lstm_research.optimizer import OptimizerSpec, optimizer, shaken
from lstm_research.tasks.task import Batch, Task

CALL = 100  # most training steps between two looks of the host


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long a run may train and when it may stop."""

    steps: int = 2000
    batch: int = 32  # sequences a step
    evaluate_every: int = 200  # steps
    patience: int | None = None  # evaluations without a better validation; null: no such stop
    stop_when_solved: bool = True  # false: train on after the task's success

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "evaluate_every", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} must be at least 1")


class State(NamedTuple):
    """What a run carries from step to step."""

    params: Tree
    rest: Tree  # what the module holds beside parameters: switches, statistics, random streams
    optimizer: Tree
    step: Array


class Program:
    """The compiled training of one static signature: network, task, optimizer, budget, but no seed."""

    def __init__(
        self, cell: Any, network: NetworkSpec, task: Task, rule: OptimizerSpec, budget: Budget
    ) -> None:
        self.task, self.budget = task, budget
        self.call = min(budget.evaluate_every, budget.steps, CALL)
        self.network = partial(
            Network,
            cell,
            network,
            outputs=task.outputs,
            features=task.features,
            vocabulary=task.vocabulary,
            readout=task.readout,
        )
        self.rule, self.weight_noise = optimizer(rule, budget.steps), rule.weight_noise
        self.compile_s = 0.0
        model = nnx.eval_shape(lambda: self.network(rngs=nnx.Rngs(0)))
        self.parameters = parameters(model)
        self.recurrent_parameters = parameters(model.layers)
        self.graph = nnx.split(model, nnx.Param, ...)[0]
        self.observes = model.cell.build().observe is not None

    def begin(self, seed: Array) -> State:
        """Return the state at step 0 of a seed.

        Not compiled as a whole: its pieces are the same for every program of a sweep, and XLA would
        spend seconds on each.
        """
        model = self.network(rngs=nnx.Rngs(fold(jax.random.key(seed), "parameters")))
        _, params, rest = nnx.split(model, nnx.Param, ...)
        return State(params, rest, self.rule.init(params), jnp.zeros((), jnp.int32))

    def outputs(self, params: Tree, rest: Tree, batch: Batch, key: Seed | None) -> Array:
        """Return the network's outputs; a key turns dropout on."""
        return self.applied(params, rest, batch, key)[0]

    def applied(
        self, params: Tree, rest: Tree, batch: Batch, key: Seed | None
    ) -> tuple[Array, Tree]:
        """Return (outputs, rest), the rest with what a cell that observes measured under a key."""
        model = nnx.merge(self.graph, params, rest, copy=self.observes)  # a copy may be changed
        rngs = None if key is None else nnx.Rngs(dropout=key)
        outputs = model(
            batch.inputs,
            lengths=batch.lengths,
            resets=batch.resets,
            deterministic=key is None,
            rngs=rngs,
        )
        return outputs, nnx.split(model, nnx.Param, ...)[2] if self.observes else rest

    def batch(self, data: Tree, key: Seed, step: Array) -> Batch:
        """Return the training batch of a step: a function of (data, seed, step) and nothing else."""
        key, size = fold(key, "batch"), self.budget.batch
        if self.task.draw_at is not None:
            return self.task.draw_at(data, key, step, size)
        return self.task.draw(data, jax.random.fold_in(key, step), size)

    def step(self, state: State, data: Tree, key: Seed) -> tuple[State, tuple[Array, Array]]:
        """Take one training step; return (state, (loss, norm of the gradient))."""
        batch = self.batch(data, key, state.step)
        noise = jax.random.fold_in(fold(key, "dropout"), state.step)

        def objective(params: Tree) -> tuple[Array, Tree]:
            params = shaken(params, fold(noise, "weights"), self.weight_noise)
            outputs, rest = self.applied(params, state.rest, batch, noise)
            total, weight = loss(self.task, outputs, batch)
            return total / jnp.maximum(weight, 1e-9), rest if self.observes else None

        (value, rest), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        updates, rule = self.rule.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        rest = rest if self.observes else state.rest
        return State(params, rest, rule, state.step + 1), (value, optax.tree.norm(grads))

    def steps(
        self, state: State, data: Tree, seed: Array, count: Array
    ) -> tuple[State, Array, Array]:
        """Take `count` steps, at most `call`; return (state, losses, norms), NaN past the count.

        The state that comes back after a non-finite loss is of no use: the run has diverged.
        """
        key = jax.random.key(seed)
        blank = jnp.full(self.call, jnp.nan, jnp.float32)

        def body(i: Array, loop: tuple[State, Array, Array]) -> tuple[State, Array, Array]:
            state, losses, norms = loop
            state, (value, norm) = self.step(state, data, key)
            return state, losses.at[i].set(value), norms.at[i].set(norm)

        return lax.fori_loop(0, count, body, (state, blank, blank))

    @cached_property
    def advance(self) -> Callable[..., tuple[State, Array, Array]]:
        """`steps`, compiled once with the state donated; counts its seconds in `compile_s`."""
        started = time.perf_counter()
        example = (jax.eval_shape(self.begin, 0), self.task.data, jnp.int32(0), jnp.int32(1))
        compiled = jax.jit(self.steps, donate_argnums=0).lower(*example).compile()
        self.compile_s = time.perf_counter() - started
        return compiled

    @cached_property
    def measure(self) -> Callable[[Tree, Tree, Batch], dict]:
        """(parameters, rest, batch) -> metrics as (sum, weight), compiled for each shape of batch."""

        def measure(params: Tree, rest: Tree, batch: Batch) -> dict:
            return metrics(self.task, self.outputs(params, rest, batch, None), batch)

        return jax.jit(measure)

    def evaluate(self, params: Tree, rest: Tree, split: str) -> dict[str, float]:
        """Return the metrics of a split."""
        return evaluate(partial(self.measure, params, rest), held_out(self.task, split))


@lru_cache(maxsize=16)
def held_out(task: Task, split: str) -> tuple[Batch, ...]:
    """Return the batches of a split, drawn once for all programs of a task."""
    return task.held_out(task.data, split)
