"""A network as one function of named arrays, with the carries that its layers end in: what an
export writes down.

::

    x | tokens, lengths [, carries]  ->  outputs | h, carries

Every array is batch-major; a carry is named `layer0.forward.c` by layer, direction and leaf. Dropout
and all noise are off.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import export

from lstm_research import stream
from lstm_research.axes import Array, Tree
from lstm_research.network import Network
from lstm_research.nnx_layer import Recurrent
from lstm_research.unroll import unroll_scan

Recur = Callable[[Recurrent, Tree, Array, Array], tuple[Tree, Array]]


class Forward(NamedTuple):
    """A function from arrays to named arrays, and what its arguments are."""

    run: Callable[..., dict[str, Array]]
    arguments: dict[str, Any]  # jax.ShapeDtypeStruct, in the order of the function, sizes symbolic


def scanned(layer: Recurrent, carry: Tree, x: Array, lengths: Array) -> tuple[Tree, Array]:
    """Run a layer as one `lax.scan`, which every format can hold; x is `time batch features`."""
    weights = nnx.as_pure(layer.weights)
    cell = layer.spec.build()
    return unroll_scan(cell, weights, carry, x, lengths=lengths, reverse=layer.reverse)


def layers(network: Network | Recurrent) -> dict[str, Recurrent]:
    """Return the recurrent layers by name."""
    if isinstance(network, Recurrent):
        return {label(0, network): network}
    return {label(k, way): way for k, ways in enumerate(network.layers) for way in ways}


def label(depth: int, layer: Recurrent) -> str:
    """Return the name of a layer: its depth and its direction."""
    return f"layer{depth}.{'backward' if layer.reverse else 'forward'}"


def named(name: str, carry: Tree) -> dict[str, Array]:
    """Return the leaves of a carry by name."""
    return {f"{name}.{leaf}": value for leaf, value in stream.named(carry)}


def forward(
    network: Network | Recurrent, recur: Recur = scanned, *, stateful: bool = False
) -> Forward:
    """Return a network, or one layer, as a function of arrays whose batch and time are symbols.

    stateful: the carries before the first step are arguments as well, else they are the cells'
    start. Raises ValueError where `network` is neither a Network nor a Recurrent.
    """
    if not isinstance(network, (Network, Recurrent)):
        raise ValueError(f"network={type(network).__name__} is not a Network or a Recurrent layer")
    batch, time = export.symbolic_shape("batch, time")
    found = layers(network)
    first = next(iter(found.values()))
    if isinstance(network, Network) and network.vocabulary is not None:
        arguments: dict[str, Any] = {"tokens": jax.ShapeDtypeStruct((batch, time), jnp.int32)}
    else:
        arguments = {"x": jax.ShapeDtypeStruct((batch, time, first.in_features), jnp.float32)}
    arguments["lengths"] = jax.ShapeDtypeStruct((batch,), jnp.int32)
    for name, layer in found.items() if stateful else ():
        arguments |= named(name, jax.eval_shape(lambda layer=layer: start(layer, batch)))

    def run(x: Array, lengths: Array, *carries: Array) -> dict[str, Array]:
        given = dict(zip(list(arguments)[2:], carries, strict=True))
        ends: dict[str, Array] = {}

        def tapped(name: str, layer: Recurrent, x: Array, lengths: Array) -> tuple[Tree, Array]:
            end, h = recur(layer, begun(name, layer, x.shape[1], given), x, lengths)
            ends.update(named(name, end))
            return end, h

        return {**applied(network, tapped, x, lengths), **ends}

    return Forward(run, arguments)


def start(layer: Recurrent, batch: Any) -> Tree:
    """Return the carry before the first step."""
    return layer.spec.build().start((batch,), layer.hidden_features, jnp.float32)


def begun(name: str, layer: Recurrent, batch: Any, given: Mapping[str, Array]) -> Tree:
    """Return the carry that a layer starts from: what was given, else its cell's start."""
    if not given:
        return start(layer, batch)
    carry = jax.eval_shape(lambda: start(layer, batch))
    leaves = [given[each] for each in named(name, carry)]
    return jax.tree.unflatten(jax.tree.structure(carry), leaves)


def applied(
    network: Network | Recurrent,
    run: Callable[..., tuple[Tree, Array]],
    x: Array,
    lengths: Array,
) -> dict[str, Array]:
    """Apply a network in evaluation, each layer run over time by `run`."""
    if isinstance(network, Recurrent):
        _, h = run(label(0, network), network, jnp.moveaxis(x, 1, 0), lengths)
        return {"h": jnp.moveaxis(h, 0, 1)}
    still = nnx.clone(network)
    still.eval()
    names = {id(layer): name for name, layer in layers(still).items()}

    def instead(layer: Recurrent, x: Array, *, lengths: Array, **rest: Any) -> tuple[Tree, Array]:
        return run(names[id(layer)], layer, x, lengths)

    return {"outputs": still(x, lengths=lengths, run=instead)}
