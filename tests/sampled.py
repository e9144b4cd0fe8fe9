"""Which cells stand for all in the quick suite. Every cell is held to its twin, to lengths and resets
there; what needs programs of its own waits for `-m slow` in the other cells.
"""

from collections.abc import Iterable
from typing import Any

import pytest

KEEN = {"lstm", "gru_before"}

QUICK = {  # claims that share one compiled program
    "equals_its_twin_in_numpy", "counts_parameters_as_the_paper", "ends_where_the_sequence_ends",
    "uneven_padding_reaches_nothing", "restarts_at_a_reset", "starts_the_same_from_a_key",
    "compiles_once",
}  # fmt: skip


def sampled(every: Iterable[Any]) -> list[Any]:
    """Return names or subjects as parameters; those that are not KEEN are marked slow."""
    return [
        pytest.param(each, id=name, marks=() if name in KEEN else pytest.mark.slow)
        for each in every
        for name in [getattr(each, "name", each)]
    ]


def first(every: Iterable[Any], keep: int = 1) -> list[Any]:
    """Return values as parameters; those after the first few are marked slow."""
    return [
        each if place < keep else pytest.param(each, marks=pytest.mark.slow)
        for place, each in enumerate(every)
    ]
