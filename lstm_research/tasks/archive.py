"""A user's arrays, checked row by row: every fault names the file, the field, the row and the step."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lstm_research.spelling import unknown
from lstm_research.tasks.data import DataError
from lstm_research.tasks.task import SPLITS

FIELDS = ("inputs", "targets", "lengths", "split")
PARTS = ("train", *SPLITS)


@dataclass(frozen=True, eq=False)
class Archive:
    """The arrays of a file: padding is zero, classes and tokens are whole numbers >= 0."""

    path: str
    inputs: np.ndarray  # rows time features, or rows time
    targets: np.ndarray  # rows, rows time, rows outputs, or rows time outputs
    lengths: np.ndarray  # rows
    split: np.ndarray  # rows

    @property
    def tokens(self) -> bool:
        """Whether the inputs are tokens."""
        return self.inputs.dtype.kind in "iu"

    @property
    def classes(self) -> bool:
        """Whether each target is a class."""
        return self.targets.dtype.kind in "iu"

    @property
    def readout(self) -> Literal["step", "last"]:
        """Where the targets are asked."""
        return "step" if self.targets.ndim == (2 if self.classes else 3) else "last"

    def refuse(self, field: str, bad: np.ndarray, why: str) -> None:
        """Raise DataError that names the first value of a field that is bad, if there is one."""
        values = getattr(self, field)
        if bad.any():
            row, *rest = (int(at) for at in np.argwhere(bad)[0])
            step = (
                ""
                if values.ndim == 1 or (field == "targets" and self.readout == "last")
                else (f", step {rest.pop(0)}")
            )
            column = f", column {rest[0]}" if rest else ""
            value = values[tuple(np.argwhere(bad)[0])]
            raise DataError(
                f"{self.path}: {field}, row {row}{step}{column}: {value} is {why}", file=self.path
            )


def read(path: Path) -> Archive:
    """Return the arrays of a `.npz`. DataError names the field and the row at fault."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found: dict[str, Any] = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, AttributeError) as error:
        raise DataError(
            f"{path} is no archive of plain NumPy arrays (numpy.savez): {error}", file=str(path)
        ) from None
    for name in found:
        if name not in FIELDS:
            raise DataError(f"{path}: {unknown('field', name, FIELDS, 'field')}", file=str(path))
    for name in ("inputs", "targets", "split"):
        if name not in found:
            raise DataError(
                f"{path}: no {name!r}, only {', '.join(sorted(found)) or 'nothing'}; needed are "
                "inputs, targets and split, and lengths where rows differ",
                file=str(path),
            )
    return checked(str(path), **found)


def checked(path: str, inputs: Any, targets: Any, split: Any, lengths: Any = None) -> Archive:
    """Return the arrays once all of them fit. DataError names the field and the row at fault."""
    inputs, targets, split = (np.asarray(each) for each in (inputs, targets, split))
    _kinds(path, inputs, targets)
    count, time = inputs.shape[:2]
    full = lengths is None
    lengths = np.full(count, time) if full else np.asarray(lengths)
    for name, each in (("targets", targets), ("lengths", lengths), ("split", split)):
        if len(each) != count:
            raise DataError(f"{path}: {count} rows of inputs, {len(each)} of {name}", file=path)
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu":
        raise DataError(f"{path}: lengths must be one whole number a row", file=path)
    found = Archive(path, inputs, targets, lengths.astype(np.int32), split.astype(str))
    found.refuse("lengths", (lengths < 1) | (lengths > time), f"outside 1..{time}")
    found.refuse("split", ~np.isin(found.split, PARTS), f"none of {', '.join(PARTS)}")
    for part in PARTS:
        if not (found.split == part).any():
            raise DataError(f"{path}: split: no row is {part!r}", file=path)
    if found.readout == "step" and targets.shape[1] != time:
        raise DataError(
            f"{path}: inputs have {time} steps, targets {targets.shape[1]}; floats asked at the "
            "last step are rows x outputs",
            file=path,
        )
    return _padded(found)


def _kinds(path: str, inputs: np.ndarray, targets: np.ndarray) -> None:
    allowed = {("inputs", "f"): (3,), ("inputs", "i"): (2,), ("targets", "f"): (2, 3)}
    allowed[("targets", "i")] = (1, 2)
    for name, each in (("inputs", inputs), ("targets", targets)):
        kind = "i" if each.dtype.kind in "iu" else each.dtype.kind
        if (name, kind) not in allowed:
            raise DataError(f"{path}: {name} are {each.dtype}: floats or whole numbers", file=path)
        if each.ndim not in allowed[(name, kind)] or 0 in each.shape:
            sort = "whole numbers" if kind == "i" else "floats"
            raise DataError(
                f"{path}: {name} are {sort} of shape {each.shape}; allowed are "
                f"{' or '.join(str(n) for n in allowed[(name, kind)])} axes, none of them empty",
                file=path,
            )


def _padded(found: Archive) -> Archive:
    """Return the arrays with zeros after the length of each row, nothing bad before it."""
    inside = np.arange(found.inputs.shape[1]) < found.lengths[:, None]
    clean = {}
    for field in ("inputs", "targets"):
        values: np.ndarray = getattr(found, field)
        whole = values.dtype.kind in "iu"
        bad = values < 0 if whole else ~np.isfinite(values)
        if field == "inputs" or found.readout == "step":
            within = inside.reshape(*inside.shape, *(1 for _ in values.shape[2:]))
            bad, values = bad & within, np.where(within, values, 0)
        found.refuse(field, bad, "below 0" if whole else "no number")
        clean[field] = values
    return Archive(found.path, clean["inputs"], clean["targets"], found.lengths, found.split)
