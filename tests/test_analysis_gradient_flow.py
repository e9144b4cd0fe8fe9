"""The gradient that reaches a step is what a nudge of the carry there does to the loss."""

import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from flax import nnx

from lstm_research.analysis.gradient_flow import by_lag, gradient_flow, nudged, single, still
from lstm_research.analysis.recorded import heard
from lstm_research.catalogue import spec
from lstm_research.network import Network, NetworkSpec
from lstm_research.tasks import TASKS

pytestmark = pytest.mark.usefixtures("float64")

B, H = 3, 3
TINY = 1e-6


def built(name, cell="lstm", layers=1, bidirectional=False, **settings):
    task = spec(TASKS, "task", name, settings).build()
    shape = NetworkSpec(hidden=H, layers=layers, bidirectional=bidirectional)
    net = Network(
        cell, shape, outputs=task.outputs, features=task.features, vocabulary=task.vocabulary,
        readout=task.readout, rngs=nnx.Rngs(0),
    )  # fmt: skip
    return net, task, task.held_out(task.data, "valid")[0]


def slowly(net, task, batch, place, leaf, t, row):
    """Return dL/ds_t of one row by central differences."""
    from lstm_research.evaluate import loss

    one, _ = single(task, batch, place.layer.reverse)

    def total(nudge):
        def run(layer, x, **rest):
            if layer is not place.layer:
                return layer(x, **rest)
            full = still(place)
            moved = getattr(full, leaf).at[t, row].set(nudge)
            return nudged(layer, x, full._replace(**{leaf: moved}), **rest)

        return loss(task, net(batch.inputs, lengths=batch.lengths, run=run), one)[0]

    eye = TINY * jnp.eye(H)
    return np.array([(total(step) - total(-step)) / (2 * TINY) for step in eye])


def test_a_layer_that_is_not_nudged_gives_what_it_gives():
    net, _, batch = built("adding1997", length=20, held_out=B)
    place = heard(net, batch)[0]
    plain = net(batch.inputs, lengths=batch.lengths)
    run = lambda layer, x, **rest: nudged(layer, x, still(place), **rest)
    agree(net(batch.inputs, lengths=batch.lengths, run=run), plain)


CASES = [
    pytest.param(case, marks=() if case == "lstm" else pytest.mark.slow)
    for case in ("lstm", "gru", "below", "backwards")
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_flow_is_the_derivative_by_finite_differences(case):
    more = {"below": {"layers": 2}, "backwards": {"bidirectional": True}}.get(case, {})
    net, task, batch = built("adding1997", "gru" if case == "gru" else "lstm", length=20,
                             held_out=B, **more)  # fmt: skip
    place = heard(net, batch)[1 if case == "backwards" else 0]
    norms, _ = gradient_flow(net, task, batch, place)
    for leaf in norms:
        want = np.linalg.norm(slowly(net, task, batch, place, leaf, 12, 1))
        np.testing.assert_allclose(norms[leaf][12, 1], want, rtol=1e-5, atol=1e-12)


def test_the_lag_is_counted_from_the_end_of_each_row():
    net, task, batch = built("adding1997", length=20, held_out=B)
    norms, lags = gradient_flow(net, task, batch, heard(net, batch)[0])
    for row, length in enumerate(np.asarray(batch.lengths)):
        assert lags[length - 1, row] == 0 and lags[0, row] == length - 1
        assert not norms["h"][length:, row].any() and norms["h"][length - 1, row] > 0


def test_of_many_predictions_the_last_is_the_loss():
    net, task, batch = built("copying", delay=3, symbols=2, alphabet=2, held_out=B)
    one, at = single(task, batch, False)
    assert (np.asarray(one.mask).sum(1) == 1).all()
    assert (np.asarray(batch.mask)[np.arange(B), at] > 0).all()
    norms, lags = gradient_flow(net, task, batch, heard(net, batch)[0])
    assert not norms["h"][lags < 0].any() and (norms["h"][lags == 0] > 0).all()


def test_quantiles_are_over_the_rows_that_have_a_lag():
    norms = np.array([[1.0, 5.0], [2.0, 9.0]])
    lags, valid = np.array([[1, 0], [0, -1]]), np.array([[True, True], [True, False]])
    found = by_lag(norms, lags, valid)
    assert len(found) == 2 and found[0][1] == 3.5 and found[1] == (1, 1, 1)
