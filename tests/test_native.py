"""The kernels of machine code equal the plain scan, for every cell that has one."""

import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rows
from agreement import agree, same
from blocks import random_carry
from contract import problem
from sampled import first, sampled
from test_cells import SPECS

from lstm_research import engines, foreign, fused, native, shards, whole_step
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec
from lstm_research.superset import swept

T, B, D, H = 5, 5, 2, 8
LENGTHS, RESETS = np.array([T, 3, 0, 1, 4]), np.zeros((T, B), bool)
RESETS[[0, 3], 0] = RESETS[1, 1] = RESETS[2, 4] = True
WITHOUT = {
    "fastgrnn": "reduce_sum", "lstmp": "width", "mogrifier": "width", "onlstm": "a cut at column",
    "phased": "stop_gradient", "slstm": "each of its heads", "slstm_exp": "each of its heads",
}  # fmt: skip
CELLS = [n for n, spec in SPECS.items() if spec.build().linear is None and n not in WITHOUT]


def gradients(spec, engine, reverse=False):
    """Return the compiled ((carry, h), gradients); no sum is so large that its rounding counts."""

    def loss(weights, carry, x, seen, lengths, resets):
        last, h = unroll(
            spec.build(), weights, carry, x, lengths=lengths, resets=resets, engine=engine,
            reverse=reverse,
        )  # fmt: skip
        return (h * seen).sum() + sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(last)), (
            last,
            h,
        )

    def f(weights, carry, x, seen, lengths=None, resets=None):
        grad = jax.grad(loss, (0, 1, 2), has_aux=True)
        grads, out = grad(weights, carry, x, seen, lengths, resets)
        return out, (grads[0]._replace(row=None), *grads[1:])

    return jax.jit(f)


def small(name, hidden=H, seed=0):
    """Return a problem whose weights saturate nothing."""
    weights, *rest = problem(SPECS[name], T, B, D, hidden, seed, dtype=np.float32)
    return jax.tree.map(lambda w: w * np.float32(0.5), weights._replace(row=None))._replace(
        row=weights.row
    ), *rest


@pytest.mark.parametrize("name", sampled(CELLS))
def test_a_kernel_equals_the_scan(name):
    """Outputs, the last carry, gradients; with lengths and resets backwards, without them forwards."""
    data = small(name)
    for reverse, masks in ((False, ()), (True, (LENGTHS, RESETS))):
        want = gradients(SPECS[name], "scan", reverse)(*data, *masks)
        agree(gradients(SPECS[name], "native", reverse)(*data, *masks), want, 5e-6)


@pytest.mark.parametrize("name", first(["gru", "lstm", "peephole", "gru_before", "greff/fgr"], 2))
def test_many_features_are_projected_before_the_kernel(name, monkeypatch):
    monkeypatch.setitem(whole_step.MOST, "native", 0)
    data = small(name)
    f = gradients(SPECS[name], "native", True)
    want = gradients(SPECS[name], "scan", True)(*data, LENGTHS, RESETS)
    agree(f(*data, LENGTHS, RESETS), want, 5e-6)
    alone = f.lower(*data, LENGTHS, RESETS).as_text()
    monkeypatch.undo()
    inside = gradients(SPECS[name], "native", True).lower(*data, LENGTHS, RESETS).as_text()
    assert alone.count("dot_general") > inside.count("dot_general")


@pytest.mark.parametrize("hidden", first([6, 40, 1, 12], 2))
def test_any_width(hidden):
    """Vectors as long as divide the units, tiles with a rest of rows and of units."""
    data = small("peephole", hidden)
    got = gradients(SPECS["peephole"], "native")(*data, LENGTHS, None)
    agree(got, gradients(SPECS["peephole"], "scan")(*data, LENGTHS, None), 5e-6)


def test_any_batch_axes():
    weights, _, x, seen = problem(SPECS["gru"], T, 4, D, H, dtype=np.float32)
    for shape in ((2, 2), (), (0,)):
        carry = random_carry(SPECS["gru"].build(), shape, H)
        carry = jax.tree.map(lambda leaf: leaf.astype(np.float32), carry)
        size = int(np.prod(shape))
        data = (
            weights,
            carry,
            x[:, :size].reshape(T, *shape, D),
            seen[:, :size].reshape(T, *shape, H),
        )
        agree(
            gradients(SPECS["gru"], "native")(*data), gradients(SPECS["gru"], "scan")(*data), 5e-6
        )


@pytest.mark.parametrize("mapped", [jax.vmap, lambda f: lambda *a: jax.lax.map(lambda v: f(*v), a)])
def test_a_pack_of_runs_gives_the_bits_of_each_alone(mapped):
    sets = [small("peephole", seed=seed) for seed in (0, 1)]
    pack = jax.tree.map(lambda *leaves: np.stack(leaves), *sets)
    f = gradients(SPECS["peephole"], "native")
    out = jax.jit(mapped(f))(*pack)
    for i, data in enumerate(sets):
        same(jax.tree.map(lambda leaf, i=i: leaf[i], out)[0], f(*data)[0])


def test_rows_of_switches_are_data_of_one_kernel():
    cell = swept(GateSpec())
    table = [GateSpec(peephole="ifo"), GateSpec(coupled=True), GateSpec(output_gate=False)]
    weights = cell.init(jax.random.key(0), D, H)._replace(row=None)
    data = problem(GateSpec(), T, B, D, H, dtype=np.float32)[1:]

    def pull(engine, weights, row, carry, x, seen):
        f = lambda w, *data: (
            unroll(cell, w._replace(row=row), *data, engine=engine)[1] * seen
        ).sum()
        return jax.grad(f, (0, 1, 2))(weights, carry, x)

    def run(engine):
        each = lambda row: pull(engine, weights, row, *data)
        return jax.jit(lambda rows: jax.lax.map(each, rows))(rows.table(table, np.float32))

    before = len(foreign.PASSED)
    agree(run("native"), run("scan"), 5e-6)
    assert len(foreign.PASSED) == before + 2  # one forward, one back


def test_a_batch_over_devices():
    weights, carry, x, seen = small("lstm")
    twice = jax.tree.map(lambda leaf: np.concatenate([leaf, leaf]), carry)
    wide = weights, twice, np.concatenate([x, x], 1), np.concatenate([seen, seen], 1)
    want = gradients(SPECS["lstm"], "native")(*wide)
    with jax.set_mesh(shards.mesh(jax.devices()[:2])):
        got = gradients(SPECS["lstm"], "native")(*wide)
    agree(got, want, 5e-6)


def test_what_padding_holds_reaches_nothing():
    weights, carry, x, seen = small("lstm")
    dirty = x.copy()
    for row, length in enumerate(LENGTHS):
        dirty[length:, row] = np.nan
    f = gradients(SPECS["lstm"], "native")
    got, want = f(weights, carry, dirty, seen, LENGTHS), f(weights, carry, x, seen, LENGTHS)
    same(got[0], want[0])
    same(got[1][:2], want[1][:2])


@pytest.mark.parametrize("name", WITHOUT)
def test_a_cell_without_a_kernel_says_why_and_auto_takes_another(name):
    cell = SPECS[name].build()
    with pytest.raises(ValueError, match=f"no kernel for this cell: .*{re.escape(WITHOUT[name])}"):
        engines.chosen(cell, "native", 16)
    assert engines.chosen(cell, "auto", 16).loop is fused.loop


def test_auto_takes_the_kernel_in_float32_alone():
    cell = SPECS["lstm"].build()
    assert engines.chosen(cell, "auto", 32, 4).loop is native.loop
    assert engines.chosen(cell, "auto", 32, 4, np.float64).loop is fused.loop
    assert engines.chosen(cell, "auto", 33, 4).loop is fused.loop
    assert engines.chosen(cell._replace(precision="bfloat16"), "auto", 32).loop is fused.loop
    assert engines.chosen(cell._replace(noisy=True), "auto", 32).loop is fused.loop


def test_large_matrices_have_a_kernel_whose_gradients_are_products_after_it(monkeypatch):
    monkeypatch.setattr(native, "NEAR", 0)
    data = (*small("lstm"), LENGTHS, RESETS)
    want = gradients(SPECS["lstm"], "scan")(*data)
    jax.clear_caches()
    agree(gradients(SPECS["lstm"], "native")(*data), want, 3e-6)


def test_float64_is_refused_by_name(float64):
    data = problem(SPECS["lstm"], T, B, D, H)
    with pytest.raises(ValueError, match="float64, and a kernel float32 alone"):
        gradients(SPECS["lstm"], "native")(*data)


def test_without_llvmlite_auto_takes_fused_and_native_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    engines.machine_code.cache_clear()
    try:
        assert engines.chosen(SPECS["lstm"].build(), "auto", 32, 4).loop is fused.loop
        with pytest.raises(ValueError, match="needs llvmlite"):
            engines.chosen(SPECS["lstm"].build(), "native", 32)
        assert "native" not in engines.engines()
    finally:
        engines.machine_code.cache_clear()


def test_like_kernels_are_compiled_once():
    data = small("lstm")
    jax.block_until_ready(gradients(SPECS["lstm"], "native")(*data))
    before = len(foreign.PASSED)
    jax.block_until_ready(gradients(SPECS["lstm"], "native")(*data))
    longer = data[0], data[1], np.concatenate([data[2]] * 2), np.concatenate([data[3]] * 2)
    jax.block_until_ready(gradients(SPECS["lstm"], "native")(*longer))
    assert len(foreign.PASSED) == before
