"""How the gates of a layer are used: histograms, and the share of the time in which each is shut or open.

Below 0.1 a gate is saturated on the left, above 0.9 on the right, unit by unit, as in Karpathy, Johnson
& Li 2015 (arXiv:1506.02078).
"""

from typing import NamedTuple

import numpy as np

LEFT, RIGHT = 0.1, 0.9
BINS = 20
CANDIDATE = ("g", "a")  # what the gates let through or bend, and no share of anything


class Activity(NamedTuple):
    """What one gate did over all valid steps of a batch."""

    edges: np.ndarray  # of BINS bins
    shares: np.ndarray  # of the activations in each, they add up to 1
    mean: np.ndarray  # by unit
    left: np.ndarray | None  # by unit, the share of steps below 0.1; None: no gate but a candidate
    right: np.ndarray | None  # by unit, the share above 0.9


def activity(name: str, values: np.ndarray, valid: np.ndarray) -> Activity:
    """Return the use of a gate; values `time batch width`, valid `time batch`."""
    seen = np.asarray(values, np.float64)[np.asarray(valid)]
    counts, edges = np.histogram(seen, BINS, span(name, seen))
    gate = name not in CANDIDATE
    return Activity(
        edges,
        counts / seen.size,
        seen.mean(0),
        (seen < LEFT).mean(0) if gate else None,
        (seen > RIGHT).mean(0) if gate else None,
    )


def span(name: str, seen: np.ndarray) -> tuple[float, float]:
    """Return the range of a histogram: [0, 1] of a gate, about 0 of a candidate, wider where needed."""
    bound = max(1.0, float(np.abs(seen).max()))
    return (min(0.0, float(seen.min())), bound) if name not in CANDIDATE else (-bound, bound)
