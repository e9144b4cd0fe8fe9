"""One LSTM in six libraries of JAX, from one set of weights, so that all of them do the same work.

A rival is `make(spec, weights) -> (params, apply)`; apply(params, x) returns h of every step, x of
`time batch features`. Each is set up as its own documentation runs it over time-major inputs; Haiku adds
1 to a forget bias and Keras wants the batch first, and both are given what makes them equal.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

import lstm_research as lr
from lstm_research.axes import Array, Tree
from lstm_research.cell import Weights, sizes
from lstm_research.engines import engines
from lstm_research.interop.blocks import LSTM, blocks, fused

Apply = Callable[[Tree, Array], Array]
Make = Callable[[str, Weights], tuple[Tree, Apply]]


class Rival(NamedTuple):
    """Which package it needs, and how it is made from our weights."""

    package: str
    make: Make


def ours(engine: Any, **settings: Any) -> Make:
    """Return our recurrence with an engine; serves every cell of the catalogue.

    settings: of `unroll`, its precision for instance.
    """

    def make(name: str, weights: Weights) -> tuple[Tree, Apply]:
        cell = lr.cell(name)

        def apply(weights: Weights, x: Array) -> Any:
            hidden = sizes(cell, weights)[1]
            carry = cell.start(x.shape[1:-1], hidden, x.dtype)
            return lr.unroll(cell, weights, carry, x, engine=engine, **settings)[1]

        return weights, apply

    return make


def flax_nnx(optimized: bool) -> Make:
    """Return Flax's nnx.RNN over its LSTM with fused or with separate products."""

    def make(name: str, weights: Weights) -> tuple[Tree, Apply]:
        from flax import nnx

        from lstm_research.interop import flax

        cell = flax.to_nnx(LSTM, weights)
        if not optimized:
            cell = separate(weights)
        layer = nnx.RNN(cell, time_major=True, rngs=nnx.Rngs(0))
        graph, params, rest = nnx.split(layer, nnx.Param, ...)

        def apply(params: Tree, x: Array) -> Any:
            return nnx.merge(graph, params, rest, copy=True)(x)

        return params, apply

    return make


def separate(weights: Weights) -> Any:
    """Return an nnx.LSTMCell, which has a product a gate, with our weights."""
    from flax import nnx

    from lstm_research.interop import flax

    features, hidden = sizes(LSTM.build(), weights)
    cell: Any = nnx.LSTMCell(features, hidden, rngs=nnx.Rngs(0))
    for letter, layer in flax.to_linen(LSTM, weights).items():
        for field, value in layer.items():
            getattr(getattr(cell, f"{letter}_" if letter == "if" else letter), field)[...] = value
    return cell


def flax_linen(name: str, weights: Weights) -> tuple[Tree, Apply]:
    """Return linen's RNN over its fused LSTM."""
    from flax import linen

    from lstm_research.interop import flax

    features, hidden = sizes(LSTM.build(), weights)
    layer = linen.RNN(linen.OptimizedLSTMCell(hidden), time_major=True)
    x = jnp.zeros((1, 1, features))
    (inner,) = layer.init(jax.random.key(0), x)["params"]
    params = {"params": {inner: jax.tree.map(jnp.asarray, flax.to_linen(LSTM, weights))}}
    return params, lambda params, x: layer.apply(params, x)  # pyright: ignore[reportReturnType]


def haiku(name: str, weights: Weights) -> tuple[Tree, Apply]:
    """Return Haiku's LSTM under dynamic_unroll: gates i g f o, one matrix for x and h, f + 1."""
    import haiku as hk  # pyright: ignore[reportMissingImports]

    made, (features, hidden) = blocks(LSTM.build(), weights), sizes(LSTM.build(), weights)
    cut = {field: fused("igfo", made, field) for field in "wrb"}
    cut["b"][2 * hidden : 3 * hidden] -= 1.0

    def run(x: Array) -> Any:
        core = hk.LSTM(hidden)
        return hk.dynamic_unroll(core, x, core.initial_state(x.shape[1]))[0]

    net = hk.without_apply_rng(hk.transform(run))
    shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 1, features)))
    (layer,) = shapes
    both = jnp.concatenate([cut["w"], cut["r"]])
    return {layer: {"w": both, "b": jnp.asarray(cut["b"])}}, net.apply


def equinox(name: str, weights: Weights) -> tuple[Tree, Apply]:
    """Return Equinox's LSTMCell, mapped over the batch inside a scan over time."""
    import equinox as eqx  # pyright: ignore[reportMissingImports]

    made, (features, hidden) = blocks(LSTM.build(), weights), sizes(LSTM.build(), weights)
    cell: Any = eqx.nn.LSTMCell(features, hidden, key=jax.random.key(0))
    there = lambda cell: (cell.weight_ih, cell.weight_hh, cell.bias)
    w, r, b = (jnp.asarray(fused("ifgo", made, field)) for field in "wrb")
    cell = eqx.tree_at(there, cell, (w.T, r.T, b))
    params, rest = eqx.partition(cell, eqx.is_array)

    def apply(params: Tree, x: Array) -> Array:
        one = eqx.combine(params, rest)

        def body(carry: Tree, x: Array) -> tuple[Tree, Array]:
            carry = jax.vmap(one)(x, carry)
            return carry, carry[0]

        zero = jnp.zeros((x.shape[1], hidden), x.dtype)
        return lax.scan(body, (zero, zero), x)[1]

    return params, apply


def keras(name: str, weights: Weights) -> tuple[Tree, Apply]:
    """Return Keras' LSTM on its JAX backend; it takes the batch first."""
    import keras as package  # pyright: ignore[reportMissingImports]

    from lstm_research.interop import keras as bridge

    if package.backend.backend() != "jax":
        raise RuntimeError(f"KERAS_BACKEND={package.backend.backend()}, and this compares JAX")
    layer = bridge.to_keras(LSTM, weights, return_sequences=True)
    params = [variable.value for variable in layer.trainable_variables]
    rest = [variable.value for variable in layer.non_trainable_variables]

    def apply(params: Tree, x: Array) -> Array:
        return layer.stateless_call(params, rest, jnp.swapaxes(x, 0, 1))[0]

    return params, apply


def weights(name: str, features: int, hidden: int) -> Weights:
    """Return the weights that all rivals begin with."""
    return lr.cell(name).init(jax.random.key(0), features, hidden)


RIVALS: dict[str, Rival] = {
    **{f"ours, {engine}": Rival("jax", ours(engine)) for engine in ("auto", *engines())},
    "flax nnx.RNN, OptimizedLSTMCell": Rival("flax", flax_nnx(True)),
    "flax nnx.RNN, LSTMCell": Rival("flax", flax_nnx(False)),
    "flax linen.RNN": Rival("flax", flax_linen),
    "haiku": Rival("haiku", haiku),
    "equinox": Rival("equinox", equinox),
    "keras (jax)": Rival("keras", keras),
}
