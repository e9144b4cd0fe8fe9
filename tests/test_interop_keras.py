"""Keras's layers and our cells compute the same, in both directions."""

import os
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from sampled import first

import lstm_research as lr
from lstm_research.interop import keras as ours
from lstm_research.interop.blocks import Foreign

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="needs Keras: pip install 'lstm-research[keras]'")
# Keras 3.15 reads its variables by an __array__ without the `copy` of NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TOLERANCE = 1e-5  # Keras multiplies in single precision on JAX, whatever a layer's dtype says
KINDS = {
    "lstm": (keras.layers.LSTM, {}, ours.load_lstm, {}),
    "gru": (keras.layers.GRU, {"reset_after": True}, ours.load_gru, {}),
    "gru_before": (
        keras.layers.GRU, {"reset_after": False}, ours.load_gru, {"reset_after": False},
    ),
    "rnn": (keras.layers.SimpleRNN, {}, ours.load_rnn, {}),
    "relu": (
        keras.layers.SimpleRNN, {"activation": "relu"}, ours.load_rnn, {"activation": "relu"},
    ),
    "linear": (
        keras.layers.SimpleRNN, {"activation": "linear"}, ours.load_rnn, {"activation": "identity"},
    ),
}  # fmt: skip


def theirs(kind, seed, **more):
    """A Keras layer with every number alive, and inputs for it."""
    rng = np.random.default_rng(seed)
    features, hidden = rng.integers(2, 7, 2).tolist()
    make, settings, load, said = KINDS[kind]
    layer = make(hidden, return_sequences=True, **settings, **more)
    layer.build((None, None, features))
    layer.set_weights([rng.uniform(-0.8, 0.8, each.shape) for each in layer.get_weights()])
    return (
        layer,
        rng.normal(size=(3, 6, features)).astype("float32"),
        load(layer.get_weights(), **said),
    )


def ran(spec, weights, x, lengths=None):
    """Outputs of our cell, batch-major."""
    cell = spec.build()
    hidden = weights.r[0].shape[0]
    carry = cell.start((len(x),), hidden, x.dtype)
    _, h = lr.unroll(
        cell, weights, carry, jnp.asarray(x.swapaxes(0, 1)), lengths=lengths, engine="scan"
    )
    return h.swapaxes(0, 1)


@pytest.mark.parametrize("kind", first(KINDS))
def test_loaded_weights_compute_what_keras_computes(kind):
    for seed, bias in enumerate((True, False)):
        layer, x, (spec, weights) = theirs(kind, seed, use_bias=bias)
        agree(ran(spec, weights, x), np.asarray(layer(x)), TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_at_the_end_is_what_keras_calls_a_mask(kind):
    layer, x, (spec, weights) = theirs(kind, 7)
    lengths = np.array([6, 1, 4], np.int32)
    mask = np.arange(6) < lengths[:, None]
    agree(
        ran(spec, weights, x, lengths), np.where(mask[..., None], layer(x, mask=mask), 0), TOLERANCE
    )


@pytest.mark.parametrize("kind", KINDS)
def test_weights_become_a_layer_of_keras_and_come_back_unchanged(kind):
    _, _, load, said = KINDS[kind]
    layer, x, (spec, weights) = theirs(kind, 1)
    back = ours.to_keras(spec, weights, return_sequences=True)
    assert type(back) is type(layer)
    agree(np.asarray(back(x)), np.asarray(layer(x)), TOLERANCE)
    again = load(ours.arrays(spec, weights), **said)
    assert again[0] == spec
    same(again[1], weights)


def test_shapes_that_are_no_layer_are_refused():
    layer = keras.layers.GRU(3)
    layer.build((None, None, 2))
    with pytest.raises(Foreign, match="4 blocks of 3"):
        ours.load_lstm(layer.get_weights())
    with pytest.raises(Foreign, match="reset_after=True"):
        ours.load_gru(layer.get_weights(), reset_after=False)
    with pytest.raises(Foreign, match="2 or 3 arrays"):
        ours.load_gru(layer.get_weights()[:1])


def test_a_cell_without_a_counterpart_is_refused():
    _, _, (_, weights) = theirs("lstm", 0)
    with pytest.raises(Foreign, match="Keras has no such cell"):
        ours.arrays(lr.Recurrent("cifg", 2, 3, rngs=__import__("flax").nnx.Rngs(0)).spec, weights)


def test_without_keras_the_error_says_how_to_install_it(monkeypatch):
    _, _, (spec, weights) = theirs("rnn", 0)
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ImportError, match=r"pip install 'lstm-research\[keras\]'"):
        ours.to_keras(spec, weights)
