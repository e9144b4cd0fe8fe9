"""Weights start as their names say: statistics, forget biases, and keys that belong to names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from blocks import cut

from lstm_research import initial
from lstm_research.cells.elman import Elman
from lstm_research.cells.fgr import Fgr
from lstm_research.cells.gru_before import GruBefore
from lstm_research.gated import GateSpec

KEY = jax.random.key(0)


def biases(spec, hidden=4):
    """Return the named blocks of a fresh cell."""
    cell = spec.build()
    return cut(cell, cell.init(KEY, 2, hidden), hidden)


@pytest.mark.parametrize(
    ("start", "deviation", "bound"),
    [
        ("lecun", 200**-0.5, None),
        ("glorot", (2 / 500) ** 0.5, (6 / 500) ** 0.5),
        ("uniform", 300**-0.5 / 3**0.5, 300**-0.5),
        ("normal", 0.1, None),
        ("small", (2 / 1000) ** 0.5, None),
        ("tiny", 0.001, None),
    ],
)
def test_a_start_has_the_deviation_that_it_names(start, deviation, bound):
    m = np.asarray(initial.matrix(start, KEY, (200, 300), 300))
    assert abs(m.mean()) < 4 * deviation / m.size**0.5
    assert abs(m.std() / deviation - 1) < 0.02  # sixty thousand draws
    assert bound is None or np.abs(m).max() <= bound


def test_an_orthogonal_start_is_orthogonal_block_by_block(float64):
    m = biases(GateSpec(), hidden=6)
    for gate in "ifoz":
        agree(m[f"R_{gate}"] @ m[f"R_{gate}"].T, np.eye(6))


def test_identity_and_zeros_are_themselves():
    agree(initial.matrix("identity", KEY, (3, 3), 3), np.eye(3, dtype=np.float32))
    assert not initial.matrix("zeros", KEY, (2, 3), 3).any()
    assert (biases(Elman(recurrent="identity"))["R_h"] == np.eye(4)).all()


def test_a_key_belongs_to_a_name_and_not_to_an_order():
    data = [jax.random.key_data(initial.fold(KEY, name)) for name in ("w_i", "w_f", "w_i")]
    assert (data[0] == data[2]).all() and (data[0] != data[1]).any()


def test_the_forget_bias_is_one_and_in_the_gate_that_holds():
    assert (biases(GateSpec())["b_f"] == 1).all() and not biases(GateSpec())["b_i"].any()
    assert (biases(GateSpec(coupled=True))["b_i"] == -1).all()
    assert (biases(GateSpec(forget_bias=0.0))["b_f"] == 0).all()
    assert (biases(GateSpec(forget_bias=3.0))["b_f"] == 3).all()
    assert (biases(GruBefore())["b_i"] == -1).all() and (biases(Fgr())["b_f"] == 1).all()


def test_janet_starts_holding_with_its_forget_bias():
    """f = 1 - s(z_i - 1) is s(1) where inputs are zero, as in the paper."""
    m = biases(GateSpec(coupled=True, shift=1.0, output_gate=False, squash_output=False))
    agree(1 - 1 / (1 + np.exp(-(m["b_i"] - 1.0))), np.full(4, 1 / (1 + np.exp(-1.0)), np.float32))


def test_a_row_without_forget_gate_has_no_forget_bias():
    m = biases(GateSpec(forget_gate=False))
    assert "b_f" not in m and not m["b_i"].any() and GateSpec(forget_gate=False).forget_bias is None


def test_chrono_spreads_the_forget_biases_and_opposes_the_input_biases():
    m = biases(GateSpec(chrono=50.0, recurrent="zeros"), hidden=4000)
    assert m["b_f"].min() >= 0 and m["b_f"].max() <= np.log(49) + 1e-5
    assert abs(np.exp(m["b_f"]).mean() / 25 - 1) < 0.04  # U(1, 49) has mean 25
    assert (m["b_i"] == -m["b_f"]).all()
    assert (
        biases(GateSpec(coupled=True, chrono=50.0, recurrent="zeros"), hidden=4000)["b_i"]
        == -m["b_f"]
    ).all()


def test_uniform_gates_are_uniform():
    hidden = 4000
    share = 1 / (
        1 + np.exp(-biases(GateSpec(uniform_gates=True, recurrent="zeros"), hidden=hidden)["b_f"])
    )
    assert share.min() >= 0.9 / hidden and share.max() <= 1 - 0.9 / hidden
    assert abs(np.sort(share) - np.linspace(0, 1, hidden)).max() < 0.03  # Kolmogorov, p about 0.001


def test_a_single_unit_survives_uniform_gates():
    assert np.isfinite(biases(GateSpec(uniform_gates=True), hidden=1)["b_f"]).all()


def test_uniform_biases_stay_within_the_bound_of_pytorch():
    m = biases(GateSpec(bias="uniform", forget_bias=0.0), hidden=100)
    assert all(0 < np.abs(m[f"b_{gate}"]).max() <= 0.1 for gate in "ifoz")


def test_peepholes_start_at_zero_but_with_the_start_of_greff():
    assert not biases(GateSpec(peephole="ifo"))["p_i"].any()
    drawn = biases(GateSpec(peephole="ifo", recurrent="normal"), hidden=2000)
    assert abs(drawn["p_f"].std() / 0.1 - 1) < 0.1 and (drawn["p_f"] != drawn["p_o"]).any()


def test_weights_take_the_precision_of_the_moment(float64):
    weights = GateSpec(chrono=9.0, peephole="o").build().init(KEY, 2, 3)
    assert {leaf.dtype for leaf in jax.tree.leaves(weights)} == {jnp.dtype("float64")}
