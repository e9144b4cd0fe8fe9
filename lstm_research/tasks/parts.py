"""A series cut in time into training, validation and test, and what forecasts that train nothing reach."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from lstm_research.axes import Float
from lstm_research.loss import levels
from lstm_research.tasks.data import DataError
from lstm_research.tasks.memoryless import line
from lstm_research.tasks.series import Series
from lstm_research.tasks.task import SPLITS

LAGS = 32  # present and past inputs of the linear autoregression
Columns = Sequence[str]


class Part(NamedTuple):
    """One part, standardised: at each step what is seen, and what is asked `horizon` steps later."""

    inputs: Float[np.ndarray, "steps inputs"]
    targets: Float[np.ndarray, "steps targets"]


class Baselines(NamedTuple):
    """NRMSE on test of forecasts in closed form."""

    last: float | None  # the present value of the target; None: the network does not see it
    linear: float  # the straight line from the present input, or the mean where that is better
    autoregression: float  # the straight line from the last LAGS inputs: it has a memory


def parted(
    series: Series,
    seen: Columns,
    asked: Columns,
    horizon: int,
    shares: tuple[float, float],
    need: tuple[int, int],
) -> dict[str, Part]:
    """Return the three parts; each target lies in the part of its input.

    Every column is shifted and scaled by its training mean and standard deviation. shares: those of
    validation and test, at the end; need: the fewest steps with a target in training, and in the
    other two. DataError: a part is shorter, or a column never changes in training.
    """
    count = len(series.values)
    valid, test = (int(count * share) for share in shares)
    ends = (0, count - valid - test, count - test, count)
    for part, start, end in zip(("train", *SPLITS), ends, ends[1:], strict=False):
        least = need[part != "train"] + horizon
        if end - start < least:
            raise DataError(
                f"{part} has {end - start} of {count} steps; washout, window and horizon need {least}",
                file=part,
            )
    train = series.values[: ends[1]]
    mean, scale = train.mean(axis=0), train.std(axis=0)
    for name in dict.fromkeys((*seen, *asked)):
        if scale[series.columns.index(name)] == 0:
            raise DataError(f"column {name!r} never changes in training", file=name)
    values = (series.values - mean) / np.where(scale == 0, 1, scale)
    take = lambda names, part: part[:, [series.columns.index(name) for name in names]]
    cut = {
        part: values[a:b] for part, a, b in zip(("train", *SPLITS), ends, ends[1:], strict=False)
    }
    return {
        part: Part(take(seen, rows)[:-horizon], take(asked, rows)[horizon:])
        for part, rows in cut.items()
    }


def baselines(parts: dict[str, Part], seen: Columns, asked: Columns, washout: int) -> Baselines:
    """Return the baselines on the test steps after the first washout."""
    train, test = parts["train"], _scored(parts["test"], washout)
    nrmse = lambda forecast: float(np.sqrt(((forecast - test.targets) ** 2).mean()))
    constant = np.broadcast_to(train.targets.mean(axis=0), test.targets.shape)
    straight = line(train.inputs, train.targets)(test.inputs)
    lagged = line(_lags(train.inputs), train.targets)(_lags(parts["test"].inputs))
    last = None
    if set(asked) <= set(seen):
        last = nrmse(test.inputs[:, [list(seen).index(name) for name in asked]])
    return Baselines(last, min(nrmse(straight), nrmse(constant)), nrmse(lagged[washout:]))


def pinball(parts: dict[str, Part], washout: int, count: int) -> float:
    """Return the best loss of quantiles without memory, as `loss.quantile` has it.

    The mean or the straight line from the present input, and the quantiles of its training errors.
    """
    train, test = parts["train"], _scored(parts["test"], washout)
    shares, constant = levels(count), np.zeros((1, train.targets.shape[1]))
    losses = []
    forecasts: tuple[Callable, ...] = (line(train.inputs, train.targets), lambda inputs: constant)
    for forecast in forecasts:
        spread = np.quantile(train.targets - forecast(train.inputs), shares, axis=0)
        gap = (test.targets - forecast(test.inputs))[..., None] - spread.T
        losses.append(np.maximum(shares * gap, (shares - 1) * gap).mean(-1).sum(-1).mean())
    return float(min(losses))


def _scored(part: Part, washout: int) -> Part:
    return Part(part.inputs[washout:], part.targets[washout:])


def _lags(inputs: np.ndarray) -> np.ndarray:
    """Return the inputs of the last LAGS steps side by side, zeros before the first."""
    late = [np.pad(inputs, ((lag, 0), (0, 0)))[: len(inputs)] for lag in range(LAGS)]
    return np.concatenate(late, axis=1)
