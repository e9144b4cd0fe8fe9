"""The weight lists of Keras layers, `get_weights()`, as our weights, and our weights as theirs.

::

    LSTM        [kernel, recurrent_kernel, bias] in the order i f c o; c is our g
    GRU         z r h, z = 1 - i, h is our g
                reset_after=True: bias has two rows, of input and recurrence; b_h of the second is our
                b_hg. reset_after=False: the cell gru_before, bias has one row
    SimpleRNN   h
    a layer with use_bias=False has no third array; its biases are 0 here

The lists need no Keras; `to_keras` makes a layer, and needs it.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from lstm_research.cell import Weights, sizes
from lstm_research.interop.blocks import (
    GRU,
    GRU_BEFORE,
    LSTM,
    RNN,
    Foreign,
    blocks,
    double,
    fused,
    joined,
    packed,
    rule,
)

Loaded = tuple[Any, Weights]  # a spec, and weights for its cell
ORDERS = {"lstm": "ifgo", "gru": "irg", "gru_before": "irg", "rnn": "h"}
INSTALL = "pip install 'lstm-research[keras]'"


def load_lstm(arrays: Sequence[Any]) -> Loaded:
    """Return (spec, weights) of the list of a Keras LSTM: `lr.unroll(spec.build(), weights, ..)`.

    Raises Foreign where the shapes are not those of an LSTM. Activations are taken for the default.
    """
    return load(arrays, "lstm", LSTM)


def load_gru(arrays: Sequence[Any], reset_after: bool = True) -> Loaded:
    """Return (spec, weights) of the list of a Keras GRU; the shape of the bias must fit
    `reset_after`, Keras's own default.
    """
    if len(arrays) == 3 and (np.ndim(arrays[2]) == 2) != reset_after:
        raise Foreign(
            f"the bias has shape {np.shape(arrays[2])}, so this GRU has reset_after={not reset_after}"
        )
    return load(arrays, "gru", GRU) if reset_after else load(arrays, "gru_before", GRU_BEFORE)


def load_rnn(
    arrays: Sequence[Any], activation: Literal["tanh", "relu", "identity"] = "tanh"
) -> Loaded:
    """Return (spec, weights) of the list of a Keras SimpleRNN, which does not tell its activation."""
    return load(arrays, "rnn", RNN[activation])


def load(arrays: Sequence[Any], name: str, spec: Any) -> Loaded:
    """Return (spec, weights) of a list under one of the rules."""
    order, shapes = ORDERS[name], [np.shape(each) for each in arrays]
    if len(shapes) not in (2, 3) or any(len(shape) != 2 for shape in shapes[:2]):
        raise Foreign(f"a Keras layer has 2 or 3 arrays, kernels first; these have shapes {shapes}")
    w, r, *b = (np.asarray(each) for each in arrays)
    wide = len(order) * r.shape[0]
    if any(each.shape[-1] != wide for each in (w, r, *b)):
        raise Foreign(f"shapes {shapes} are not {len(order)} blocks of {r.shape[0]} units")
    biases = tuple(b[0]) if b and b[0].ndim == 2 else tuple(b)
    return spec, packed(spec.build(), joined(order, w, r, biases, inner=name == "gru"))


def arrays(spec: Any, weights: Weights) -> list[np.ndarray]:
    """Return the list that `set_weights` of the Keras layer of the same rule takes.

    Raises Foreign for cells other than those of lstm, gru, gru_before and elman.
    """
    name = rule(spec, tuple(ORDERS), "Keras")
    made, order = blocks(spec.build(), weights), ORDERS[name]
    bias = np.stack(double(order, made)) if name == "gru" else fused(order, made, "b")
    return [fused(order, made, "w"), fused(order, made, "r"), bias]


def to_keras(spec: Any, weights: Weights, **settings: Any) -> Any:
    """Return a built Keras layer with these weights: LSTM, GRU or SimpleRNN.

    settings: of the layer, `return_sequences=True` for instance. Raises Foreign as `arrays`,
    ImportError where Keras is absent, or the backend that it is set to.
    """
    try:
        import keras  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            f"to_keras needs Keras: {INSTALL}, and KERAS_BACKEND=jax where TensorFlow is absent ({error})"
        ) from error
    held, name = arrays(spec, weights), rule(spec, tuple(ORDERS), "Keras")
    features, hidden = sizes(spec.build(), weights)
    if name == "lstm":
        layer = keras.layers.LSTM(hidden, **settings)
    elif name == "rnn":
        act = "linear" if spec.activation == "identity" else spec.activation
        layer = keras.layers.SimpleRNN(hidden, activation=act, **settings)
    else:
        layer = keras.layers.GRU(hidden, reset_after=name == "gru", **settings)
    layer.build((None, None, features))
    layer.set_weights(held)
    return layer
