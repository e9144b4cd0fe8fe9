"""A recurrent layer as a Flax nnx module: one cell's weights, run over time by our engines."""

from typing import Any

import jax.numpy as jnp
from flax import nnx

from lstm_research.axes import Array, Bool, Float, Int, Seed, Tree
from lstm_research.cell import Cell
from lstm_research.fused import unroll
from lstm_research.nnx_cell import cell_spec, hold
from lstm_research.unroll import Engine


class Recurrent(nnx.Module):
    """A cell over time; batch-major like Flax, with lengths, resets and a carry.

    `layer = Recurrent("cifg", 3, 64, rngs=nnx.Rngs(0)); h = layer(x)`, x of shape `batch time
    features` and h of shape `batch time hidden`. `cell` is a name of the catalogue or a spec. The noise
    of a cell that has any is on in training, where a call needs `rngs`; `layer.eval()` turns it off, as
    does `deterministic=True`.
    """

    def __init__(
        self,
        cell: Any,
        in_features: int,
        hidden_features: int,
        *,
        reverse: bool = False,
        engine: Engine = "auto",
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        self.spec = cell_spec(cell)
        self.in_features, self.hidden_features = in_features, hidden_features
        self.reverse = reverse
        self.engine: Engine = engine
        self.deterministic = deterministic
        self.weights = hold(self.spec.build().init(rngs.params(), in_features, hidden_features))

    def __call__(
        self,
        x: Float[Array, "..."],
        *,
        lengths: Int[Array, "..."] | None = None,
        resets: Bool[Array, "..."] | None = None,
        carry: Tree = None,
        return_carry: bool = False,
        time_major: bool = False,
        deterministic: bool | None = None,
        rngs: nnx.Rngs | None = None,
    ) -> Any:
        """Return h, or (carry, h). Padding is as in `fused.unroll`; time_major: `time *batch
        features`; deterministic: replaces the layer's own. Raises ValueError where noise lacks `rngs`.
        """
        cell, weights = self.spec.build(), nnx.as_pure(self.weights)
        if not time_major:
            x = jnp.moveaxis(x, -2, 0)
            resets = None if resets is None else jnp.moveaxis(resets, -1, 0)
        if carry is None:
            carry = cell.start(x.shape[1:-1], self.hidden_features, x.dtype)
        carry, h = unroll(
            cell,
            weights,
            carry,
            x,
            lengths=lengths,
            resets=resets,
            reverse=self.reverse,
            engine=self.engine,
            key=self.noise(cell, deterministic, rngs),
        )
        h = h if time_major else jnp.moveaxis(h, 0, -2)
        return (carry, h) if return_carry else h

    def noise(self, cell: Cell, deterministic: bool | None, rngs: nnx.Rngs | None) -> Seed | None:
        """Return the key of one call: drawn for a noisy cell in training alone."""
        still = self.deterministic if deterministic is None else deterministic
        if not cell.noisy or still:
            return None
        if rngs is None:
            raise ValueError(
                "this cell has noise and deterministic=False: give rngs=nnx.Rngs(dropout=...) in the "
                "call, or turn the noise off with .eval() or deterministic=True"
            )
        return rngs.dropout()
