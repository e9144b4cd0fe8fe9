"""A trained network as an ONNX file: `export(network, "network.onnx")`.

A cell that is an operator of ONNX is written as that operator; every other one as a `Scan` whose body
is the cell's own step. Batch and time stay free.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from lstm_research.axes import Array, Tree
from lstm_research.interop import onnx_operators
from lstm_research.interop.forward import Forward, forward, layers, scanned
from lstm_research.interop.onnx_graph import Graph, NotExported, package, value_info
from lstm_research.interop.onnx_scan import refusals, translate
from lstm_research.network import Network
from lstm_research.nnx_layer import Recurrent
from lstm_research.unroll import unroll_scan

OPSET, IR = 18, 8  # fixed, so that a file means the same to every runtime that reads it


def export(network: Network | Recurrent, path: str | Path, *, stateful: bool = False) -> Path:
    """Write a network, or one recurrent layer, as an ONNX file; return its path.

    Inputs: `x`, `batch time features` of float32, or `tokens`, `batch time` of int32; `lengths`,
    `batch` of int32, at most time. Outputs: `outputs` (`h` of a layer), and the carry of each layer
    after its last valid step, `layer0.forward.c`; with `stateful` the carries before the first step
    are inputs too, `layer0.forward.c.before`. Dropout and noise are off. Raises NotExported, a
    ValueError, where ONNX cannot hold a cell, ImportError where the package onnx is absent.
    """
    onnx = package()
    made = model(forward(network, recur, stateful=stateful))
    onnx.helper.set_model_props(made, {k: repr(way.spec) for k, way in layers(network).items()})
    onnx.checker.check_model(made)
    path = Path(path)
    path.write_bytes(made.SerializeToString())
    return path


def supported(spec: Any) -> str:
    """Return what serves a cell: "LSTM", "GRU", "RNN", "Scan", or "not exported: reason"."""
    name = onnx_operators.route(spec)
    if name is not None:
        return name
    cell = spec.build()

    def step(key: Array, x: Array) -> Any:
        weights = cell.init(key, WIDTH, WIDTH)
        return weights, cell.start((2,), WIDTH, x.dtype)

    weights, carry = jax.eval_shape(step, jax.random.key(0), jnp.zeros(0))
    x, lengths = jnp.zeros((2, 2, WIDTH)), jnp.ones(2, jnp.int32)
    loop = lambda weights, carry: unroll_scan(cell, weights, carry, x, lengths=lengths)
    reasons = refusals(jax.make_jaxpr(loop)(weights, carry))
    return next((f"not exported: {reason}" for reason in reasons), "Scan")


WIDTH = 8  # of the cell that `supported` looks at


def recur(layer: Recurrent, carry: Tree, x: Array, lengths: Array) -> tuple[Tree, Array]:
    """Run a layer as the operator that its cell is, else as a scan."""
    if onnx_operators.route(layer.spec) is None:
        return scanned(layer, carry, x, lengths)
    made = onnx_operators.operator(layer.spec, nnx.as_pure(layer.weights))
    return onnx_operators.run(made, carry, x, lengths, layer.reverse)


def model(program: Forward) -> Any:
    """Return a function of arrays as an ONNX model."""
    helper, graph = package().helper, Graph()
    names = inputs(graph, program)
    arguments = list(program.arguments.values())
    closed, shapes = jax.make_jaxpr(program.run, return_shape=True)(*arguments)
    found = translate(graph, closed, names)
    for name, value in zip(sorted(shapes), found, strict=True):  # JAX sorts the keys of a dict
        graph.nodes.append(helper.make_node("Identity", [value], [name]))
    drawn = helper.make_graph(
        graph.nodes,
        "network",
        [
            value_info(name, each.dtype, each.shape)
            for name, each in zip(names, arguments, strict=True)
        ],
        [value_info(name, each.dtype, each.shape) for name, each in shapes.items()],
        initializer=list(graph.weights.values()),
    )
    version = helper.make_opsetid("", OPSET)
    return helper.make_model(
        drawn, opset_imports=[version], ir_version=IR, producer_name="lstm_research"
    )


def inputs(graph: Graph, program: Forward) -> list[str]:
    """Name the inputs of a graph, and what is known of batch and time from the first."""
    names = [name if "." not in name else f"{name}.before" for name in program.arguments]
    graph.own.update(names)
    shape = graph.one("Shape", names[0])
    for axis, symbol in enumerate(("batch", "time")):
        graph.known[symbol] = graph.one("Gather", shape, graph.integers(axis), axis=0)
    return names


__all__ = ["IR", "OPSET", "NotExported", "export", "model", "supported"]
