"""Flax's own recurrent cells, linen and nnx, as our weights, and our weights as theirs.

::

    LSTMCell, OptimizedLSTMCell   ii if ig io without bias, hi hf hg ho with; nnx's Optimized holds
                                  them fused, i f g o, as dense_i and dense_h
    GRUCell   linen               ir iz in with bias, hr hz without, hn with: our b_hg
              nnx                 fused r z n, one bias, that of dense_i: no b_hg
    SimpleCell                    i (nnx: dense_i) with bias, h (dense_h) without; tanh
    z of a GRU is 1 - i
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lstm_research.cell import Weights, sizes
from lstm_research.interop.blocks import (
    GRU,
    GRU_UNBIASED,
    LSTM,
    RNN,
    Block,
    Foreign,
    blocks,
    fused,
    joined,
    packed,
    rule,
)

Loaded = tuple[Any, Weights]  # a spec, and weights for its cell
KNOWN = ("lstm", "gru", "rnn")
ORDERS = {"lstm": "ifgo", "gru": "rig", "rnn": "h"}
LETTERS = {
    "lstm": {"i": "i", "f": "f", "g": "g", "o": "o"},
    "gru": {"r": "r", "i": "z", "g": "n"},
}  # ours to linen's
ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}
MODULES = {
    nnx.LSTMCell: "lstm", nnx.OptimizedLSTMCell: "lstm", nnx.GRUCell: "gru", nnx.SimpleCell: "rnn",
}  # fmt: skip


def from_linen(params: Mapping[str, Any]) -> Loaded:
    """Return (spec, weights) of the parameters of a linen LSTMCell, OptimizedLSTMCell, GRUCell or
    SimpleCell.

    params: the cell's own, `{"ii": {"kernel": ..}, ..}`. The names tell which cell it is, and cannot tell
    a replaced activation, which is taken for the default. Raises Foreign for other names.
    """
    found = {frozenset(names(each)): each for each in KNOWN}.get(frozenset(params))
    if found is None:
        raise Foreign(f"no cell of linen that is known here has {', '.join(sorted(params))}")
    if found == "rnn":
        made = {"h": dense(params["i"], params["h"])}
        return RNN["tanh"], packed(RNN["tanh"].build(), made)
    made = {
        ours: dense(params[f"i{theirs}"], params[f"h{theirs}"])
        for ours, theirs in LETTERS[found].items()
    }
    if found == "gru":
        made["g"] = made["g"]._replace(
            b=np.asarray(params["in"]["bias"]), inner=np.asarray(params["hn"]["bias"])
        )
    spec = {"lstm": LSTM, "gru": GRU}[found]
    return spec, packed(spec.build(), made)


def to_linen(spec: Any, weights: Weights) -> dict[str, dict[str, Any]]:
    """Return the parameters of the linen cell of the same rule. Raises Foreign for other cells."""
    found, made = rule(spec, KNOWN, "Flax"), blocks(spec.build(), weights)
    if found == "rnn":
        one = made["h"]
        return {"i": numbers(kernel=one.w, bias=one.b), "h": numbers(kernel=one.r)}
    params: dict[str, dict[str, Any]] = {}
    for ours, theirs in LETTERS[found].items():
        one, lstm = made[ours], found == "lstm"
        params[f"i{theirs}"] = numbers(kernel=one.w) | ({} if lstm else numbers(bias=one.b))
        params[f"h{theirs}"] = numbers(kernel=one.r) | (numbers(bias=one.b) if lstm else {})
    if found == "gru":
        inner = made["g"].inner
        params["hn"] |= numbers(bias=np.zeros_like(made["g"].b) if inner is None else inner)
    return params


def from_nnx(cell: nnx.RNNCellBase) -> Loaded:
    """Return (spec, weights) of an nnx LSTMCell, OptimizedLSTMCell, GRUCell or SimpleCell.

    Raises Foreign for other modules, and where an activation is not one of ours.
    """
    found = MODULES.get(type(cell))
    if found is None:
        allowed = ", ".join(sorted(each.__name__ for each in MODULES))
        raise Foreign(f"{type(cell).__name__} is no cell that is known here; known are {allowed}")
    spec = default(cell, found)
    if isinstance(cell, nnx.LSTMCell):
        made = {n: dense(*(linear(getattr(cell, side)) for side in sides(n))) for n in "ifgo"}
    else:
        whole: Any = cell
        both = dense(linear(whole.dense_i), linear(whole.dense_h))
        made = joined(ORDERS[found], both.w, both.r, (both.b,))
    return spec, packed(spec.build(), made)


def to_nnx(spec: Any, weights: Weights) -> nnx.RNNCellBase:
    """Return an nnx OptimizedLSTMCell, GRUCell or SimpleCell with these weights.

    Raises Foreign for other cells, and for a GRU with b_hg, which nnx.GRUCell has not.
    """
    found, made = rule(spec, KNOWN, "Flax"), blocks(spec.build(), weights)
    if found == "gru" and made["g"].inner is not None and made["g"].inner.any():
        raise Foreign("nnx.GRUCell has no bias inside the reset product, and b_hg here is not 0")
    if found == "rnn" and spec.activation not in ACTIVATIONS:
        raise Foreign(f"nnx.SimpleCell is made here of tanh or relu, not of {spec.activation}")
    make = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "rnn": nnx.SimpleCell}[found]
    extra = {"activation_fn": ACTIVATIONS[spec.activation]} if found == "rnn" else {}
    dtype = made["h" if found == "rnn" else "g"].w.dtype
    size = sizes(spec.build(), weights)
    cell: Any = make(*size, dtype=dtype, param_dtype=dtype, rngs=nnx.Rngs(0), **extra)
    cell.dense_i.kernel[...] = fused(ORDERS[found], made, "w")
    cell.dense_h.kernel[...] = fused(ORDERS[found], made, "r")
    biased = cell.dense_h if found == "lstm" else cell.dense_i
    biased.bias[...] = fused(ORDERS[found], made, "b")
    return cell


def default(cell: Any, found: str) -> Any:
    """Return the spec of an nnx cell; raise Foreign where its activations are not those of a spec."""
    acts = {id(act): name for name, act in ACTIVATIONS.items()}
    if found == "rnn" and id(cell.activation_fn) in acts and not cell.residual:
        return RNN[acts[id(cell.activation_fn)]]
    if found != "rnn" and (cell.gate_fn, cell.activation_fn) == (jax.nn.sigmoid, jnp.tanh):
        return {"lstm": LSTM, "gru": GRU_UNBIASED}[found]
    raise Foreign(f"this {type(cell).__name__} has activations or a residual that no cell here has")


def sides(letter: str) -> tuple[str, str]:
    """Return the names of a gate's two layers in nnx.LSTMCell, where `if` would be a keyword."""
    return "if_" if letter == "f" else f"i{letter}", f"h{letter}"


def linear(layer: Any) -> dict[str, Any]:
    """Return the parameters of an nnx.Linear as linen has them."""
    bias = {} if layer.bias is None else {"bias": layer.bias[...]}
    return {"kernel": layer.kernel[...]} | bias


def dense(of_input: Mapping[str, Any], of_hidden: Mapping[str, Any]) -> Block:
    """Return the block of two layers; the one bias is that of whichever has it."""
    bias = of_input["bias"] if "bias" in of_input else of_hidden["bias"]
    return Block(*(np.asarray(each) for each in (of_input["kernel"], of_hidden["kernel"], bias)))


def names(rule: str) -> set[str]:
    """Return what linen calls the layers of a cell."""
    if rule == "rnn":
        return {"i", "h"}
    return {side + theirs for theirs in LETTERS[rule].values() for side in "ih"}


def numbers(**arrays: np.ndarray) -> dict[str, Any]:
    """Return arrays as JAX has them."""
    return {name: jnp.asarray(each) for name, each in arrays.items()}
