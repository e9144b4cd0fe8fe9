"""The network around the recurrence, of Flax's own layers: embed, recur, normalise, drop, read out."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
from flax import nnx

from lstm_research.axes import Array, Bool, Float, Int, Seed, Tree
from lstm_research.cell import outputs as emitted
from lstm_research.keep import Keep
from lstm_research.nnx_cell import cell_spec
from lstm_research.nnx_layer import Recurrent
from lstm_research.precision import Precision
from lstm_research.unroll import Engine


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
    """The shape of a network: what a run's `network` settings say."""

    hidden: int = 64  # units of each layer and direction
    layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0  # share of each layer's outputs dropped, the last one's too
    layer_norm: bool = False  # on each layer's outputs
    embed: int | None = None  # width of token embeddings; null: tokens enter one-hot
    engine: Engine = "auto"
    precision: Precision = dataclasses.field(default="float32", metadata={"later": True})
    keep: Keep = dataclasses.field(default="auto", metadata={"later": True})

    def __post_init__(self) -> None:
        for name in ("hidden", "layers", "embed"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} is a share and must lie in [0, 1)")


class Network(nnx.Module):
    """Stacked, one- or two-way recurrent layers between an input encoding and a linear read-out.

    Give `features` for real inputs `batch time features`, or `vocabulary` for tokens `batch time`.
    `readout="step"` predicts at every step, `batch time outputs`; "last" at the last valid step
    (two-way: the last of each direction), `batch outputs`. `outputs=None` reads nothing out: what comes
    back is what the last layer gives. Dropout after every recurrent layer acts
    on non-recurrent connections only (Zaremba, Sutskever & Vinyals 2014, arXiv:1409.2329);
    `network.eval()` turns it off, as does `deterministic=True`, and with it the noise of a cell that
    has any. Such a cell takes its keys from the `rngs` of a call.
    """

    def __init__(
        self,
        cell: Any,
        spec: NetworkSpec,
        *,
        outputs: int | None,
        features: int | None = None,
        vocabulary: int | None = None,
        readout: Literal["step", "last"] = "step",
        rngs: nnx.Rngs,
    ) -> None:
        if (features is None) == (vocabulary is None):
            raise ValueError(
                f"give features or vocabulary; got features={features}, vocabulary={vocabulary}"
            )
        if readout not in ("step", "last"):
            raise ValueError(f"readout={readout!r} is not one of 'last', 'step'")
        self.cell, self.settings = cell_spec(cell), spec
        dtype = jnp.zeros(()).dtype  # that of the cells: float64 where JAX has it enabled
        self.vocabulary, self.readout = vocabulary, readout
        if vocabulary is not None and spec.embed is not None:
            width = spec.embed
            self.embed = nnx.Embed(vocabulary, width, param_dtype=dtype, rngs=rngs)
        else:
            width = cast(int, features if vocabulary is None else vocabulary)  # one of them is set
            self.embed = None
        ways = (False, True) if spec.bidirectional else (False,)
        self.layers, self.norms = nnx.List(), nnx.List()
        for _ in range(spec.layers):
            self.layers.append(
                nnx.List(
                    Recurrent(
                        self.cell,
                        width,
                        spec.hidden,
                        reverse=way,
                        engine=spec.engine,
                        precision=spec.precision,
                        keep=spec.keep,
                        rngs=rngs,
                    )
                    for way in ways
                )
            )
            width = emitted(self.cell.build(), spec.hidden) * len(ways)
            if spec.layer_norm:
                self.norms.append(nnx.LayerNorm(width, param_dtype=dtype, rngs=rngs))
        self.dropout = nnx.Dropout(spec.dropout, rngs=rngs)
        self.out = (
            None if outputs is None else nnx.Linear(width, outputs, param_dtype=dtype, rngs=rngs)
        )

    def __call__(
        self,
        x: Float[Array, "batch time features"] | Int[Array, "batch time"],
        *,
        lengths: Int[Array, "batch"] | None = None,
        resets: Bool[Array, "batch time"] | None = None,
        deterministic: bool | None = None,
        dropout: Float[Array, ""] | None = None,
        rngs: nnx.Rngs | None = None,
        carry: Tree = None,
        return_carry: bool = False,
        run: Callable[..., Any] = Recurrent.__call__,
    ) -> Any:
        """Return the outputs, or (carry, outputs).

        dropout: a rate as data in place of the spec's, in training; carry: what `start` or an earlier
        call returned, for sequences that go on; run: what takes each layer and its inputs in place of
        the layer, to look inside (`analysis/`).
        """
        h, after = self.encode(jnp.moveaxis(x, 1, 0)), []
        resets = None if resets is None else resets.T
        for depth, ways in enumerate(self.layers):
            before = [None for _ in ways] if carry is None else carry[depth]
            runs = [
                run(
                    way,
                    h,
                    lengths=lengths,
                    resets=resets,
                    return_carry=True,
                    time_major=True,
                    deterministic=deterministic,
                    rngs=rngs,
                    carry=start,
                )
                for way, start in zip(ways, before, strict=True)
            ]
            after.append(tuple(end for end, _ in runs))
            h = jnp.concatenate([out for _, out in runs], -1) if len(runs) > 1 else runs[0][1]
            ends = [way.spec.build().emit(end) for way, end in zip(ways, after[-1], strict=True)]
            last = depth == len(self.layers) - 1 and self.readout == "last"
            h = jnp.concatenate(ends, -1) if last else h
            h = self.norms[depth](h) if len(self.norms) else h
            if dropout is None or deterministic:
                h = self.dropout(h, deterministic=deterministic, rngs=rngs)
            else:
                assert rngs is not None
                h = dropped(h, dropout, rngs.dropout())
        out = h if self.out is None else self.out(h)
        out = out if self.readout == "last" else jnp.moveaxis(out, 0, 1)
        return (tuple(after), out) if return_carry else out

    def start(self, rows: int) -> Tree:
        """Return the carry of so many rows before their first step: of each layer, of each way."""
        dtype = jnp.zeros(()).dtype
        begin = lambda way: way.spec.build().start((rows,), way.hidden_features, dtype)
        return tuple(tuple(begin(way) for way in ways) for ways in self.layers)

    def encode(self, x: Array) -> Float[Array, "time batch width"]:
        """Return inputs as vectors."""
        if self.vocabulary is None:
            return x
        return jax.nn.one_hot(x, self.vocabulary) if self.embed is None else self.embed(x)


def dropped(x: Array, rate: Float[Array, ""], key: Seed) -> Array:
    """Return x with a share of it dropped, as `nnx.Dropout` does, which takes no array for a rate."""
    kept = 1.0 - rate
    return jnp.where(jax.random.bernoulli(key, kept, x.shape), x / kept, 0)


def parameters(network: nnx.Module) -> int:
    """Return the number of trained numbers in a module."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, nnx.Param)))
