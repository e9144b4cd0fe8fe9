"""Forecasting: from a series up to now, its value some steps ahead, at every step.

The score is NRMSE = sqrt(mean((forecast - target)²)) / standard deviation of the target over the
training part (mean over targets inside the root), so that the mean of the series has 1. Published on
Mackey-Glass, tau 17, 15 steps ahead: LSTM 0.059, LMU 0.049 (Voelker, Kajić & Eliasmith 2019), with
other series, widths and splits; not verified here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp

from lstm_research.axes import Array, Int, Seed, Tree
from lstm_research.initial import fold
from lstm_research.loss import masked
from lstm_research.tasks import series as generated
from lstm_research.tasks.data import own
from lstm_research.tasks.limits import checksum, one_of, whole
from lstm_research.tasks.order import order
from lstm_research.tasks.parts import Baselines, Part, baselines, parted, pinball
from lstm_research.tasks.series import Series, table
from lstm_research.tasks.task import SPLITS, Batch, Success, Task

SERIES = {
    "mackey_glass": (("x",), ("x",), "Mackey & Glass 1977, Science 197"),
    "lorenz": (("x",), ("x",), "Lorenz 1963, J. Atmos. Sci. 20"),
    "narma10": (("u",), ("y",), "Atiya & Parlos 2000, IEEE Trans. Neural Networks 11"),
    "csv": (None, None, "the user's file"),
}


@dataclass(frozen=True)
class Forecasting:
    """One series in time: first part training, then validation, then test.

    series     mackey_glass; lorenz (x alone is seen); narma10 (from u, what y will be; horizon 1);
               csv: a table of yours, first line names
    horizon    steps from the last input to the value asked for
    window     steps of a training sequence and of a held-out row
    washout    steps at the start of each that are not scored: the network warms up
    steps      samples of a generated series; tau: delay of mackey_glass; seed: where it starts
    inputs     columns seen; null: x (narma10: u; csv: all). targets: columns asked for; null: x
               (narma10: y; csv: the inputs)
    valid      share of the series, in time; test: likewise, the end of it
    quantiles  an odd number Q: forecast the quantiles k / (Q + 1) by the pinball loss, the middle one
               being the forecast that NRMSE judges; null: the value, by squared error
    path       the file of csv; sha256: a checksum that it must have, null: any

    All columns are shifted and scaled by mean and standard deviation of the training part. Training
    takes every place of a window once an epoch. Held-out rows overlap by the washout, so that every
    step after the first washout is scored once. Chance is the best of the mean, the last value and the
    straight line from the present input. Generated series count as solved at an NRMSE of 0.1, ours.
    """

    kind: Literal["forecasting"] = "forecasting"
    series: Literal["mackey_glass", "lorenz", "narma10", "csv"] = "mackey_glass"
    horizon: int = 15
    window: int = 200
    washout: int = 50
    steps: int = 10_000
    tau: int = 17
    seed: int = 0
    path: str | None = None
    inputs: tuple[str, ...] | None = None
    targets: tuple[str, ...] | None = None
    valid: float = 0.15
    test: float = 0.15
    quantiles: int | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where a field makes no sense; no file is opened."""
        one_of("series", self.series, tuple(SERIES))
        whole("horizon", self.horizon, 1, "steps ahead")
        whole("washout", self.washout, 0, "steps not scored")
        whole("window", self.window, self.washout + 1, "longer than the washout")
        whole("steps", self.steps, 1, "samples")
        whole("tau", self.tau, 1, "units of time")
        whole("seed", self.seed, 0, "a seed")
        for field in SPLITS:
            if not 0 < getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)}: a share, between 0 and 1")
        if self.valid + self.test >= 1:
            raise ValueError(
                f"valid={self.valid}: with test={self.test} nothing is left to train on"
            )
        if self.quantiles is not None:
            whole("quantiles", self.quantiles, 1, "an odd number of quantiles")
            if self.quantiles % 2 == 0:
                raise ValueError(f"quantiles={self.quantiles}: must be odd, for the median is one")
        if self.series == "narma10" and self.horizon != 1:
            raise ValueError(f"horizon={self.horizon}: narma10 is asked one step ahead, horizon=1")
        checksum(self.sha256)

    def build(self) -> Task:
        """Return the task. DataError: the file is absent, has a hole, or a part is too short."""
        return from_series(self, self._open())

    def baselines(self) -> Baselines:
        """Return the NRMSE on test of forecasts that train nothing. DataError as `build`."""
        series = self._open()
        return baselines(self._parts(series), *self._columns(series), self.washout)

    def _columns(self, series: Series) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the columns seen and those asked for. ValueError: no such column."""
        seen, asked = SERIES[self.series][:2]
        seen = self.inputs or seen or series.columns
        asked = self.targets or asked or seen
        for field, names in (("inputs", seen), ("targets", asked)):
            for name in names:
                one_of(field, name, series.columns)
        return seen, asked

    def _parts(self, series: Series) -> dict[str, Part]:
        shares, need = (self.valid, self.test), (self.window, self.washout + 1)
        return parted(series, *self._columns(series), self.horizon, shares, need)

    def _open(self) -> Series:
        if self.series == "mackey_glass":
            return generated.mackey_glass(self.tau, self.steps, self.seed)
        if self.series == "csv":
            path, names = own(self.path, self.sha256), None
            if self.inputs is not None:
                names = tuple(dict.fromkeys((*self.inputs, *(self.targets or ()))))
            return table(Path(path), names)
        return getattr(generated, self.series)(self.steps, self.seed)


def from_series(spec: Forecasting, series: Series) -> Task:
    """Return the task on a series in memory."""
    parts, columns = spec._parts(series), spec._columns(series)
    data = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), parts)
    width = parts["train"].targets.shape[1]
    draw_at = lambda data, key, step, size: _drawn(spec, data, key, step, size)
    known = spec.series != "csv"
    found = baselines(parts, *columns, spec.washout)
    chance = {"nrmse": min(each for each in (found.last, found.linear) if each is not None)}
    if spec.quantiles:
        chance["quantile"] = pinball(parts, spec.washout, spec.quantiles)
    return Task(
        name=spec.series,
        readout="step",
        loss="quantile" if spec.quantiles else "squared_error",
        outputs=width * (spec.quantiles or 1),
        features=parts["train"].inputs.shape[1],
        draw=lambda data, key, size: draw_at(data, key, 0, size),
        draw_at=draw_at,
        held_out=lambda data, split: _held_out(spec, data, split),
        data=data,
        metric="quantile" if spec.quantiles else "nrmse",
        goal="min",
        chance=chance,
        success=Success("nrmse", at_most=0.1) if known else None,
        score=score,
        ceiling={"nrmse": 0.0} if known else {},
        source=SERIES[spec.series][2],
    )


def rows(spec: Forecasting, part: Part, starts: Int[Array, "batch"]) -> Batch:
    """Return the windows that start at these steps; what lies past the end of the part is padding."""
    at = starts[:, None] + jnp.arange(spec.window)
    inside = at < part.inputs.shape[0]
    index = jnp.where(inside, at, 0)
    take = lambda leaf: leaf[index] * inside[..., None]
    scored = inside & (jnp.arange(spec.window) >= spec.washout)
    return Batch(take(part.inputs), take(part.targets), 1.0 * scored, inside.sum(axis=1))


def _drawn(
    spec: Forecasting, data: Tree, key: Seed, step: Int[Array, ""] | int, size: int
) -> Batch:
    part = data["train"]
    count = part.inputs.shape[0] - spec.window + 1
    return rows(spec, part, order(fold(key, "order"), step, size, count))._replace(lengths=None)


def _held_out(spec: Forecasting, data: Tree, split: str) -> tuple[Batch, ...]:
    """Return one batch: NRMSE is no mean over batches."""
    one_of("split", split, SPLITS)
    part = data[split]
    starts = jnp.arange(0, part.inputs.shape[0] - spec.washout, spec.window - spec.washout)
    return (rows(spec, part, starts),)


def score(outputs: Array, batch: Batch) -> dict[str, tuple[Array, Array]]:
    """Return nrmse and, of quantiles, coverage: the share of targets between the outermost two."""
    width = batch.targets.shape[-1]
    quantiles = outputs.reshape(*outputs.shape[:-1], width, -1)
    middle = quantiles[..., quantiles.shape[-1] // 2]
    total, weight = masked(((middle - batch.targets) ** 2).mean(-1), batch.mask)
    found = {"nrmse": (jnp.sqrt(total / jnp.maximum(weight, 1e-9)) * weight, weight)}
    if quantiles.shape[-1] > 1:
        inside = (batch.targets >= quantiles[..., 0]) & (batch.targets <= quantiles[..., -1])
        found["coverage"] = masked(inside.mean(-1, dtype=batch.mask.dtype), batch.mask)
    return found
