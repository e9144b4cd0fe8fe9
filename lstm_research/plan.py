"""Which runs become which programs, and what that is likely to cost, before the first of them is compiled.

Runs of one signature are one program. Rows of the gated family that differ in their switches alone may
be one program too, their superset: it saves compilations and computes blocks that some rows do not own.
The cheaper of the two by this estimate is taken, unless one is asked for::

    seconds = (programs compile + runs (o + steps step + validations valid)) / cores
    step    = T (a + p w + B (6 p / rate + n e)),   valid = share of a step, sequences / B times

o: what a run costs beside its steps; a: overhead of a step of the recurrence, forward and back; p:
weights, w: seconds to read one; n: columns of its products, e: seconds a column. Kernels of machine code
have a and w of zero, and look at the switches of a superset for nothing; a loop of XLA takes half as long
again there. The constants are those of one core of a shared machine of 2026 while the other one works:
of loops fitted to some 250 runs of hidden sizes from 16 to 200, of kernels to eight of Greff's cells at
32, 64 and 128 units and a batch of 32, which it meets within 16 %; their superset took 1.10, 1.20 and
1.25 times the steps of its rows, 1.20 by the estimate. They matter by their ratios, and for the time
that is announced where no run stops early.
"""

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax

from lstm_research import engines
from lstm_research.config import RunSpec
from lstm_research.effort import LONG
from lstm_research.gated import GateSpec, Switches
from lstm_research.pack import Pack
from lstm_research.signature import Signature, program, signature, united, unites
from lstm_research.superset import Superset

Choice = Literal["auto", "superset", "rows"]
CHOICES = ("auto", "superset", "rows")
COMPILE = 8.0  # seconds of a core for a program that is not kept from before
QUICKLY = 5.0  # of one that does not train for long (`effort.py`)
RUN = 0.08  # seconds of a core that a run costs beside its steps: its start, its folder
FORWARD = 0.35  # a sequence of a validation by one of a training step


class Pace(NamedTuple):
    """What an engine costs, in seconds of a core."""

    step: float  # of the recurrence
    weight: float
    column: float
    rate: float  # products and sums a second
    switches: float  # a step of a superset by one of a row with the same products


PACES: dict[Any, Pace] = {}  # of cells and widths that were asked for
KERNEL, LOOP = Pace(0.0, 0.0, 8e-10, 4.8e10, 1.05), Pace(2e-5, 7.5e-10, 1.1e-9, 6e10, 1.5)


class Group(NamedTuple):
    """Runs that are one program."""

    static: Signature
    over: Switches | None  # of a superset: what its rows agree on
    which: tuple[int, ...]  # places of its runs in the list that was planned
    seconds: float  # of a core, for all its steps
    why: str

    @property
    def long(self) -> bool:
        """Whether its program is worth compiling in full."""
        return self.seconds >= LONG


def plan(
    specs: Sequence[RunSpec], cores: int, choice: Choice = "auto", cost: Callable | None = None
) -> list[Group]:
    """Return the groups of a sweep, the longest first; cost: Signature -> seconds of a training step."""
    cost = step_seconds if cost is None else cost
    alone: dict[Signature, list[int]] = {}
    families: dict[Any, dict[Signature, list[int]]] = {}
    for k, spec in enumerate(specs):
        static = signature(spec)
        alone.setdefault(static, []).append(k)
        if (family := unites(spec)) is not None:
            families.setdefault(family, {})[static] = alone[static]
    found: list[Group] = []
    for rows in families.values():
        found += family_groups(specs, rows, cores, choice, cost)
    grouped = {k for group in found for k in group.which}
    for static, which in alone.items():
        if which[0] not in grouped:
            found.append(group_of(static, which, cost, "one signature"))
    return sorted(found, key=lambda group: -group.seconds)


def family_groups(
    specs: Sequence[RunSpec],
    rows: dict[Signature, list[int]],
    cores: int,
    choice: Choice,
    cost: Callable[[Signature], float],
) -> list[Group]:
    """Return one superset, or a program a row, for rows that may be either."""
    if len(rows) == 1 or choice == "rows":
        return [group_of(static, which, cost, "one row") for static, which in rows.items()]
    which = sorted(k for places in rows.values() for k in places)
    shared = united([specs[places[0]] for places in rows.values()])
    both = group_of(shared, which, cost, "")
    apart = [group_of(static, places, cost, "") for static, places in rows.items()]
    together = whole(both) / min(cores, len(which))
    each = sum(map(whole, apart)) / cores
    said = f"about {spell(together)} as one superset, {spell(each)} as {len(rows)} programs"
    if choice == "superset" or together <= each:
        assert isinstance(shared.cell, Superset)
        return [both._replace(over=shared.cell.over, why=f"superset of {len(rows)} rows: {said}")]
    return [group._replace(why=f"one row: {said}") for group in apart]


def group_of(
    static: Signature, which: Sequence[int], cost: Callable[[Signature], float], why: str
) -> Group:
    """Return a group with the seconds that its runs take at most."""
    each = RUN + steps_of(static) * cost(static)
    return Group(static, None, tuple(which), len(which) * each, why)


def whole(group: Group) -> float:
    """Return the seconds of a core that a group takes with its compilation."""
    return group.seconds + (COMPILE if group.long else QUICKLY)


def steps_of(static: Signature) -> float:
    """Return the training steps of a run, those that its validations and its test cost in it."""
    budget = static.budget
    looks = math.ceil(budget.steps / budget.evaluate_every) + 1
    sequences = getattr(static.task, "held_out", 0)  # of files that a task reads: not known here
    return budget.steps + looks * FORWARD * sequences / budget.batch


def step_seconds(static: Signature) -> float:
    """Return an estimate of the seconds of a core for one training step; 0 where it cannot be built."""
    try:
        made = program(static)
        batch, steps = made.drawn.inputs.shape[:2]
        params, pace = made.shapes, pace_of(static, batch)
    except Exception:  # what is wrong with it becomes the result of its runs
        return 0.0
    matrices = [leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim > 1]
    columns = sum(shape[-1] for shape in matrices)
    weights = sum(shape[-2] * shape[-1] for shape in matrices)
    each = pace.step + weights * pace.weight
    each += batch * (6 * weights / pace.rate + columns * pace.column)
    return steps * each * (pace.switches if isinstance(static.cell, Superset) else 1.0)


def pace_of(static: Signature, batch: int) -> Pace:
    """Return the pace of the engine that a program will have."""
    network, kind = static.network, static.cell
    if isinstance(kind, (GateSpec, Superset)):
        kind = GateSpec  # one row has a kernel where another has, and to find out takes a trace
    key = kind, network.precision, network.engine, network.hidden, batch, network.keep
    if key not in PACES:
        cell = static.cell.build()._replace(precision=network.precision)
        way = engines.chosen(cell, network.engine, network.hidden, batch, keep=network.keep)
        PACES[key] = KERNEL if way.name == "native" else LOOP
    return PACES[key]


def packed(group: Group, under_way: threading.Event | None = None) -> Pack:
    """Return the pack of a group, not yet compiled; under_way: set once it trains."""
    return Pack(program(group.static), len(group.which), under_way=under_way, long=group.long)


def told(groups: Sequence[Group], jobs: int, before: int, cores: int) -> list[str]:
    """Return the plan in words: a line for all, and one for each program."""
    seconds = sum(map(whole, groups)) / cores
    runs = sum(len(group.which) for group in groups)
    there = f", {before} there already" if before else ""
    few = "program" if len(groups) == 1 else "programs"
    lines = [f"{jobs} jobs{there}: {runs} runs in {len(groups)} {few}, about {spell(seconds)}"]
    lines += [f"  {len(g.which)} runs of {kind(g.static.cell)} ({g.why})" for g in groups[:SHOWN]]
    return lines + ([f"  and {len(groups) - SHOWN} more"] if len(groups) > SHOWN else [])


SHOWN = 12  # most programs that a plan lists


def kind(cell: Any) -> str:
    """Return the kind of cell of a signature."""
    return "gated" if isinstance(cell, Superset) else getattr(cell, "kind", None) or cell.cell.kind


def spell(seconds: float) -> str:
    """Return a duration in words: 8 s, 3 min, 2.5 h."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
