"""Weight drop: DropConnect on the recurrent matrices, one mask a call."""

from functools import partial

from lstm_research import initial
from lstm_research.axes import Seed
from lstm_research.cell import Cell, Weights
from lstm_research.wrappers.front import Share
from lstm_research.wrappers.variational import mask


def weight_drop(cell: Cell, share: Share) -> Cell:
    """Return a cell that loses a share of the numbers in its recurrent matrices, once a call.

    ::

        R <- d R,    d ~ Bernoulli(1 - share) / (1 - share)  a number of R

    The whole batch and all its steps share one mask. Without a key d = 1. Raises ValueError for a
    cell that has no recurrent matrix. Sources: Wan et al. 2013 (DropConnect); Merity, Keskar & Socher
    2018 (arXiv:1708.02182), as in the authors' code; the papers were not read.
    """
    if not any(stage.read for stage in cell.stages):
        raise ValueError(f"weight_drop={share} acts on recurrent matrices; this cell has none")
    return cell._replace(ready=partial(ready, cell, share), noisy=True)


def ready(cell: Cell, share: Share, weights: Weights, key: Seed) -> Weights:
    """Return the weights of one call."""
    weights = weights if cell.ready is None else cell.ready(weights, key)
    r = tuple(
        None if r is None else r * mask(initial.fold(key, f"weight_drop_{at}"), share, r.shape, r)
        for at, r in enumerate(weights.r)
    )
    return weights._replace(r=r)
