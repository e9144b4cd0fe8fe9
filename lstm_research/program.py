"""The training of one static signature as pure functions: K steps a call, batches made on the device.

A batch is a function of (task, seed, step), so that there is nothing to save and nothing to lose. What
only changes numbers (rates, clips, dropout, how weights start) is in the state of a run and no part of
the program: runs that differ in it share one compilation (`pack.py`).
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax

from lstm_research import threefry
from lstm_research.axes import Array, Seed, Tree
from lstm_research.evaluate import carrying, evaluate, loss, metrics
from lstm_research.initial import fold
from lstm_research.network import Network, NetworkSpec, parameters
from lstm_research.optimizer import OptimizerSpec, numbers, optimizer, shaken
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
    rest: Tree  # what the module holds beside parameters: switches, statistics
    optimizer: Tree
    step: Array
    numbers: dict[str, Array]  # of the optimizer and the network, by name; they do not change
    carry: Tree = None  # of the network after the last batch, where the task's rows go on


class Member(NamedTuple):
    """What a run of a program brings: its seed, its cell as it starts, and its numbers."""

    seed: int | Array
    cell: Any
    numbers: Mapping[str, float]


class Program:
    """The training of one static signature: network, task, optimizer, budget, but no seed."""

    def __init__(
        self,
        cell: Any,
        network: NetworkSpec,
        task: Task,
        rule: OptimizerSpec,
        budget: Budget,
        made_of: Any = None,
    ) -> None:
        """Check that the parts belong together; made_of: specs that everything follows from, or None."""
        self.task, self.budget, self.optimizer, self.made_of = task, budget, rule, made_of
        self.own = (cell, dynamic(network, rule))
        self.call = min(budget.evaluate_every, budget.steps, CALL)
        self.network = partial(
            Network,
            spec=network,
            outputs=task.outputs,
            features=task.features,
            vocabulary=task.vocabulary,
            readout=task.readout,
        )
        if rule.input_noise and task.features is None:
            raise ValueError(
                f"optimizer.input_noise needs float inputs, and those of {task.name} are tokens"
            )
        if task.carried and network.bidirectional:
            raise ValueError(
                f"network.bidirectional=true reads a sequence from its end, and those of {task.name} go "
                "on in the next batch"
            )
        model = nnx.eval_shape(lambda: self.network(cell, rngs=nnx.Rngs(0)))
        self.parameters = parameters(model)
        self.recurrent_parameters = parameters(model.layers)
        self.graph, self.shapes, streams, _ = nnx.split(model, nnx.Param, nnx.RngState, ...)
        self.streams = jax.tree.map(unused, streams)
        self.observes = model.cell.build().observe is not None
        self.start = model.start

    @cached_property
    def state(self) -> State:
        """The shapes of a run's state."""
        return jax.eval_shape(self.begin, 0)

    @property
    def drawn(self) -> Batch:
        """The shapes of a training batch."""
        return drawn(self.task, self.budget.batch)

    def member(self, seed: int | Array) -> Member:
        """Return a run of the specs that this program was made from."""
        return Member(seed, *self.own)

    def begin(self, member: Member | int | Array) -> State:
        """Return the state at step 0 of a run; a seed alone stands for `member(seed)`.

        Not compiled as a whole: its pieces are the same for every program of a sweep, and XLA would
        spend seconds on each.
        """
        seed, cell, given = member if isinstance(member, Member) else self.member(member)
        model = self.network(cell, rngs=nnx.Rngs(fold(threefry.key(seed), "parameters")))
        _, params, _, rest = nnx.split(model, nnx.Param, nnx.RngState, ...)
        values = {name: jnp.asarray(value, float) for name, value in given.items()}
        rule = optimizer(self.optimizer, self.budget.steps, values)
        begun, carry = rule.init(params), self.carry(self.budget.batch)
        return State(params, rest, begun, jnp.zeros((), jnp.int32), values, carry)

    def outputs(self, params: Tree, rest: Tree, batch: Batch, key: Seed | None) -> Array:
        """Return the network's outputs; a key turns dropout on, with the rate of the specs."""
        return self.applied(params, rest, batch, key, self.own[1])[0]

    def applied(
        self,
        params: Tree,
        rest: Tree,
        batch: Batch,
        key: Seed | None,
        given: Mapping[str, Any],
        carry: Tree = None,
    ) -> tuple[Array, Tree, Tree]:
        """Return (outputs, rest, carry), the rest with what a cell that observes measured under a key.

        carry: that of the batch before it; None, and None comes back, where rows do not go on.
        """
        model = self.merged(params, rest, copy=self.observes)  # a copy may be changed
        rngs = None if key is None else nnx.Rngs(dropout=key)
        after, outputs = model(
            batch.inputs,
            lengths=batch.lengths,
            resets=batch.resets,
            deterministic=key is None,
            dropout=given.get("dropout"),
            rngs=rngs,
            carry=carry,
            return_carry=True,
        )
        rest = nnx.split(model, nnx.Param, nnx.RngState, ...)[3] if self.observes else rest
        return outputs, rest, after if self.task.carried else None

    def merged(self, params: Tree, rest: Tree, copy: bool = False) -> Network:
        """Return the network of a state."""
        return nnx.merge(self.graph, params, self.streams, rest, copy=copy)

    def batch(self, data: Tree, key: Seed, step: Array) -> Batch:
        """Return the training batch of a step: a function of (data, seed, step) and nothing else."""
        return batch(self.task, self.budget.batch, data, key, step)

    def step(self, state: State, data: Tree, key: Seed) -> tuple[State, tuple[Array, Array]]:
        """Take one training step; return (state, (loss, norm of the gradient)).

        A carry enters as data: no gradient passes from one batch to the one before it.
        """
        batch, given = self.batch(data, key, state.step), state.numbers
        noise = jax.random.fold_in(fold(key, "dropout"), state.step)
        if "input_noise" in given:
            inputs = shaken(batch.inputs, fold(noise, "inputs"), given["input_noise"])
            batch = batch._replace(inputs=inputs)

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Tree]]:
            if "weight_noise" in given:
                params = shaken(params, fold(noise, "weights"), given["weight_noise"])
            outputs, rest, carry = self.applied(
                params, state.rest, batch, noise, given, state.carry
            )
            total, weight = loss(self.task, outputs, batch)
            return total / jnp.maximum(weight, 1e-9), (rest if self.observes else None, carry)

        (value, (rest, carry)), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        rule = optimizer(self.optimizer, self.budget.steps, given)
        updates, moments = rule.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        rest = rest if self.observes else state.rest
        after = State(params, rest, moments, state.step + 1, given, carry)
        return after, (value, optax.tree.norm(grads))

    def steps(
        self, state: State, data: Tree, seed: Array, count: Array
    ) -> tuple[State, Array, Array]:
        """Take `count` steps, at most `call`; return (state, losses, norms), NaN past the count.

        The state that comes back after a non-finite loss is of no use: the run has diverged.
        """
        key = threefry.key(seed)
        blank = jnp.full(self.call, jnp.nan)

        def body(i: Array, loop: tuple[State, Array, Array]) -> tuple[State, Array, Array]:
            state, losses, norms = loop
            state, (value, norm) = self.step(state, data, key)
            return state, losses.at[i].set(value), norms.at[i].set(norm)

        return lax.fori_loop(0, count, body, (state, blank, blank))

    def measured(
        self, params: Tree, rest: Tree, batch: Batch, carry: Tree, parts: int = 1
    ) -> tuple[dict, Tree]:
        """Return the metrics of a batch as (sum, weight), and the carry after it.

        parts: in how many its rows go through the network, which changes no output; parts that stay in
        a processor's cache save a third of the time. Rows that carry on are never parted.
        """
        one = lambda part, carry=None: self.applied(params, rest, part, None, self.own[1], carry)
        if parts == 1 or carry is not None:
            outputs, _, carry = one(batch, carry)
        else:
            parted = jax.tree.map(lambda leaf: leaf.reshape(parts, -1, *leaf.shape[1:]), batch)
            outputs = lax.map(lambda part: one(part)[0], parted)
            outputs = outputs.reshape(-1, *outputs.shape[2:])
        return metrics(self.task, outputs, batch), carry

    @cached_property
    def measure(self) -> Callable[[Tree, Tree, Batch, Tree], tuple[dict, Tree]]:
        """`measured`, compiled for each shape of batch."""
        return jax.jit(self.measured)

    def carry(self, rows: int) -> Tree:
        """Return the carry before the first batch of a split; None where rows do not go on."""
        return self.start(rows) if self.task.carried else None

    def evaluate(self, params: Tree, rest: Tree, split: str) -> dict[str, float]:
        """Return the metrics of a split."""
        batches = held_out(self.task, split)
        measure = partial(self.measure, params, rest)
        return evaluate(carrying(measure, self.carry(batches[0].inputs.shape[0])), batches)


def batch(task: Task, size: int, data: Tree, key: Seed, step: Array) -> Batch:
    """Return the training batch of a step."""
    key = fold(key, "batch")
    if task.draw_at is not None:
        return task.draw_at(data, key, step, size)
    return task.draw(data, jax.random.fold_in(key, step), size)


@lru_cache(maxsize=64)
def drawn(task: Task, size: int) -> Batch:
    """Return the shapes of a training batch, for all programs of a task."""
    draw = lambda data: batch(task, size, data, jax.random.key(0), jnp.int32(0))
    return jax.eval_shape(draw, task.data)


def pieces(rows: int, most: int) -> int:
    """Return into how many equal parts rows fall of at most `most`; 1 where parts would be tiny."""
    fits = max(part for part in range(1, min(rows, most) + 1) if rows % part == 0)
    return rows // fits if 4 * fits >= most else 1


def unused(leaf: jax.ShapeDtypeStruct) -> Array:
    """Return a leaf of a random stream that nobody draws from: each call brings its own keys."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):  # key(0), without a program that makes it
        data = jax.eval_shape(jax.random.key_data, leaf)
        return jax.random.wrap_key_data(jax.device_put(np.zeros(data.shape, data.dtype)))
    return jax.device_put(np.zeros(leaf.shape, leaf.dtype))


def weight(tree: Tree) -> int:
    """Return the bytes of the arrays of a tree, or of their shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def dynamic(network: NetworkSpec, rule: OptimizerSpec) -> dict[str, float]:
    """Return the numbers that a program takes as data; what is off stays out of it."""
    return numbers(rule) | ({"dropout": network.dropout} if network.dropout else {})


@lru_cache(maxsize=16)
def held_out(task: Task, split: str) -> tuple[Batch, ...]:
    """Return the batches of a split, drawn once for all programs of a task."""
    return task.held_out(task.data, split)
