"""A recurrent layer as a Flax nnx module: one cell's weights, run over time by our engines."""

from typing import Any

import jax.numpy as jnp
from flax import nnx

from lstm_research.axes import Array, Bool, Float, Int, Tree
from lstm_research.fused import unroll
from lstm_research.nnx_cell import cell_spec, hold
from lstm_research.unroll import Engine


class Recurrent(nnx.Module):
    """A cell over time; batch-major like Flax, with lengths, resets and a carry.

    `layer = Recurrent("cifg", 3, 64, rngs=nnx.Rngs(0)); h = layer(x)`, x of shape `batch time
    features` and h of shape `batch time hidden`. `cell` is a name of the catalogue or a spec.
    """

    def __init__(
        self,
        cell: Any,
        in_features: int,
        hidden_features: int,
        *,
        reverse: bool = False,
        engine: Engine = "auto",
        rngs: nnx.Rngs,
    ) -> None:
        self.spec = cell_spec(cell)
        self.in_features, self.hidden_features = in_features, hidden_features
        self.reverse = reverse
        self.engine: Engine = engine
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
    ) -> Any:
        """Return h, or (carry, h). Padding is as in `fused.unroll`; time_major: `time *batch
        features`.
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
        )
        h = h if time_major else jnp.moveaxis(h, 0, -2)
        return (carry, h) if return_carry else h
