"""An inspection measures every layer, says what a cell does not have, and is plain data."""

import json

import numpy as np
import pytest
from flax import nnx

from lstm_research.catalogue import spec
from lstm_research.inspect_pictures import pictures
from lstm_research.inspection import inspect, numbers, plain
from lstm_research.network import Network, NetworkSpec
from lstm_research.tasks import TASKS


def found(cell, **settings):
    task = spec(TASKS, "task", "temporal_order_6a", {"length": 12, "held_out": 6}).build()
    net = Network(
        cell, NetworkSpec(hidden=4, **settings), outputs=task.outputs, vocabulary=task.vocabulary,
        readout="last", rngs=nnx.Rngs(0),
    )  # fmt: skip
    return inspect(net, task, "valid", 4), task


@pytest.fixture(scope="module")
def lstm():
    return found("lstm")


def test_every_measure_of_a_layer_is_there(lstm):
    (layer,) = lstm[0].layers
    assert list(layer.gates) == ["i", "f", "o", "g"] and layer.memory == "c"
    assert layer.timescales.shape == (4,) and (layer.timescales >= 1).all()
    length = int(np.asarray(lstm[0].batch.lengths)[0])
    assert layer.carried.shape == (length + 1,) and layer.spectrum.singular.shape == (length, 8)
    assert set(layer.flow) == {"c", "h"} and layer.notes == ()
    assert lstm[0].examples == 4


def test_numbers_are_json_and_say_what_the_arrays_say(lstm):
    data = json.loads(json.dumps(numbers(lstm[0]), allow_nan=False))
    (layer,), (was,) = data["layers"], lstm[0].layers
    gate = layer["gates"]["f"]
    np.testing.assert_allclose(gate["share_below_0.1"], was.gates["f"].left.mean())
    np.testing.assert_allclose(layer["timescales"], was.timescales, rtol=1e-5)
    np.testing.assert_allclose(layer["gradient_flow"]["h"][3]["median"], was.flow["h"][3][1])
    assert data["parameters"] == lstm[0].parameters


def test_what_is_not_finite_is_null():
    assert plain([1.0, np.inf, np.nan]) == [1.0, None, None]


def test_every_picture_is_made_and_traces_stand_under_the_symbols(lstm):
    pytest.importorskip("altair", reason="needs the extra `report`")
    made = pictures(*lstm, "lstm")
    wanted = {"histograms", "timescales", "traces", "gradient_flow", "spectrum"}
    assert set(made) == wanted
    head, *panels = made["traces"].to_dict()["vconcat"]
    assert head["data"]["values"][0]["name"] == "E" and len(panels) == 6
    assert sum(cell["marked"] for cell in head["data"]["values"]) == 2


def test_a_cell_without_gates_is_said_to_have_none_by_name():
    result, task = found("elman")
    (layer,) = result.layers
    assert layer.gates == {} and layer.timescales is None
    assert layer.notes == ("a cell of kind elman has no gates",)
    pytest.importorskip("altair", reason="needs the extra `report`")
    assert set(pictures(result, task, "elman")) == {"gradient_flow", "spectrum", "traces"}


@pytest.mark.slow
def test_both_directions_of_every_layer_are_inspected():
    result, _ = found("gru", layers=2, bidirectional=True)
    assert [layer.name for layer in result.layers] == [
        "layer 1", "layer 1 backwards", "layer 2", "layer 2 backwards",
    ]  # fmt: skip
    assert all(layer.memory == "h" and len(layer.flow["h"]) > 1 for layer in result.layers)
