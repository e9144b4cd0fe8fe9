"""The order in which units are drawn, so that what works together stands together."""

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage


def similar(traces: np.ndarray) -> np.ndarray:
    """Return an order of units that puts those of similar traces side by side.

    traces: `time units`, of one example or of several one after the other. Average linkage of the
    Euclidean distances, leaves in the order of the least total distance between neighbours; the end
    with the larger mean comes first.
    """
    units = np.asarray(traces, np.float64).T
    if len(units) < 3:
        return np.argsort(-units.mean(1), kind="stable")
    order = leaves_list(linkage(units, "average", optimal_ordering=True))
    half = len(order) // 2
    means = units[order].mean(1)
    return order if means[:half].mean() >= means[-half:].mean() else order[::-1]
