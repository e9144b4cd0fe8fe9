"""Noise and norms around a cell: functions from cells to cells, and the spec that names them."""

import dataclasses
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, Literal

from lstm_research.cell import Cell
from lstm_research.wrappers.batch_norm import batch_norm, observed
from lstm_research.wrappers.candidate import candidate_dropout
from lstm_research.wrappers.front import Share
from lstm_research.wrappers.layer_norm import layer_norm
from lstm_research.wrappers.layer_norm_carried import layer_norm_carried
from lstm_research.wrappers.variational import variational_h, variational_x
from lstm_research.wrappers.weight_drop import weight_drop
from lstm_research.wrappers.zoneout import zoneout

SHARES = (
    "zoneout_c", "zoneout_h", "variational_x", "variational_h", "candidate_dropout", "weight_drop",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class WrapSpec:
    """What is put around a cell: a norm, and the share of each kind of noise; all off by default."""

    norm: Literal["none", "layer", "layer_carried", "batch"] = "none"
    zoneout_c: float = 0.0  # share of the units of c that keep their value; 0 where there is no c
    zoneout_h: float = 0.0  # the same of h
    variational_x: float = 0.0  # share of x dropped, one mask a sequence
    variational_h: float = 0.0  # share of h dropped where a product reads it, one mask a sequence
    candidate_dropout: float = 0.0  # share of g dropped, a mask a step
    weight_drop: float = 0.0  # share of the numbers of R dropped, a mask a call
    statistics_steps: int = dataclasses.field(  # batch: steps with stored statistics of their own
        default=100, metadata={"later": True}
    )

    def __post_init__(self) -> None:
        if self.statistics_steps < 1:
            raise ValueError(f"statistics_steps={self.statistics_steps} must be at least 1")
        for name in SHARES:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is a share and must lie in [0, 1)")


@dataclasses.dataclass(frozen=True)
class Wrapped:
    """A cell inside its wrappers, a spec like any other: `Wrapped(GateSpec(), WrapSpec(...))`.

    From the inside out: norm, candidate dropout, variational h, variational x, weight drop, zoneout.
    """

    cell: Any  # a spec of CELLS
    wrap: WrapSpec = WrapSpec()

    @cache  # noqa: B019 (equal specs are one cell, and there are few)
    def build(self) -> Cell:
        """Return the cell; raise ValueError where a wrapper cannot hold it."""
        cell, wrap = self.cell.build(), self.wrap
        made = noisy(normed(cell, wrap), shares(wrap))
        if wrap.norm != "batch":
            return made
        spy = noisy(batch_norm(cell, wrap.statistics_steps, spy=True), shares(wrap))
        return made._replace(observe=partial(observed, spy))  # under the noise of the call


def wrapped(cell: Any, wrap: WrapSpec | None) -> Any:
    """Return the spec of a cell inside its wrappers; None: the cell itself."""
    return cell if wrap is None else Wrapped(cell, wrap)


def shares(wrap: WrapSpec) -> dict[str, float]:
    """Return the share of each noise that is on."""
    return {name: share for name in SHARES if (share := getattr(wrap, name))}


def normed(cell: Cell, wrap: WrapSpec) -> Cell:
    """Return a cell inside its norm."""
    if wrap.norm == "batch":
        return batch_norm(cell, wrap.statistics_steps)
    norms = {"layer": layer_norm, "layer_carried": layer_norm_carried}
    return cell if wrap.norm == "none" else norms[wrap.norm](cell)


def noisy(cell: Cell, on: Mapping[str, Share]) -> Cell:
    """Return a cell inside the wrappers that add noise; on: the share of each, a number or data."""
    if "candidate_dropout" in on:
        cell = candidate_dropout(cell, on["candidate_dropout"])
    if "variational_h" in on:
        cell = variational_h(cell, on["variational_h"])
    if "variational_x" in on:
        cell = variational_x(cell, on["variational_x"])
    if "weight_drop" in on:
        cell = weight_drop(cell, on["weight_drop"])
    zoned = {name: on[f"zoneout_{name}"] for name in ("c", "h") if f"zoneout_{name}" in on}
    return zoneout(cell, zoned) if zoned else cell
