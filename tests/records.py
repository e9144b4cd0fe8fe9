"""Runs made up for the tests of tables: records as the store would give them back."""

from pathlib import Path

import numpy as np

from lstm_research.entry import Entry, Versus
from lstm_research.store import RESULT_KEYS, Record, failure
from lstm_research.table import Table, table

LSTM = {"kind": "gated", "coupled": False, "forget_bias": 1.0, "peephole": None}
CELLS = {
    "lstm": LSTM,
    "vanilla": LSTM,
    "cifg": LSTM | {"coupled": True},
    "greff/np": LSTM | {"peephole": "io"},
    "elman": {"kind": "elman", "squash": "tanh"},
    "gru": {"kind": "gru", "reset": {"after": True}},
}
TASKS = {
    "adding": {"kind": "adding", "length": 100},
    "copying": {"kind": "copying", "lag": 50},
    "parity": {"kind": "parity", "length": 20},
}
GOALS = {"adding": ("mse", "min"), "copying": ("accuracy", "max"), "parity": ("accuracy", "max")}
AROUND = {"commit": "abcdef1234", "dirty": False, "versions": {"jax": "0.10.1"}, "device": "cpu"}


def record(
    cell: str | dict = "lstm",
    task: str | dict = "adding",
    seed=0,
    value=0.1,
    status="finished",
    **changes,
) -> Record:
    """A run as the store would give it back; `cell` and `task` are names or dicts."""
    result_changes = {key: changes.pop(key) for key in (*RESULT_KEYS, "success") if key in changes}
    around, study = changes.pop("environment", AROUND), changes.pop("study", "gates")
    kind = task if isinstance(task, str) else task["kind"]
    metric, goal = GOALS[kind]
    spec = {
        **{"study": study, "cell": CELLS[cell] if isinstance(cell, str) else cell},
        **{"task": TASKS[task] if isinstance(task, str) else task, "network": {"hidden": 64}},
        **{
            "optimizer": {"name": "adam", "rate": 1e-3},
            "budget": {"steps": 400, "batch": 8},
            "seed": seed,
        },
    } | changes
    result = dict.fromkeys(RESULT_KEYS) | {
        **{"status": status, "steps": 400, "metric": metric, "goal": goal, "parameters": 17281},
        **{
            "metrics": {"test": {metric: value}, "valid": {metric: value and 2 * value}},
            "step_ms": 1.2,
        },
        **{"chance": {metric: 1 / 6}, "solved_at": 7 if status == "solved" else None},
    }
    if status == "failed":
        result = failure("MemoryError: ")
    ended = result | result_changes if status != "unfinished" else None
    path = Path("runs") / study / f"{cell}-{task}-{seed}-{changes}"
    return Record(path, study, spec, around, ended, status)


def seeds(values, **options) -> list[Record]:
    return [record(seed=seed, value=value, **options) for seed, value in enumerate(values)]


def made(*groups, **options) -> Table:
    return table([each for group in groups for each in group], CELLS, TASKS, **options)


def only(found: Table) -> Entry:
    """The entry of a table that has one."""
    ((entry,),) = [row.entries for row in found.rows]
    assert entry is not None
    return entry


def busy(variants: int = 5, tasks=TASKS, **options) -> Table:
    """A table as a study makes it: five seeds each, some diverged, sizes that differ by task."""
    rng = np.random.default_rng(0)
    groups = []
    for number in range(variants):
        cell = LSTM | {"forget_bias": float(number)}
        for size, task in enumerate(tasks):
            scale = 1e-4 if (number, size) == (1, 0) else 1.0
            values = scale * rng.uniform(0.1, 0.2, size=5)
            sizes = {"parameters": 17_000 + size, "step_ms": 1.0 + size}
            found = [record(cell, task, seed, value, **sizes) for seed, value in enumerate(values)]
            found[0] = record(
                cell, task, 0, status="diverged" if number == 2 else "solved", **sizes
            )
            groups.append(found)
    return made(*groups, **options)


def at(found: Table, row: int, column: int = 0) -> Entry:
    """The entry of a table in one place."""
    entry = found.rows[row].entries[column]
    assert entry is not None
    return entry


def against(found: Table, row: int) -> Versus:
    """The comparison of a row with the baseline."""
    versus = at(found, row).versus
    assert versus is not None
    return versus
