"""The engine whose batch is the last axis equals the scan, for every cell that it can run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import agree
from contract import gradients, problem
from sampled import sampled
from test_cells import SUBJECTS

from lstm_research import catalogue, engines, fused, fused_columns
from lstm_research.cells import CELLS
from lstm_research.gated import GateSpec, Switches
from lstm_research.superset import swept
from lstm_research.wrappers import Wrapped, WrapSpec

T, B = 6, 4
LENGTHS, RESETS = np.array([T, 4, 1, 0]), np.zeros((T, B), bool)
RESETS[[2, 4], 0] = RESETS[3, 1] = True


def named(name: str):
    """Return the cell of a name."""
    return catalogue.spec(CELLS, "cell", name, {}).build()


@pytest.mark.slow
def test_most_cells_are_served():
    why = {s.name: fused_columns.unserved(s.spec.build()) for s in SUBJECTS.values()}
    assert sum(reason is None for reason in why.values()) >= 30, why


def test_a_cell_that_is_not_served_says_why():
    why = {n: fused_columns.unserved(named(n)) for n in ("phased", "indrnn", "lstmp", "onlstm")}
    assert "another way" in why["onlstm"] and "stop_gradient" in why["phased"]
    assert "product" in why["indrnn"] and "wide" in why["lstmp"]
    served = GateSpec().build()
    assert "rounds nothing" in fused_columns.unserved(served._replace(precision="bfloat16"))
    with pytest.raises(
        ValueError, match="engine='columns' cannot run this cell: each of its heads"
    ):
        engines.chosen(named("slstm"), "columns", 8)


@pytest.mark.parametrize("subject", sampled(SUBJECTS.values()))
def test_columns_equal_the_scan_under_masks_both_ways(float64, subject):
    if fused_columns.unserved(subject.spec.build()):
        with pytest.raises(ValueError, match="engine='columns' cannot run this cell"):
            engines.chosen(subject.spec.build(), "columns", 4)
        return
    data = (*problem(subject.spec, T, B), LENGTHS, RESETS)
    for reverse in (False, True):
        want = gradients(subject.spec, "scan", reverse)(*data)
        agree(gradients(subject.spec, "columns", reverse)(*data), want)


def test_columns_equal_the_scan_without_masks_over_two_batch_axes(float64):
    cell = GateSpec(peephole="ifo").build()
    weights, carry, x, seen = problem(GateSpec(peephole="ifo"), T, B)
    two = jax.tree.map(lambda leaf: leaf.reshape(2, 2, -1), carry)

    def loss(engine, weights, carry, x):
        last, h = engines.unroll(cell, weights, carry, x, engine=engine)
        return (h * seen.reshape(h.shape)).sum() + jnp.sin(last.c).sum()

    args = (weights, two, x.reshape(T, 2, 2, -1))
    pull = [
        jax.jit(jax.value_and_grad(lambda *a, e=e: loss(e, *a), (0, 1, 2)))
        for e in ("columns", "scan")
    ]
    agree(pull[0](*args), pull[1](*args))


def test_a_row_of_switches_may_be_data(float64):
    cell = swept(GateSpec(peephole="ifo"))
    assert fused_columns.unserved(cell) is None
    weights = cell.init(jax.random.key(0), 2, 4)
    assert isinstance(weights.row, Switches)
    x = np.random.default_rng(0).normal(size=(T, B, 2))
    run = lambda engine: engines.unroll(cell, weights, cell.start((B,), 4), x, engine=engine)[1]
    agree(run("columns"), run("scan"), 1e-6)


def test_noise_outside_of_the_loop_leaves_a_cell_served_and_noise_inside_does_not():
    assert fused_columns.unserved(Wrapped(GateSpec(), WrapSpec(weight_drop=0.3)).build()) is None
    assert fused_columns.unserved(Wrapped(GateSpec(), WrapSpec(zoneout_h=0.3)).build())


def test_auto_takes_columns_where_few_sequences_meet_a_large_matrix_and_no_kernel_is_to_be_had(
    monkeypatch,
):
    cell = GateSpec().build()
    assert engines.chosen(cell, "auto", 512, 16).loop is not fused_columns.loop
    monkeypatch.setattr(engines, "machine_code", lambda: None)
    assert engines.chosen(cell, "auto", 512, 16).loop is fused_columns.loop
    for hidden, batch in ((64, 16), (512, 10), (512, 1), (512, 256), (512, 0)):
        assert engines.chosen(cell, "auto", hidden, batch).loop is fused.loop
