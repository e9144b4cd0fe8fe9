"""Training as one compiled program: K steps a call, batches made on the device from (task, seed,
step).

A `Program` is what one static signature compiles to; seeds share it. `fit` is the host's loop
around it: advance, evaluate, stop. It touches neither disk nor console; what it sees goes to
`record`.
"""

import dataclasses
import itertools
import math
import statistics
import time
from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax

from lstm_research.axes import Array, Seed, Tree
from lstm_research.evaluate import evaluate, loss, metrics
from lstm_research.initial import fold
from lstm_research.network import Network, NetworkSpec, parameters
from lstm_research.optimizer import OptimizerSpec, optimizer
from lstm_research.tasks.task import Batch, Success, Task

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
    rest: (
        Tree  # what the module holds beside parameters: rows of switches, streams of random numbers
    )
    optimizer: Tree
    step: Array


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a run; `metrics` holds the splits valid and test at the best step."""

    status: str  # finished | solved | diverged
    steps: int
    solved_at: int | None
    diverged_at: int | None
    best_step: int | None
    metric: str
    goal: str
    chance: dict[str, float]
    success: Success | None
    metrics: dict[str, dict[str, float]]
    parameters: int
    recurrent_parameters: int
    step_ms: float | None
    compile_s: float
    train_s: float
    params: Tree = dataclasses.field(default=None, repr=False, compare=False)


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
        model = nnx.merge(self.graph, params, rest)
        rngs = None if key is None else nnx.Rngs(dropout=key)
        return model(
            batch.inputs,
            lengths=batch.lengths,
            resets=batch.resets,
            deterministic=key is None,
            rngs=rngs,
        )

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

        def objective(params: Tree) -> Array:
            params = shaken(params, fold(noise, "weights"), self.weight_noise)
            total, weight = loss(self.task, self.outputs(params, state.rest, batch, noise), batch)
            return total / jnp.maximum(weight, 1e-9)

        value, grads = jax.value_and_grad(objective)(state.params)
        updates, rule = self.rule.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(params, state.rest, rule, state.step + 1), (value, optax.tree.norm(grads))

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


def shaken(params: Tree, key: Seed, deviation: float) -> Tree:
    """Return weights plus Gaussian noise, fresh at every step (Graves 2011; Jim, Giles & Horne 1996)."""
    if not deviation:
        return params
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        deviation * jax.random.normal(k, x.shape, x.dtype)
        for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, [x + d for x, d in zip(leaves, drawn, strict=True)])


class Track(NamedTuple):
    """The best evaluation so far."""

    step: int | None = None
    metrics: dict[str, float] | None = None
    model: tuple[Tree, Tree] | None = None  # parameters and rest
    stale: int = 0  # evaluations since

    def after(self, task: Task, step: int, found: dict[str, float], state: State) -> "Track":
        """Return the track with one more evaluation."""
        sign = 1 if task.goal == "max" else -1
        if self.metrics is None or sign * found[task.metric] > sign * self.metrics[task.metric]:
            return Track(step, found, jax.tree.map(jnp.copy, (state.params, state.rest)))
        return self._replace(stale=self.stale + 1)


def fit(
    program: Program,
    seed: int,
    *,
    record: Callable[[dict], None] = lambda event: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Result:
    """Train one run and return its result at the best validation.

    Stops when validation meets the task's success, after `patience` evaluations without a better
    one, at the end of the budget, or at the first non-finite loss, which makes the run `diverged`:
    a result, not an error. `record` gets one dict for each call and each evaluation.
    """
    task, budget = program.task, program.budget
    fresh = "advance" not in program.__dict__
    advance, state = program.advance, program.begin(jnp.int32(seed))
    started, paces, track = clock(), [], Track()
    solved = diverged = None
    at = 0
    while at < budget.steps and diverged is None:
        count = min(
            program.call, budget.steps - at, budget.evaluate_every - at % budget.evaluate_every
        )
        before = clock()
        state, losses, norms = advance(state, task.data, jnp.int32(seed), jnp.int32(count))
        values = np.asarray(losses)[:count].tolist()
        paces.append((clock() - before) / count)
        good = list(itertools.takewhile(math.isfinite, values))
        at += len(good)
        mean = statistics.fmean(good) if good else math.nan
        norm = float(norms[max(len(good) - 1, 0)])
        record({"step": at, "split": "train", "loss": mean, "gradient_norm": norm})
        if len(good) < count:
            diverged = at
        elif at % budget.evaluate_every == 0 or at == budget.steps:
            found = program.evaluate(state.params, state.rest, "valid")
            record({"step": at, "split": "valid", **found})
            track = track.after(task, at, found, state)
            if not math.isfinite(found[task.metric]):
                diverged = at
            elif solved is None and task.success is not None and task.success.holds(found):
                solved = at
            if solved is not None and budget.stop_when_solved:
                break
            if budget.patience is not None and track.stale >= budget.patience:
                break
    ends = Ends(at, solved, diverged)
    return conclude(program, ends, track, clock() - started, paces, fresh)


class Ends(NamedTuple):
    """The steps at which a run stopped, first met the task's success, and turned non-finite."""

    at: int
    solved: int | None
    diverged: int | None


def conclude(
    program: Program, ends: Ends, track: Track, seconds: float, paces: list[float], fresh: bool
) -> Result:
    """Return the result of a run that has stopped; a diverged one has no test metrics."""
    task, ended = program.task, {}
    if ends.diverged is None and track.metrics is not None and track.model is not None:
        ended = {"valid": track.metrics, "test": program.evaluate(*track.model, "test")}
    solved = "solved" if ends.solved is not None else "finished"
    return Result(
        status=solved if ends.diverged is None else "diverged",
        steps=ends.at,
        solved_at=ends.solved,
        diverged_at=ends.diverged,
        best_step=track.step,
        metric=task.metric,
        goal=task.goal,
        chance=dict(task.chance),
        success=task.success,
        metrics=ended,
        parameters=program.parameters,
        recurrent_parameters=program.recurrent_parameters,
        step_ms=1e3 * statistics.median(paces[1:] or paces),
        compile_s=program.compile_s if fresh else 0.0,
        train_s=seconds,
        params=track.model[0] if track.model else None,
    )
