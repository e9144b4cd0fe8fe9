"""Inputs whose last feature is a time: the cell sees it, no matrix does."""

from typing import cast

from lstm_research.axes import Array, Seed, Steps
from lstm_research.cell import Weights, project
from lstm_research.masks import Masks

Stamped = tuple[Array, Array]  # zx of the features before the last, and the last, one wide


def rows(features: int, timestamps: bool) -> int:
    """Return how many features W sees; raise ValueError where a time leaves none."""
    if timestamps and features < 2:
        raise ValueError(
            f"features={features} and timestamps=True leave W no input: the last feature is the "
            "time, so there must be at least 2"
        )
    return features - timestamps


def drive(weights: Weights, x: Steps, masks: Masks, key: Seed | None) -> Stamped:
    """Return x W + b without the last feature, and the last feature."""
    return project(weights, x[..., :-1], masks, key), x[..., -1:]


def sizes(weights: Weights) -> tuple[int, int]:
    """Return (features, hidden) of a cell with the four blocks of an LSTM."""
    rows, columns = cast(Array, weights.w).shape
    return rows + 1, columns // 4
