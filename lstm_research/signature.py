"""Which runs share a compilation: those that differ only in numbers that their program takes as data."""

import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from flax import nnx

from lstm_research.axes import Tree
from lstm_research.config import RunSpec
from lstm_research.dosed import Dosed, dosable
from lstm_research.gated import GateSpec, Switches
from lstm_research.network import Network, NetworkSpec
from lstm_research.nnx_cell import hold
from lstm_research.optimizer import OptimizerSpec
from lstm_research.program import Budget, Member, Program, dynamic
from lstm_research.superset import Superset, common, narrowed
from lstm_research.tasks.task import Task
from lstm_research.wrappers import WrapSpec, shares, wrapped

STARTS = ("kernel", "recurrent", "bias", "forget_bias", "chrono", "uniform_gates")
ANY = 0.5  # stands for a number that is data: of use to every check of a spec


class Signature(NamedTuple):
    """What makes a program: of a spec all but its seed, its study, and its numbers."""

    cell: Any  # inside its wrappers; how its weights start is data
    network: NetworkSpec
    task: Any
    optimizer: OptimizerSpec
    budget: Budget


def signature(spec: RunSpec) -> Signature:
    """Return the part of a spec that runs must share to share a compilation."""
    given = dynamic(spec.network, spec.optimizer)
    dropout = {"dropout": ANY} if "dropout" in given else {}
    rule = dataclasses.replace(spec.optimizer, **dict.fromkeys(given.keys() - {"dropout"}, ANY))
    network = dataclasses.replace(spec.network, **dropout)
    cell = dressed(bare(spec.cell), spec.wrap, ANY)
    return Signature(cell, network, spec.task, rule, spec.budget)


def dressed(cell: Any, wrap: WrapSpec | None, every: float | None = None) -> Any:
    """Return a cell inside its wrappers, the shares of their noise data where they can be.

    every: stands for each share that is on; None: they are what they are.
    """
    if wrap is None or not dosable(cell, wrap):
        return wrapped(cell, wrap)
    given = shares(wrap) if every is None else dict.fromkeys(shares(wrap), every)
    return Dosed(cell, dataclasses.replace(wrap, **given))


def bare(cell: Any) -> Any:
    """Return the spec of a cell with the weights' start of its kind: a start is no part of a program."""
    fields = [field for field in dataclasses.fields(cell) if field.name in STARTS]
    return dataclasses.replace(cell, **{field.name: field.default for field in fields})


def united(specs: Sequence[RunSpec]) -> Signature:
    """Return the signature of several rows of the gated family as one program.

    Raises ValueError where they are no such rows, or differ in more; `unites` says which may.
    """
    alone = {unites(spec) for spec in specs}
    if None in alone or len(alone) > 1:
        raise ValueError("these runs are no rows of one superset")
    (shared,) = alone
    assert shared is not None
    rows = [bare(spec.cell) for spec in specs]
    return shared._replace(cell=Superset(rows[0], common(rows)))


def unites(spec: RunSpec) -> Signature | None:
    """Return what rows must share to be one superset; None: this run is no row, or its noise is not alike.

    Weight noise is drawn by the shapes of the weights, and a superset has more of them.
    """
    if not isinstance(spec.cell, GateSpec) or spec.wrap is not None or spec.optimizer.weight_noise:
        return None
    return signature(spec)._replace(cell=None)


def member(spec: RunSpec, over: Switches | None = None) -> Member:
    """Return what a run brings to its program; over: that of the superset that it is a row of."""
    cell = dressed(spec.cell, spec.wrap) if over is None else Superset(spec.cell, over)
    return Member(spec.seed, cell, dynamic(spec.network, spec.optimizer))


def network(spec: RunSpec, made: Program, params: Tree, rest: Tree) -> Network:
    """Return the network of a state as the run alone would hold it."""
    model, cell = made.merged(params, rest), wrapped(spec.cell, spec.wrap)
    for layer in (layer for ways in model.layers for layer in ways):
        if isinstance(layer.spec, Superset):
            weights = nnx.as_pure(layer.weights)
            layer.weights = hold(narrowed(spec.cell, layer.spec.over, weights))
        elif isinstance(layer.spec, Dosed):
            weights = nnx.as_pure(layer.weights)
            layer.weights = hold(weights._replace(row=weights.row.inner))
        layer.spec = cell
    model.cell, model.settings, model.dropout.rate = cell, spec.network, spec.network.dropout
    return model


@lru_cache(maxsize=8)
def task(spec: Any) -> Task:
    """Return the built task of a spec, one for all its programs."""
    return spec.build()


@lru_cache(maxsize=32)
def program(static: Signature) -> Program:
    """Return the training of a signature; known by it where no data were read."""
    made = task(static.task)
    known = static if made.data is None else None
    return Program(
        static.cell, static.network, made, static.optimizer, static.budget, made_of=known
    )
