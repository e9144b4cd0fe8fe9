"""A recurrent layer as a Flax nnx module: one cell's weights, run over time by our engines."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from lstm_research.axes import Array, Bool, Float, Int, Seed, Tree
from lstm_research.cell import Cell, Weights
from lstm_research.engines import unroll
from lstm_research.keep import Keep
from lstm_research.masks import Masks, clean, layout
from lstm_research.moments import blended
from lstm_research.nnx_cell import Switch, cell_spec, hold
from lstm_research.precision import Precision
from lstm_research.unroll import Engine


class Recurrent(nnx.Module):
    """A cell over time; batch-major like Flax, with lengths, resets and a carry.

    `layer = Recurrent("cifg", 3, 64, rngs=nnx.Rngs(0)); h = layer(x)`, x of shape `batch time
    features` and h of shape `batch time hidden`. `cell` is a name of the catalogue or a spec. The noise
    of a cell that has any is on in training, where a call needs `rngs`; `layer.eval()` turns it off, as
    does `deterministic=True`. A training call of a cell that observes (batch norm) also moves the
    statistics in `weights.row`, which a test uses.
    """

    def __init__(
        self,
        cell: Any,
        in_features: int,
        hidden_features: int,
        *,
        reverse: bool = False,
        engine: Engine = "auto",
        precision: Precision = "float32",
        keep: Keep = "auto",
        deterministic: bool = False,
        rngs: nnx.Rngs,
    ) -> None:
        self.spec = cell_spec(cell)
        self.in_features, self.hidden_features = in_features, hidden_features
        self.reverse = reverse
        self.engine: Engine = engine
        self.precision: Precision = precision
        self.keep: Keep = keep
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
        """Return h, or (carry, h). Padding is as in `engines.unroll`; time_major: `time *batch
        features`; deterministic: replaces the layer's own. Raises ValueError where noise lacks `rngs`.
        """
        cell, weights = self.spec.build(), nnx.as_pure(self.weights)
        if not time_major:
            x = jnp.moveaxis(x, -2, 0)
            resets = None if resets is None else jnp.moveaxis(resets, -1, 0)
        if carry is None:
            carry = cell.start(x.shape[1:-1], self.hidden_features, x.dtype)
        key = self.noise(cell, deterministic, rngs)
        if key is not None and cell.observe is not None:
            self.observe(cell, weights, x, lengths, resets, key)
        carry, h = unroll(
            cell,
            weights,
            carry,
            x,
            lengths=lengths,
            resets=resets,
            reverse=self.reverse,
            engine=self.engine,
            precision=self.precision,
            keep=self.keep,
            key=key,
        )
        h = h if time_major else jnp.moveaxis(h, 0, -2)
        return (carry, h) if return_carry else h

    def observe(
        self,
        cell: Cell,
        weights: Weights,
        x: Array,
        lengths: Array | None,
        resets: Array | None,
        key: Seed,
    ) -> None:
        """Blend what this call measures into the row; x is `time *batch features`."""
        assert cell.observe is not None
        masks = layout(x, lengths, resets, self.reverse)
        x, masks = turned(x, masks, lengths) if self.reverse else (x, masks)
        new = lax.stop_gradient(cell.observe(weights, clean(x, masks), masks, key))
        row = jax.tree.leaves(blended(weights.row, new, masks.valid))
        kept = jax.tree.leaves(self.weights.row, is_leaf=lambda leaf: isinstance(leaf, Switch))
        for variable, value in zip(kept, row, strict=True):
            variable[...] = value

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


def turned(x: Array, masks: Masks, lengths: Array | None) -> tuple[Array, Masks]:
    """Return inputs and masks in the order in which a reversed layer takes them, padding last."""
    steps, batch = x.shape[0], x.shape[1:-1]
    end = jnp.full(batch, steps) if lengths is None else jnp.asarray(lengths)
    when = (end - 1 - jnp.arange(steps).reshape(-1, *(1 for _ in batch))) % steps
    fresh = masks.fresh
    if fresh is not None:
        fresh = jnp.take_along_axis(fresh, when[..., None], 0)
    return jnp.take_along_axis(x, when[..., None], 0), Masks(masks.valid, fresh)
