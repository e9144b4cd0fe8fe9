"""One example of a task, as text and as a picture."""

from typing import Any

import jax
import numpy as np

from lstm_research.heatmap import Heading, Panel, heatmap
from lstm_research.tasks.task import Batch, Task

ROW = 16  # numbers of a line of text
FEW = 12  # features up to which each has a line of its own


def drawn(task: Task, seed: int = 0) -> Batch:
    """Return a batch of one example."""
    return task.sample(jax.random.key(seed), 1)


def length(batch: Batch, row: int) -> int:
    """Return the steps of a row that count."""
    return batch.inputs.shape[1] if batch.lengths is None else int(batch.lengths[row])


def names(task: Task, values: np.ndarray) -> list[str]:
    """Return tokens by the names that the task gives them, else by their numbers."""
    return [str(task.symbols[value]) if task.symbols else str(value) for value in values.tolist()]


def classes(task: Task, targets: np.ndarray) -> list[str]:
    """Return classes by their names, or by those of the tokens that they are, else by numbers."""
    known = task.answers
    if not known and task.readout == "step" and len(task.symbols) >= task.outputs:
        known = task.symbols
    return [str(known[value]) if known else str(value) for value in targets.tolist()]


def heading(task: Task, batch: Batch, row: int) -> Heading | None:
    """Return the tokens of a row, the rare ones set off; None where inputs are floats."""
    if task.vocabulary is None:
        return None
    tokens = np.asarray(batch.inputs)[row, : length(batch, row)]
    rare = np.flatnonzero(np.isin(tokens, [*task.marks]))
    return Heading(names(task, tokens), frozenset(rare.tolist()))


def inputs(batch: Batch, row: int) -> Panel:
    """Return the float inputs of a row as a panel, a feature a line."""
    values = np.asarray(batch.inputs)[row, : length(batch, row)]
    return Panel("inputs", values, signed=bool((values < 0).any()))


def answers(task: Task, batch: Batch, row: int) -> np.ndarray:
    """Return the targets of a row: of each step, or the one at its end."""
    targets = np.asarray(batch.targets)[row]
    return targets[: length(batch, row)] if task.readout == "step" else targets


def example(task: Task, seed: int = 0) -> Any:
    """Return a picture of one example: its inputs over time, its targets, and which are scored.

    Raises MissingPackage where the extra `report` is absent.
    """
    batch = drawn(task, seed)
    steps, panels = length(batch, 0), []
    if task.vocabulary is None:
        panels.append(inputs(batch, 0))
    else:
        tokens = np.asarray(batch.inputs)[0, :steps]
        one_hot = np.eye(task.vocabulary)[tokens]
        panels.append(Panel(f"inputs, {task.vocabulary} tokens", one_hot))
    if task.readout == "step":
        panels += wanted(task, batch)
    told = said(task, batch) if task.readout == "last" else "scored: the steps that count"
    return heatmap(panels, f"One example of {task.name}", told, heading(task, batch, 0))


def wanted(task: Task, batch: Batch) -> list[Panel]:
    """Return the targets of every step, and the weight of each."""
    targets = answers(task, batch, 0)
    if targets.ndim == 1:
        targets = np.eye(task.outputs)[targets]
    mask = np.asarray(batch.mask if batch.scored is None else batch.scored)[0, : len(targets)]
    signed = bool((targets < 0).any())
    return [Panel("targets", targets, signed), Panel("scored", (mask > 0)[:, None].astype(float))]


def said(task: Task, batch: Batch) -> str:
    """Return the one target of a row in words."""
    target = answers(task, batch, 0)
    if target.ndim == 0:
        return f"target: {classes(task, target[None])[0]}"
    return "target: " + " ".join(f"{value:.3g}" for value in target.ravel().tolist())


def text(task: Task, seed: int = 0) -> str:
    """Return one example as lines of plain text: inputs, targets, and a mark under what is scored."""
    batch = drawn(task, seed)
    steps = length(batch, 0)
    values = np.asarray(batch.inputs)[0, :steps]
    columns = [("input", names(task, values))] if values.ndim == 1 else features(values)
    if task.readout == "step":
        mask = np.asarray(batch.mask if batch.scored is None else batch.scored)[0, :steps]
        targets = answers(task, batch, 0)
        shown = (
            [("target", classes(task, targets))]
            if targets.ndim == 1
            else features(targets, "target")
        )
        columns += [*shown, ("scored", ["*" if weight > 0 else "" for weight in mask])]
    lines = [f"{task.name}, {steps} steps"]
    lines += block(columns)
    return "\n".join([*lines, *([said(task, batch)] if task.readout == "last" else [])]) + "\n"


def features(values: np.ndarray, name: str = "input") -> list[tuple[str, list[str]]]:
    """Return a line a feature, or where there are many the places of those that are on."""
    if values.shape[1] > FEW:
        on = [",".join(map(str, np.flatnonzero(step > 0.5))) or "-" for step in values]
        return [(f"{name}, which are 1", on)]
    many = values.shape[1] > 1
    return [
        (
            f"{name} {at}" if many else name,
            [f"{value:.2f}".rstrip("0").rstrip(".") for value in line],
        )
        for at, line in enumerate(values.T.tolist())
    ]


def block(columns: list[tuple[str, list[str]]]) -> list[str]:
    """Return named rows of cells, a step a column, broken into blocks that a terminal holds."""
    side = max(len(name) for name, _ in columns)
    wide = max(len(cell) for _, cells in columns for cell in cells)
    each = max(1, min(4 * ROW, 100 // (wide + 1)))
    steps, lines = len(columns[0][1]), []
    for at in range(0, steps, each):
        lines.append("")
        rows = [("step", [str(at)]), *((name, cells[at : at + each]) for name, cells in columns)]
        lines += [
            f"{name:<{side}}  {' '.join(cell.rjust(wide) for cell in cells)}".rstrip()
            for name, cells in rows
        ]
    return lines
