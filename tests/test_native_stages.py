"""A step of a cell as stages: what is a sum, what waits for it, what is written down."""

import jax
import numpy as np
import pytest
from contract import problem
from test_cells import SPECS

from lstm_research import native, native_call
from lstm_research.cell import drives
from lstm_research.masks import layout

H = 8


def specs(name, monkeypatch, resets=None):
    """Return the kernels that a training step of a cell calls: forward, and back."""
    found, bind = [], native_call.kernel_call.bind

    def seen(*arguments, call):
        found.append(call.spec)
        return bind(*arguments, call=call)

    monkeypatch.setattr(native_call.kernel_call, "bind", seen)
    weights, carry, x, _ = problem(SPECS[name], 4, 3, 2, H, dtype=np.float32)
    cell, masks = SPECS[name].build(), layout(x, None, resets, False)

    def run(weights):
        first = None if resets is None else cell.start(carry[0].shape[:-1], H)
        zx = drives(cell, weights, x, masks, None)
        return native.loop(cell, weights, first, carry, zx, masks, False)[1].sum()

    jax.eval_shape(jax.grad(run), weights)
    kept = [each for each in found if len(each.outputs) > len(jax.tree.leaves(carry))]
    return kept[0], found[-1]


def terms(stage):
    return [len(each.terms) for each in stage.sums]


def test_an_lstm_is_four_sums_forward_and_one_of_four_back(monkeypatch):
    forward, back = specs("lstm", monkeypatch)
    assert [terms(stage) for stage in forward.stages.stages] == [[1, 1, 1, 1]]
    assert [terms(stage) for stage in back.stages.stages] == [[], [4]]
    assert not forward.stages.kept and not back.stages.kept  # what crosses is dz, an output


def test_a_product_that_waits_for_another_is_a_stage_of_its_own(monkeypatch):
    forward, back = specs("gru_before", monkeypatch)
    assert [terms(stage) for stage in forward.stages.stages] == [[1, 1], [1]]
    assert [terms(stage) for stage in back.stages.stages] == [[], [1, 1], [1]]


def test_a_masked_carry_is_an_operand_that_is_written_down(monkeypatch):
    forward, _ = specs("lstm", monkeypatch, resets=np.zeros((4, 3), bool))
    first, second = forward.stages.stages
    operand = second.sums[0].terms[0][0]
    assert not first.sums and operand in first.written and operand in forward.stages.kept


@pytest.mark.parametrize("name", ["lstm", "gru", "greff/fgr", "rhn", "mut3", "urlstm"])
def test_every_value_is_ready_before_it_is_read(name, monkeypatch):
    for spec in specs(name, monkeypatch):
        stages, made = spec.stages, spec.stages.program
        ready = set(stages.inputs) | {var for var, _ in made.constants}
        done = []
        for stage in stages.stages:
            for each in stage.sums:
                assert {operand for operand, _ in each.terms} <= ready
            known = ready | {each.made for each in stage.sums}
            for equation in stage.equations:
                known |= set(equation.outvars)
                assert {var for var in equation.invars if not hasattr(var, "val")} <= known
            ready |= set(stage.written)
            ready |= {made.outputs[i] for i in stage.outputs}
            done += stage.outputs
        assert sorted(done) == list(range(len(made.outputs)))


def test_what_joins_units_is_refused_by_name():
    cell = SPECS["lstm"].build()
    flipped = cell.stages[0]._replace(read=lambda w, z, c: jax.numpy.flip(c.h, -1))
    assert "rev joins the units" in str(native.unserved(cell._replace(stages=(flipped,)), H))
