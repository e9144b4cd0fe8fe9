"""Sequences: a data set of your own, one file of NumPy arrays.

`lstm-research run cell=lstm task=sequences task.path=mine.npz`, where mine.npz comes from
`numpy.savez("mine.npz", inputs=..., targets=..., lengths=..., split=...)`:

    inputs   N x time x features, floats; or N x time, whole numbers >= 0: tokens, which are embedded
    targets  whole numbers >= 0, a class each: N (asked at the last step) or N x time (at every step);
             floats: N x outputs (at the last step) or N x time x outputs
    lengths  N, steps of each row that count, 1..time; may be left out: every row is full
    split    N, each "train", "valid" or "test"

What stands after the length of a row is never read, and may be NaN; anywhere else a value that is not
finite is refused by row and step. Nothing is left out, shortened or shuffled between the splits.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Int, Seed, Tree
from lstm_research.initial import fold
from lstm_research.tasks.archive import Archive, read
from lstm_research.tasks.data import DataError, own
from lstm_research.tasks.limits import checksum, one_of, whole
from lstm_research.tasks.memoryless import classified, marginal, regressed
from lstm_research.tasks.order import order, portions
from lstm_research.tasks.task import SPLITS, Batch, Task, even

MOST = 500  # rows of a held-out batch
Loss = Literal["cross_entropy", "bernoulli", "squared_error"]
LOSSES = ("cross_entropy", "bernoulli", "squared_error")


@dataclass(frozen=True)
class Sequences:
    """The rows of one file; the module's docstring says what it holds.

    path         the file, from here or from the folder LSTM_RESEARCH_DATA
    loss         null: cross_entropy of classes, squared_error of floats; bernoulli: floats that are
                 0 or 1, each a question of its own
    classes      number of classes; null: the largest target and one
    vocabulary   number of tokens; null: the largest input and one
    standardise  float inputs are shifted and scaled to mean 0 and variance 1 over the training steps
    sha256       checksum that the file must have; null: any. A run is named by its settings: with a
                 checksum, another file is another run

    Every training row comes once an epoch. Rows of several lengths are compared by length as well:
    `accuracy@length=41-60`. Chance is the best linear answer from the present input alone.
    """

    kind: Literal["sequences"] = "sequences"
    path: str | None = None
    loss: Loss | None = None
    classes: int | None = None
    vocabulary: int | None = None
    standardise: bool = False
    sha256: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where a field makes no sense; no file is opened."""
        if self.loss is not None:
            one_of("loss", self.loss, LOSSES)
        for field in ("classes", "vocabulary"):
            if getattr(self, field) is not None:
                whole(field, getattr(self, field), 1, "different numbers from 0 on")
        checksum(self.sha256)

    def build(self) -> Task:
        """Return the task. DataError: no such file, or one that names the field and the row at fault."""
        path = own(self.path, self.sha256)
        return from_archive(self, _read(path, path.stat().st_mtime_ns), path)


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> Archive:
    return read(path)


def from_archive(spec: Sequences, found: Archive, path: Path | str = "these arrays") -> Task:
    """Return the task on arrays in memory. DataError: they do not fit the spec; names the row."""
    loss = spec.loss or ("cross_entropy" if found.classes else "squared_error")
    tokens = _range(path, "inputs", found, spec.vocabulary) if found.tokens else None
    outputs = found.targets.shape[-1]
    if loss == "cross_entropy":
        if not found.classes:
            raise DataError(
                f"{path}: loss=cross_entropy needs whole numbers as targets", file="targets"
            )
        outputs = _range(path, "targets", found, spec.classes)
    elif found.classes:
        raise DataError(f"{path}: loss={loss} needs floats as targets", file="targets")
    elif loss == "bernoulli":
        found.refuse("targets", (found.targets != 0) & (found.targets != 1), "neither 0 nor 1")
    data = _data(spec, found)
    draw_at = lambda data, key, step, size: _drawn(data, key, step, size)
    varied = found.lengths.min() < found.lengths.max()
    return Task(
        name="sequences",
        readout=found.readout,
        loss=loss,
        outputs=outputs,
        features=None if found.tokens else found.inputs.shape[2],
        vocabulary=tokens,
        draw=lambda data, key, size: draw_at(data, key, 0, size),
        draw_at=draw_at,
        held_out=_held_out,
        data=data,
        metric={"cross_entropy": "accuracy", "bernoulli": "nll", "squared_error": "mse"}[loss],
        goal="max" if loss == "cross_entropy" else "min",
        chance=_chance(loss, data, outputs),
        slices=_bins(found) if varied and loss != "bernoulli" else None,
        source=f"the user's {Path(path).name}",
    )


def _bins(found: Archive) -> Any:
    return even("length", int(found.lengths.min()), int(found.lengths.max()), 5)


def _range(path: Path | str, field: str, found: Archive, most: int | None) -> int:
    """Return the number of classes or tokens. DataError: a row holds one that is not below `most`."""
    values = getattr(found, field)
    if most is not None:
        name = {"inputs": "vocabulary", "targets": "classes"}[field]
        found.refuse(field, values >= most, f"not below task.{name}={most}")
    return most or int(values.max()) + 1


def _data(spec: Sequences, found: Archive) -> dict[str, Any]:
    """Return the rows of each split."""
    inputs, targets = found.inputs, found.targets
    inside = np.arange(inputs.shape[1]) < found.lengths[:, None]
    if not found.tokens:
        inputs = np.where(inside[..., None], inputs, 0)
        if spec.standardise:
            steps = inputs[inside & (found.split == "train")[:, None]]
            inputs = (inputs - steps.mean(axis=0)) / (steps.std(axis=0) + 1e-9)
            inputs = inputs * inside[..., None]
    dtype = {False: np.dtype(jnp.zeros(()).dtype), True: np.dtype(np.int32)}
    parts = {}
    for part in ("train", *SPLITS):
        rows = found.split == part
        parts[part] = {
            "inputs": jnp.asarray(inputs[rows].astype(dtype[found.tokens])),
            "targets": jnp.asarray(targets[rows].astype(dtype[found.classes])),
            "lengths": jnp.asarray(found.lengths[rows]),
        }
    return parts


def laid(rows: Tree) -> Batch:
    """Return rows as a batch, every step or every row asked once."""
    inputs, targets, lengths = rows["inputs"], rows["targets"], rows["lengths"]
    time = inputs.shape[1]
    if targets.ndim - (not jnp.issubdtype(targets.dtype, jnp.integer)) == 1:
        return Batch(inputs, targets, jnp.ones(len(lengths)), lengths, extent=lengths)
    mask = 1.0 * (jnp.arange(time) < lengths[:, None])
    extent = jnp.broadcast_to(lengths[:, None], mask.shape)
    return Batch(inputs, targets, mask, lengths, extent=extent)


def _drawn(data: Tree, key: Seed, step: Int[Array, ""] | int, size: int) -> Batch:
    rows = order(fold(key, "order"), step, size, data["train"]["lengths"].shape[0])
    return laid(jax.tree.map(lambda leaf: leaf[rows], data["train"]))


def _held_out(data: Tree, split: str) -> tuple[Batch, ...]:
    one_of("split", split, SPLITS)
    parts = portions(data[split]["lengths"].shape[0], MOST)
    return tuple(laid(jax.tree.map(lambda leaf, p=p: leaf[p], data[split])) for p in parts)


def _chance(loss: Loss, data: Tree, outputs: int) -> dict[str, float]:
    """Return what the present input foretells: the last of a row, or that of every scored step."""
    asked = [_asked(jax.tree.map(np.asarray, laid(data[part]))) for part in ("train", "test")]
    (inputs, targets), (test, answers) = asked
    if loss == "cross_entropy":
        return classified(inputs, targets, test, answers, outputs)
    return (
        marginal(targets, answers)
        if loss == "bernoulli"
        else regressed(inputs, targets, test, answers)
    )


def _asked(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    assert batch.lengths is not None
    if batch.mask.ndim == 1:
        rows = np.arange(len(batch.lengths))
        return np.asarray(batch.inputs)[rows, batch.lengths - 1], np.asarray(batch.targets)
    scored = np.asarray(batch.mask) > 0
    return np.asarray(batch.inputs)[scored], np.asarray(batch.targets)[scored]
