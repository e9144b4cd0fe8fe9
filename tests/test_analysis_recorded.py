"""What is recorded of a layer is what it did: gates recomputed by hand, masks and directions kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree, same
from flax import nnx

from lstm_research.analysis.recorded import heard, record
from lstm_research.network import Network, NetworkSpec
from lstm_research.tasks.task import Batch

pytestmark = pytest.mark.usefixtures("float64")

T, B, D, H = 5, 3, 2, 4
LENGTHS = np.array([5, 3, 1])


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def network(cell, **settings):
    spec = NetworkSpec(hidden=H, **settings)
    return Network(cell, spec, outputs=1, features=D, rngs=nnx.Rngs(0))


def batch(**more):
    x = np.random.default_rng(0).normal(size=(B, T, D))
    return Batch(jnp.asarray(x), jnp.zeros((B, T, 1)), jnp.ones((B, T)), **more)


def weights(net):
    """Return W, R, b of the first layer as arrays, every number of them alive."""
    rng = np.random.default_rng(1)
    layer = net.layers[0][0]
    for leaf in jax.tree.leaves(layer.weights, is_leaf=lambda leaf: isinstance(leaf, nnx.Param)):
        leaf[...] = jnp.asarray(rng.normal(size=leaf.shape))
    w = nnx.as_pure(layer.weights)
    return np.asarray(w.w), np.asarray(w.r[0]), np.asarray(w.b), w.p


def test_the_gates_of_an_lstm_are_those_of_its_equations():
    net, given = network("lstm"), batch()
    w, r, b, _ = weights(net)
    found = record(heard(net, given)[0], given)
    h = c = np.zeros((B, H))
    for t in range(T):
        i, f, g, o = np.split(np.asarray(given.inputs)[:, t] @ w + h @ r + b, 4, -1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c = f * c + i * g
        h = o * np.tanh(c)
        got = [found.gates[name][t] for name in "ifgo"]
        agree((got, found.carry.c[t], found.carry.h[t]), ([i, f, g, o], c, h))


def test_the_gates_of_a_gru_are_those_of_its_equations():
    net, given = network("gru"), batch()
    w, r, b, p = weights(net)
    found = record(heard(net, given)[0], given)
    h = np.zeros((B, H))
    for t in range(T):
        zx, zh = np.asarray(given.inputs)[:, t] @ w + b, h @ r
        i, reset = np.split(sigmoid(zx[:, : 2 * H] + zh[:, : 2 * H]), 2, -1)
        g = np.tanh(zx[:, 2 * H :] + reset * (zh[:, 2 * H :] + p["b_hg"]))
        got = [found.gates[name][t] for name in "irfg"]
        agree(got, [i, reset, 1 - i, g])
        h = (1 - i) * h + i * g
        agree(found.carry.h[t], h)


def test_a_layer_hears_what_the_layers_below_give():
    net, given = network("gru", layers=2, bidirectional=True), batch(lengths=LENGTHS)
    places = heard(net, given)
    names = ["layer 1", "layer 1 backwards", "layer 2", "layer 2 backwards"]
    assert [place.name for place in places] == names
    below = [record(place, given).carry.h for place in places[:2]]
    valid = (np.arange(T)[:, None] < LENGTHS)[..., None]
    agree(places[2].x, np.where(valid, np.concatenate(below, -1), 0))


def test_steps_past_the_end_are_marked_and_change_nothing():
    net = network("lstm")
    given = batch(lengths=LENGTHS)
    found = record(heard(net, given)[0], given)
    same(found.valid, np.arange(T)[:, None] < LENGTHS)
    same(found.carry.h[LENGTHS[1] :, 1], np.tile(found.carry.h[LENGTHS[1] - 1, 1], (2, 1)))


def test_a_reset_starts_anew():
    resets = np.zeros((B, T), bool)
    resets[0, 2] = True
    net = network("lstm")
    whole, given = batch(resets=resets), batch()
    late = given._replace(inputs=given.inputs[:, 2:], mask=given.mask[:, 2:])
    long, short = (record(heard(net, one)[0], one) for one in (whole, late))
    agree([gate[2:, 0] for gate in long.gates.values()], [g[:, 0] for g in short.gates.values()])


def test_a_reversed_layer_is_recorded_in_the_order_of_its_inputs():
    net, given = network("lstm", bidirectional=True), batch()
    place = heard(net, given)[1]
    found = record(place, given)
    h = place.layer(place.x, time_major=True)
    agree(found.carry.h, h)
    assert not np.allclose(found.gates["f"], record(heard(net, given)[0], given).gates["f"])


def test_a_cell_without_gates_has_none():
    net, given = network("elman"), batch()
    assert record(heard(net, given)[0], given).gates == {}
