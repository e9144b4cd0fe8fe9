"""Which part of a cell is alive: weights set by hand solve what that part alone can solve."""

import numpy as np
import pytest
from agreement import agree
from probes import OPEN, SHUT, answer, count, echo, hand, latch

from lstm_research.gated import GateSpec

pytestmark = pytest.mark.usefixtures("float64")
LINEAR = {"squash_input": False, "squash_output": False}


def test_an_input_gate_can_ignore():
    """g = value, i = f' = marker: a coupled gate writes when marked and holds when not."""
    cell = GateSpec(coupled=True, output_gate=False, **LINEAR).build()
    x, target = echo()
    agree(answer(cell, hand(cell, 2, W_g=[1, 0], W_i=[0, 2 * OPEN], b_i=SHUT), x), target)


def test_without_an_input_gate_the_noise_gets_in():
    cell = GateSpec(input_gate=False, output_gate=False, **LINEAR).build()
    x, target = echo()
    h = answer(cell, hand(cell, 2, W_g=[1, 0], W_f=[0, 2 * SHUT], b_f=OPEN), x)
    assert np.abs(h - target).max() > 0.1


def test_a_forget_gate_can_hold_a_bit_and_wipe_it():
    cell = GateSpec(input_gate=False, output_gate=False, **LINEAR).build()
    x, target = latch()
    agree(answer(cell, hand(cell, 2, W_g=[1, 0], W_f=[0, 2 * SHUT], b_f=OPEN), x), target)


def test_without_a_forget_gate_a_bit_is_never_wiped():
    cell = GateSpec(forget_gate=False, output_gate=False, **LINEAR).build()
    x, _ = latch()
    assert answer(cell, hand(cell, 2, W_g=[1, 0], b_i=OPEN), x)[-1] == 1


def test_an_unsquashed_cell_that_never_forgets_can_count():
    cell = GateSpec(input_gate=False, forget_gate=False, output_gate=False, **LINEAR).build()
    x, target = count()
    agree(answer(cell, hand(cell, 1, W_g=[1]), x), target)


def test_a_squash_stops_the_count():
    cell = GateSpec(
        input_gate=False, forget_gate=False, output_gate=False, squash_input=False
    ).build()
    x, target = count()
    agree(answer(cell, hand(cell, 1, W_g=[1]), x), np.tanh(target))


def test_half_slope_squashes_half_the_memory():
    cell = GateSpec(forget_gate=False, output_gate=False, half_slope=True).build()
    x, target = count()
    agree(answer(cell, hand(cell, 1, W_g=[1], b_i=OPEN), x), np.tanh(target * 2 * np.tanh(0.5) / 2))


def test_an_output_gate_can_keep_silent():
    cell = GateSpec(input_gate=False, forget_gate=False, **LINEAR).build()
    x, target = count()
    speak = (np.arange(50) % 7 == 0) * 1.0
    h = answer(
        cell, hand(cell, 2, W_g=[1, 0], W_o=[0, 2 * OPEN], b_o=SHUT), np.hstack([x, speak[:, None]])
    )
    agree(h, target * speak)


def test_a_reset_gate_can_cut_the_candidate_from_the_past():
    """h' = x + r h: the sum of inputs since the last cut."""
    cell = GateSpec(
        input_gate=False, forget_gate=False, output_gate=False, reset_gate=True, **LINEAR
    ).build()
    x = np.array([[1, 0], [0, 0], [1, 0], [0, 1], [1, 0]])
    h = answer(cell, hand(cell, 2, W_g=[1, 0], R_g=1, W_r=[0, 2 * SHUT], b_r=OPEN), x)
    agree(h, np.array([1.0, 2.0, 5.0, 5.0, 11.0]))  # c' = c + x + r c


def test_the_bias_inside_the_reset_is_silent_where_the_reset_is_shut():
    spec = GateSpec(
        input_gate=False,
        forget_gate=False,
        output_gate=False,
        reset_gate=True,
        reset_bias=True,
        **LINEAR,
    )
    cell = spec.build()
    weights = hand(cell, 1, W_r=[2 * SHUT], b_r=OPEN)
    weights.p["b_hg"][:] = 1.0
    agree(answer(cell, weights, [[0], [1], [0]]), np.array([1.0, 1.0, 2.0]))


@pytest.mark.parametrize(("gate", "expected"), [("f", [1.0, 1.0, 1.0]), ("o", [0.0, 0.0, 3.0])])
def test_a_peephole_sees_the_memory(gate, expected):
    """Three ones are counted; a peephole opens its gate once the memory is above 2.5.

    o sees the new memory: it speaks at step 3. f sees the old one: it wipes below 2.5.
    """
    spec = GateSpec(
        input_gate=False, forget_gate=gate == "f", output_gate=gate == "o", peephole=gate, **LINEAR
    )
    weights = hand(spec.build(), 1, W_g=[1], **{f"p_{gate}": 80.0, f"b_{gate}": -200.0})
    h = answer(spec.build(), weights, np.ones((3, 1)))
    np.testing.assert_allclose(h, expected, atol=1e-12)


def test_the_peephole_of_the_input_gate_sees_the_memory_before_the_step():
    """Once something is stored the gate shuts: the first input stays alone."""
    spec = GateSpec(forget_gate=False, output_gate=False, peephole="i", **LINEAR)
    weights = hand(spec.build(), 1, W_g=[1], b_i=OPEN, p_i=2 * SHUT)
    agree(answer(spec.build(), weights, np.ones((4, 1))), np.ones(4))


def test_shift_lets_a_coupled_row_hold_and_write_at_once():
    """JANET with z_i = 1/2: f = i = s(1/2), and f + i exceeds 1."""
    spec = GateSpec(coupled=True, shift=1.0, output_gate=False, **LINEAR)
    h = answer(spec.build(), hand(spec.build(), 1, W_g=[1], b_i=0.5), np.ones((2, 1)))
    share = 1 / (1 + np.exp(-0.5))
    agree(h, np.array([share, share + share**2]))
