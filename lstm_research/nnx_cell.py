"""Any cell as a Flax `RNNCellBase`, at home in `nnx.RNN`, `nnx.Optimizer` and `nnx.jit`."""

from typing import Any

import jax
from flax import nnx

from lstm_research import catalogue
from lstm_research.axes import Array, Float, Seed, Tree
from lstm_research.cell import Weights, drive, step
from lstm_research.cells import CELLS


class Switch(nnx.Variable):
    """A number of a row, a switch or a statistic: a variable that no optimizer touches."""


def cell_spec(cell: Any, **changes: Any) -> Any:
    """Return the spec of a cell: one that is a spec already, or a name of the catalogue with
    changes.
    """
    return catalogue.spec(CELLS, "cell", cell, changes) if isinstance(cell, str) else cell


def hold(weights: Weights) -> Tree:
    """Return the weights as nnx variables: parameters, but for the row."""
    row = jax.tree.map(Switch, weights.row)
    return nnx.data(jax.tree.map(nnx.Param, weights._replace(row=None))._replace(row=row))


class NnxCell(nnx.RNNCellBase):
    """One step of a cell as Flax wants it: `(carry, inputs) -> (carry, h)`.

    `cell` is a name of the catalogue or a spec; the carry is the cell's own, `(c, h)` for an LSTM. A cell
    with noise runs as in a test: masks belong to sequences, and this class sees one step.
    """

    def __init__(
        self, cell: Any, in_features: int, hidden_features: int, *, rngs: nnx.Rngs
    ) -> None:
        self.spec = cell_spec(cell)
        self.in_features, self.hidden_features = in_features, hidden_features
        self.weights = hold(self.spec.build().init(rngs.params(), in_features, hidden_features))

    def __call__(self, carry: Tree, inputs: Float[Array, "*batch features"]) -> tuple[Tree, Array]:
        cell, weights = self.spec.build(), nnx.as_pure(self.weights)
        carry, _ = step(cell, weights, drive(cell, weights, inputs), carry)
        return carry, cell.emit(carry)

    def initialize_carry(
        self, input_shape: tuple[int, ...], rngs: Seed | None = None, carry_init: Any = None
    ) -> Tree:
        """Return the start of the cell for inputs of this shape, features last; draws nothing."""
        return self.spec.build().start(input_shape[:-1], self.hidden_features)

    @property
    def num_feature_axes(self) -> int:
        """Return 1: features are the last axis."""
        return 1
