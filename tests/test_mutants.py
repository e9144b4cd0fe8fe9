"""Where two of the searched and minimal units are one, and what their settings refuse."""

import dataclasses

import jax
import numpy as np
import pytest
from agreement import agree, same
from blocks import random_weights

from lstm_research.cells.fastgrnn import FastGrnn
from lstm_research.cells.gru_before import GruBefore
from lstm_research.cells.lem import Chain, Lem
from lstm_research.cells.mut import Mut
from lstm_research.cells.rhn import Rhn
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec

KEY, X = jax.random.key(2), np.random.default_rng(0).normal(size=(5, 3, 2))
UGRNN = GateSpec(coupled=True, output_gate=False, squash_output=False)

pytestmark = pytest.mark.usefixtures("float64")


def outputs(spec, weights=None):
    cell = spec.build()
    weights = cell.init(KEY, 2, 4) if weights is None else weights
    return unroll(cell, weights, cell.start((3,), 4), X)


def test_mut2_with_a_matrix_for_every_x_is_the_gru_that_resets_before():
    agree(outputs(Mut(form="mut2")), outputs(GruBefore()))
    assert np.abs(outputs(Mut(form="mut3"))[1] - outputs(GruBefore())[1]).max() > 1e-4


def test_a_highway_of_one_transition_is_the_ugrnn():
    agree(outputs(Rhn(depth=1, transform_bias=-1.0)), outputs(UGRNN))
    assert np.abs(outputs(Rhn(depth=2, transform_bias=-1.0))[1] - outputs(UGRNN)[1]).max() > 1e-4


def test_every_transition_of_a_highway_starts_with_its_gate_bias():
    weights = Rhn(depth=4, transform_bias=-3.0).build().init(KEY, 2, 4)
    start = np.concatenate([np.full(4, -3.0), np.zeros(4)])
    same([weights.b, *weights.p.values()], [start] * 4)
    assert list(weights.p) == ["b_2", "b_3", "b_4"] and len(weights.r) == 4


def test_a_smaller_dt_moves_the_memory_by_as_much_less_in_the_first_step():
    """From a start of zero the first z is dt times what it is at dt = 1."""
    weights = random_weights(Lem().build(), 2, 4)
    whole, half = (unroll(Lem(dt=dt).build(), weights, Chain(*np.zeros((2, 3, 4))), X[:1])[0].z
                   for dt in (1.0, 0.5))  # fmt: skip
    agree(half, 0.5 * whole)


def test_fastgrnn_without_a_share_of_the_candidate_only_keeps():
    """Both numbers far below zero: their sigmoids vanish, and a state of zero stays."""
    assert not np.asarray(outputs(FastGrnn(zeta=-60.0, nu=-60.0))[1]).any()
    assert np.abs(outputs(FastGrnn())[1]).max() > 0.1


@pytest.mark.parametrize(
    ("spec", "setting", "message"),
    [
        (Rhn(), {"depth": 0}, "depth=0 must be at least 1"),
        (Lem(), {"dt": 0.0}, "dt=0.0 must be positive"),
        (Lem(), {"dt": float("nan")}, "dt=nan must be positive"),
        (Mut(), {"form": "mut4"}, "form='mut4' is not one of mut1, mut2, mut3"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(spec, setting, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(spec, **setting)
