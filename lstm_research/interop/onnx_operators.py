"""The cells that are operators of ONNX: LSTM, GRU and RNN, which every runtime has kernels for.

::

    LSTM  i o f c   i, f see c through P, o sees c'; input_forget: f = 1 - i
    GRU   z r h     h' = (1 - z) g + z h, so z = 1 - i and W_z = -W_i;
                    linear_before_reset=1: g = tanh(x_g + r (h R_g + b_hg)), 0: .. + (r h) R_g
    RNN             h' = act(x W + h R + b)

Each has two biases, of which the second is 0 here but for b_hg. A spec is taken for an operator only
where every field that differs from the default of its kind is one that is understood here, so that a
new field of a cell can never be lost on the way. ONNX says of input_forget no more than that the gates
are coupled; f = 1 - i is what ONNX Runtime computes.

Source: ONNX operators LSTM, GRU and RNN of opset 14; what they compute is held to ONNX Runtime by the
tests.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import core as shapes
from jax.extend import core

from lstm_research.axes import Array, Tree
from lstm_research.cell import Weights
from lstm_research.cells.elman import Elman
from lstm_research.cells.gru_before import GruBefore
from lstm_research.gated import GateSpec, stage, switches
from lstm_research.interop.onnx_graph import Graph
from lstm_research.masks import choose

Name = Literal["LSTM", "GRU", "RNN"]
PRIMITIVE = core.Primitive("onnx_operator")
PRIMITIVE.multiple_results = True
STARTS = {"kernel", "recurrent", "bias", "forget_bias", "chrono", "uniform_gates"}
GRU = {
    "coupled": True,
    "reset_gate": True,
    "reset_bias": True,  # or not
    "output_gate": False,
    "squash_output": False,
}


class Operator(NamedTuple):
    """An operator with its attributes and its weights, one direction each."""

    name: Name
    attributes: dict[str, Any]
    w: np.ndarray  # 1 (blocks hidden) features
    r: np.ndarray  # 1 (blocks hidden) hidden
    b: np.ndarray  # 1 (2 blocks hidden)
    p: np.ndarray | None = None  # 1 (3 hidden)


def route(spec: Any) -> Name | None:
    """Return the operator that a cell is; None where it is none."""
    if type(spec) not in (GateSpec, GruBefore, Elman):
        return None
    odd: dict[str, Any] = {
        field.name: getattr(spec, field.name)
        for field in dataclasses.fields(spec)
        if field.name not in STARTS and getattr(spec, field.name) != field.default
    }
    if type(spec) is GateSpec and odd.keys() <= {"coupled", "peephole"}:
        return "LSTM"
    if type(spec) is GateSpec:
        return "GRU" if {"reset_bias": True, **odd} == GRU else None
    if type(spec) is GruBefore:
        return None if odd else "GRU"
    return "RNN" if odd in ({}, {"activation": "relu"}) else None


def operator(spec: Any, weights: Weights) -> Operator:
    """Return the operator of a cell for which `route` names one."""
    p = {name: np.asarray(value) for name, value in weights.p.items()}
    if type(spec) is GateSpec:
        blocks = stage(switches(spec))
        inputs, hears = blocks.both + blocks.driven, blocks.both + blocks.recurred
        w, r, b = cut(inputs, weights.w), cut(hears, weights.r[0]), cut(inputs, weights.b)
        return lstm(spec, w, r, b, p) if route(spec) == "LSTM" else gru(1, w, r, b, p.get("b_hg"))
    if type(spec) is GruBefore:
        r = cut("ir", weights.r[0]) | cut("g", weights.r[1])
        return gru(0, cut("irg", weights.w), r, cut("irg", weights.b), None)
    w, r, b = (cut("h", each) for each in (weights.w, weights.r[0], weights.b))
    activations = {"activations": (spec.activation.title(),)}
    return Operator("RNN", activations, *laid("h", w, r, b, np.zeros_like(b["h"])))


def cut(names: str, matrix: Any) -> dict[str, np.ndarray]:
    """Cut columns into blocks by letter, each with its outputs first as ONNX has them."""
    parts = np.split(np.asarray(matrix), len(names), -1)
    return {name: part.T for name, part in zip(names, parts, strict=True)}


Blocks = dict[str, np.ndarray]


def laid(
    order: str, w: Blocks, r: Blocks, b: Blocks, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return W, R and B of one direction with their blocks in an order; `second` is the last bias."""
    joined = [np.concatenate([part[n] for n in order])[None] for part in (w, r, b)]
    return joined[0], joined[1], np.concatenate([joined[2], second[None]], -1)


def lstm(spec: GateSpec, w: Blocks, r: Blocks, b: Blocks, p: Blocks) -> Operator:
    """Return an LSTM; a coupled one holds zeros where a forget gate would be."""
    if spec.coupled:
        w, r, b = ({"f": np.zeros_like(part["i"])} | part for part in (w, r, b))
    none = np.zeros_like(b["i"])
    seen = np.concatenate([p.get(f"p_{n}", none) for n in "iof"])[None] if spec.peephole else None
    attributes = {"input_forget": int(spec.coupled)}
    return Operator("LSTM", attributes, *laid("iofg", w, r, b, np.tile(none, 4)), seen)


def gru(after: int, w: Blocks, r: Blocks, b: Blocks, inner: np.ndarray | None) -> Operator:
    """Return a GRU that resets after its product, or before; z keeps where i overwrites."""
    w, r, b = (part | {"z": -part["i"]} for part in (w, r, b))
    none = np.zeros_like(b["g"])
    second = np.concatenate([none, none, none if inner is None else inner])
    return Operator("GRU", {"linear_before_reset": after}, *laid("zrg", w, r, b, second))


def run(made: Operator, carry: Tree, x: Array, lengths: Array, reverse: bool) -> tuple[Tree, Array]:
    """Run an operator over time where it is to be written down; x is `time batch features`.

    Operators leave the state of a sequence of length 0 at zero; here it keeps the carry that came in.
    """
    direction = "reverse" if reverse else "forward"
    attributes = made.attributes | {"direction": direction, "hidden_size": made.r.shape[-1]}
    states = [carry.h[None], *([carry.c[None]] if made.name == "LSTM" else [])]
    arrays = [made.w, made.r, made.b, lengths, *states, *([] if made.p is None else [made.p])]
    h, *ends = PRIMITIVE.bind(
        x,
        *(jnp.asarray(each) for each in arrays),
        op=made.name,
        attributes=tuple(attributes.items()),
        states=len(states),
    )
    last = dict(zip("hc", (jnp.squeeze(end, 0) for end in ends), strict=False))
    return choose((lengths > 0)[:, None], carry._replace(**last), carry), jnp.squeeze(h, 1)


@PRIMITIVE.def_abstract_eval
def typed(x: Any, *rest: Any, op: str, attributes: Any, states: int) -> list[Any]:
    """Return the types of h of all steps and of the states after the last."""
    time, batch, _ = x.shape
    hidden = dict(attributes)["hidden_size"]
    h = shapes.ShapedArray((time, 1, batch, hidden), x.dtype)
    return [h] + [shapes.ShapedArray((1, batch, hidden), x.dtype)] * states


def write(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    """Write the node."""
    return graph.here(eqn.params["op"], names, len(eqn.outvars), **dict(eqn.params["attributes"]))
