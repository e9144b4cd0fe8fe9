"""Many runs as one program: what runs differ in are arrays with an axis of runs in front.

On a CPU the runs are spread over the cores, each of which takes its runs one after another (`lax.map`):
a batched product would be a serial loop over the batch that cannot stop early. On an accelerator they
go side by side (`vmap`), spread over the devices. Which of the two, and which runs stand beside each
other, changes no result; the tests hold both to the same run alone.

A run alone may have all devices: each takes a share of its batch (`shards.py`), where a step is worth it.

Each run has its own number of steps for a call. One that has ended has 0: it stays what it is, and
costs nothing on a CPU.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lstm_research import effort, kept_program, shards
from lstm_research.axes import Array, Tree
from lstm_research.beginnings import Beginnings
from lstm_research.evaluate import carrying, evaluate
from lstm_research.program import Member, Program, State, held_out, pieces, weight

RUNS, ALL = PartitionSpec("runs"), PartitionSpec()
A_CORE = 8  # runs that a core takes in one call
A_DEVICE = 256  # most runs side by side on an accelerator
WORTH = 200_000  # products and sums in a step from which on devices share a batch
ROOM = 0.6  # share of a device's memory that a pack may fill by the estimate


class Pack:
    """The compiled functions of a program for `width` runs; the devices share them evenly.

    serial: one run after another on each device; None: on a CPU. A width that the devices do not
    divide is rounded up, and one that does not fit their memory is cut. shares: devices that share the
    batch of the one run of a pack of width 1. under_way: an event that others wait for. long: XLA takes its
    time (`effort.py`).
    """

    def __init__(
        self,
        program: Program,
        width: int | None = None,
        devices: Sequence[Any] | None = None,
        serial: bool | None = None,
        shares: int = 1,
        under_way: threading.Event | None = None,
        long: bool = True,
    ) -> None:
        devices = jax.devices() if devices is None else devices
        self.program = program
        self.serial = devices[0].platform == "cpu" if serial is None else serial
        most = fitting(program, devices[0], self.serial)
        wanted = most * len(devices) if width is None else width
        self.devices = list(devices[: max(1, min(len(devices), wanted))])
        self.width = min(most, -(-wanted // len(self.devices))) * len(self.devices)
        self.shares = shares if self.width == 1 else 1
        self.long, self.options = long, effort.options(devices[0].platform, long)
        if self.shares > 1:
            self.devices = list(devices[:shares])
        places = np.array(self.devices).reshape(-1, self.shares)
        self.mesh = Mesh(places, ("runs", shards.AXIS))
        self.under_way = under_way or threading.Event()  # set when its first steps are taken
        self.beginnings = Beginnings(program, self.width == 1, self.known)
        self.measures: dict[Any, Callable[..., Tree]] = {}  # by the shapes of their arguments
        self.compile_s = 0.0
        self.busy_s = 0.0  # seconds that its devices have computed, the mean over them

    def spread(self, each: Callable[..., Tree]) -> Callable[..., Tree]:
        """Return `each(changed, given, common)` for all runs; the first two have the axis of runs."""

        def here(changed: Tree, given: Tree, common: Tree) -> Tree:
            one = lambda run: each(*run, common)
            if self.shares > 1:
                alone = one(jax.tree.map(lambda leaf: leaf[0], (changed, given)))
                return jax.tree.map(lambda leaf: leaf[None], alone)
            return (
                lax.map(one, (changed, given)) if self.serial else jax.vmap(one)((changed, given))
            )

        if self.shares > 1:  # the engines spread the batch by themselves
            return here
        return jax.shard_map(
            here, mesh=self.mesh, in_specs=(RUNS, RUNS, ALL), out_specs=RUNS, check_vma=False
        )

    def compiled(
        self,
        what: tuple,
        each: Callable[..., Tree],
        arguments: Callable[[], tuple],
        donated: int = 0,
    ) -> Callable[..., Tree]:
        """Return `spread(each)` compiled for the shapes of arguments, its results where `place` puts arrays.

        what: all that it follows from beside this pack and its program.
        """
        there = NamedSharding(self.mesh, RUNS)
        with self.at_hand():
            known = self.known(*what)
            every = self.spread(each)
            return kept_program.compiled(known, every, arguments, there, donated, self.options)

    def known(self, *what: Any) -> str | None:
        """Return by what a program of this pack is kept, None where it is not."""
        if self.program.made_of is None:
            return None
        around = self.width, self.serial, self.shares, [device.id for device in self.devices]
        return kept_program.mark(what, self.program.made_of, around, self.options)

    def at_hand(self) -> AbstractContextManager[Any]:
        """Return the context in which the engines find the devices that share a batch."""
        return jax.set_mesh(self.mesh) if self.shares > 1 else nullcontext()

    def place(self, runs: Tree) -> Tree:
        """Return arrays with an axis of runs on the devices that compute them."""
        return jax.device_put(runs, NamedSharding(self.mesh, RUNS))

    @property
    def everywhere(self) -> NamedSharding:
        """Return where arrays lie that all runs read."""
        return NamedSharding(self.mesh, ALL)

    @cached_property
    def data(self) -> Tree:
        """What the task gathers its batches from, on every device."""
        return jax.device_put(self.program.task.data, self.everywhere)

    @cached_property
    def advance(self) -> Callable[..., tuple[State, Array, Array]]:
        """(state, (seeds, counts), data) -> `Program.steps` of each run; compiled once, state donated."""

        def each(state: State, given: tuple[Array, Array], data: Tree) -> tuple:
            return self.program.steps(state, data, *given)

        def arguments() -> tuple:
            state = jax.tree.map(self._shape, self.program.state)
            return state, (self._shape(np.int32(0)), self._shape(np.int32(0))), self.data

        started = time.perf_counter()
        made = self.compiled(("advance",), each, arguments, donated=1)
        self.compile_s += time.perf_counter() - started
        return made

    def measure(self, *arguments: Tree) -> Callable[..., Tree]:
        """Return the program that measures a batch of these shapes, compiled once.

        ((params, rest), (due, carry), batch) -> (metrics as (sum, weight), carry) of each run due.
        """

        def each(model: tuple[Tree, Tree], given: tuple[Array, Tree], batch: Tree) -> tuple:
            due, carry = given
            parts = pieces(batch.inputs.shape[0], self.program.budget.batch) if self.serial else 1
            found = lambda: self.program.measured(*model, batch, carry, parts)
            none = jax.tree.map(
                lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(found)
            )
            return lax.cond(due, found, lambda: none)

        leaves = jax.tree.leaves(arguments)
        key = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if key not in self.measures:
            self.measures[key] = self.compiled(("measure", leaves), each, lambda: arguments)
        return self.measures[key]

    def evaluate(self, model: tuple[Tree, Tree], due: np.ndarray, split: str) -> dict[str, list]:
        """Return each metric of a split, a number a run; of use for the runs that are due."""
        held = held_out(self.program.task, split)
        batches = (jax.device_put(each, self.everywhere) for each in held)
        one = self.program.carry(held[0].inputs.shape[0])
        carry = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (self.width, *leaf.shape)), one)

        def each(batch: Tree, carry: Tree) -> Any:
            arguments = (model, (self.place(due), carry), batch)
            return self.measure(*arguments)(*arguments)

        return evaluate(carrying(each, self.place(carry)), batches)

    def compile_measures(self) -> None:
        """Compile what measures the validation split. Nothing is run: two programs that share devices
        wait for each other for ever where each has begun on one of them.
        """
        held, state = held_out(self.program.task, "valid"), self.program.state
        carry = self.program.carry(held[0].inputs.shape[0])
        model, given = jax.tree.map(
            self._shape, ((state.params, state.rest), (np.bool_(False), carry))
        )
        shape = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self.everywhere)
        for batch in held:
            self.measure(model, given, jax.tree.map(shape, batch))

    def prepare(self, members: Iterable[Member] = ()) -> "Pack":
        """Compile what training needs side by side, ahead of the first run; return self.

        members: the runs that will come, whose first states are drawn meanwhile.
        """
        with ThreadPoolExecutor(3) as threads:
            jobs = [
                threads.submit(lambda: self.advance),
                threads.submit(self.compile_measures),
                threads.submit(self.beginnings.expect, members, self.width),
            ]
            for job in jobs:
                job.result()
        return self

    def begin(self, member: Member) -> State:
        """Return the state at step 0 of a run, drawn by `prepare` or now."""
        return self.beginnings.of(member)

    def _shape(self, leaf: Any) -> jax.ShapeDtypeStruct:
        place = NamedSharding(self.mesh, RUNS)
        return jax.ShapeDtypeStruct((self.width, *leaf.shape), leaf.dtype, sharding=place)


def split(program: Program, devices: Sequence[Any]) -> tuple[int, str]:
    """Return how many devices share the batch of a run alone, and why."""
    many, batch = len(devices), program.budget.batch
    if many == 1:
        return 1, "there is one device"
    if batch % many:
        return 1, f"a batch of {batch} does not divide by {many} devices"
    layers = program.shapes["layers"]
    matrices = [leaf for leaf in jax.tree.leaves(layers) if leaf.ndim > 1]
    work = 2 * batch * sum(leaf.size for leaf in matrices)
    if work < WORTH:
        return (
            1,
            f"a step is {work:,} products and sums, fewer than {WORTH:,}: one device is as fast",
        )
    return (
        many,
        f"a step is {work:,} products and sums: {many} devices take {batch // many} sequences each",
    )


def memory(program: Program) -> tuple[int, int]:
    """Return bytes of one run: (kept between the steps, used in one step), an estimate from shapes."""
    state, batch = program.state, program.drawn
    steps = batch.inputs.shape[0] * batch.inputs.shape[1]
    wide = sum(leaf.shape[-1] for leaf in jax.tree.leaves(state.params) if leaf.ndim > 1)
    return 2 * weight(state), 3 * weight(
        batch
    ) + 4 * steps * 4 * wide  # z, dz, carries and their gradients


def fitting(program: Program, device: Any, serial: bool) -> int:
    """Return how many runs a device takes at once: by its memory, and no more than are of use."""
    most = A_CORE if serial else A_DEVICE
    told = device.memory_stats() if hasattr(device, "memory_stats") else None
    limit = (told or {}).get("bytes_limit")
    if not limit:
        return most
    kept, used = memory(program)
    return max(1, min(most, int(ROOM * limit / (kept + (0 if serial else used)))))
