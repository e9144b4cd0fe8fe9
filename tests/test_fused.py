"""The fused engine equals the plain scan: outputs, last carry, and every gradient.

Exhaustive over all legal rows, in two links, because a compilation a row would take half an hour:

1. as data: the superset cell walks all rows in one program; fused = scan in each, masks and all;
2. as code: the cell that is compiled for a row has, for every row, the element-wise rule of the
   superset's row and the same pull-back; the engines see nothing else of a cell but its stages.

The named cells, whose stages cover those of all rows, close the circle through compiled programs.
"""

from functools import partial

import contract
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rows
from agreement import agree
from blocks import random_carry, random_weights
from contract import FAST, gradients, problem
from sampled import first, sampled
from test_cells import SPECS, SUBJECTS

from lstm_research import fused
from lstm_research.cell import Carry, Hidden, Pre, Weights
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec, gated, stage, switches
from lstm_research.superset import ALL, swept

T, B, D, H = 5, 3, 2, 2
LENGTHS = np.array([T, 3, 0])
RESETS = np.zeros((T, B), bool)
RESETS[[0, 3], 0] = RESETS[1, 1] = True
CELL = swept(GateSpec())
DTYPES = pytest.mark.parametrize("dtype", first([np.float64, np.float32]))


def per_row(got, want, limit: float) -> None:
    """Demand agreement row by row, each leaf relative to its largest magnitude in that row."""
    for at, (a, b) in enumerate(zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True)):
        a, b = (np.asarray(leaf).reshape(len(leaf), -1) for leaf in (a, b))
        assert np.isfinite(a).all() and np.isfinite(b).all()
        gap, scale = np.abs(a - b).max(1), np.abs(b).max(1)
        worst = int((gap - limit * scale).argmax())
        assert (gap <= limit * scale).all(), (at, rows.legal()[worst], gap[worst], scale[worst])


def draw(shapes, count: int, dtype, seed: int):
    """Return a tree of random numbers with an axis of rows in front."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: rng.uniform(-0.7, 0.7, (count, *leaf.shape)).astype(dtype), shapes
    )


def table_program(engine: str):
    """Return (row, weights, carry, x, seen) -> values and gradients, over an axis of rows."""

    def loss(weights, carry, x, row, seen):
        last, h = unroll(
            CELL, weights._replace(row=row), carry, x, lengths=LENGTHS, resets=RESETS, engine=engine
        )
        return (h * seen[0]).sum() + (last.c * seen[1, 0]).sum() + (last.h * seen[2, 0]).sum(), (
            last,
            h,
        )

    pull = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)
    return jax.jit(jax.vmap(pull), compiler_options=FAST)


def test_there_are_as_many_rows_as_counting_says():
    """39 ways to own gates and peepholes x 3 resets x 7 pairs of squashes."""
    assert len(set(rows.legal())) == len(rows.legal()) == 39 * 3 * 7


@DTYPES
def test_fused_equals_scan_for_every_row_of_switches(float64, dtype):
    count, rng = len(rows.legal()), np.random.default_rng(0)

    shapes = jax.eval_shape(
        lambda: (CELL.init(jax.random.key(0), D, H)._replace(row=None), CELL.start((B,), H))
    )
    weights, carry = draw(shapes, count, dtype, 1)
    x, seen = (
        rng.normal(size=(count, *shape)).astype(dtype) for shape in ((T, B, D), (3, T, B, H))
    )
    data = (weights, carry, x, rows.table(rows.legal(), dtype), seen)
    # float32: sums of some sixty products of either sign, rounded in another order
    limit = 1e-12 if dtype == np.float64 else 3e-6
    per_row(table_program("fused")(*data), table_program("scan")(*data), limit)


def rule(cell, p, z, carry, row, turn):
    """Return the new carry and the pull-back of a cotangent: in p, z and the carry."""

    def after(p, z, carry):
        return cell.update(Weights(None, None, None, p, row), (z,), carry)

    new, pull = jax.vjp(after, p, z, carry)
    return new, pull(turn if isinstance(new, Carry) else type(new)(turn.c + turn.h))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_cell_compiled_for_a_row_is_the_row_of_the_superset(float64, dtype):
    """The rule and its derivative, for every legal row."""
    rng = np.random.default_rng(1)
    array = lambda *shape: rng.normal(size=shape).astype(dtype)
    parts = {name: array(B, H) for name in (*stage(ALL).both, "driven", "recurred")}
    p = {name: array(B, H) for name in ("p_i", "p_f", "p_o", "b_hg")}  # spread, as in the engine
    carry, turn = Carry(array(B, H), array(B, H)), Carry(array(B, H), array(B, H))
    # float32: gradients of either sign meet in p_o c' and may nearly cancel
    limit = 1e-12 if dtype == np.float64 else 3e-6
    z = Pre(
        np.concatenate([parts[n] for n in stage(ALL).both], -1), parts["driven"], parts["recurred"]
    )
    walk = jax.jit(jax.vmap(lambda row: rule(CELL, p, z, carry, row, turn)))
    new, (d_p, d_z, d_carry) = jax.tree.map(np.asarray, walk(rows.table(rows.legal(), dtype)))
    blocks = dict(zip(stage(ALL).both, np.split(d_z.both, 4, -1), strict=True)) | {"g": d_z.driven}
    for at, spec in enumerate(rows.legal()):
        cell, names = gated(spec), stage(switches(spec))
        own = {f"p_{gate}": p[f"p_{gate}"] for gate in spec.peephole} | (
            {"b_hg": p["b_hg"]} if spec.reset_bias else {}
        )
        both = [parts[n] if n != "g" else parts["driven"] + parts["recurred"] for n in names.both]
        mine = Pre(
            np.concatenate(both, -1),
            *((parts["driven"], parts["recurred"]) if names.driven else (None, None)),
        )
        memory = spec.output_gate or spec.squash_output
        before = carry if memory else Hidden(carry.c)
        got, (g_p, g_z, g_carry) = rule(cell, own, mine, before, None, turn)
        dead = (set("ifro") - set(names.both)), (set(p) - set(own))
        assert all(not blocks[n][at].any() for n in dead[0]) and all(
            not d_p[n][at].any() for n in dead[1]
        )
        agree((got.h, g_carry.c if memory else g_carry.h), (new.h[at], d_carry.c[at]), limit)
        agree(g_z.both, np.concatenate([blocks[n][at] for n in names.both], -1), limit)
        agree(g_z.recurred, d_z.recurred[at] if names.driven else None, limit)
        agree(g_p, {n: d_p[n][at] for n in own}, limit)


@pytest.mark.parametrize("subject", sampled(SUBJECTS.values()))
def test_fused_equals_scan_for_every_named_cell(float64, subject):
    weights, carry, x, seen = problem(subject.spec)
    lengths, resets = np.array([contract.T, 4, 2, 0]), contract.NEVER.copy()
    resets[[0, 3], 0] = resets[1, 1] = resets[1, 2] = True
    for case in ((contract.WHOLE, contract.NEVER), (lengths, resets)):
        data = (weights, carry, x, seen, *case)
        agree(gradients(subject.spec)(*data), gradients(subject.spec, "scan")(*data))


@pytest.mark.parametrize(
    "name",
    [
        "peephole",
        "gru_before",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("gru", "greff/fgr")),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_fused_equals_scan_in_reverse_over_two_batch_axes(float64, name, masked):
    spec = SPECS[name]
    weights, _, x, seen = problem(spec)
    x, seen = x.reshape(contract.T, 2, 2, -1), seen.reshape(contract.T, 2, 2, -1)
    carry = random_carry(spec.build(), (2, 2), contract.H)
    lengths = np.array([[contract.T, 4], [1, 0]])
    resets = np.zeros((contract.T, 2, 2), bool)
    resets[[1, 4], 0] = resets[0] = True
    masks = (lengths, resets) if masked else (None, None)
    data = (weights, carry, x, seen, *masks)
    agree(gradients(spec, "fused", True)(*data), gradients(spec, "scan", True)(*data))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["peephole", "gru", "janet", "greff/fgr"])
def test_auto_equals_scan_in_float32(name):
    """Both are up to 2e-6 of the largest number from float64, on either side."""
    weights, carry, x, seen = problem(SPECS[name], dtype=np.float32)
    data = (weights, carry, x, seen, np.array([contract.T, 4, 1, 0]), contract.NEVER)
    agree(gradients(SPECS[name])(*data), gradients(SPECS[name], "scan")(*data), 5e-6)


@pytest.mark.slow  # no CPU takes several
@pytest.mark.parametrize("steps", [3, 5])
def test_several_steps_in_a_trip_of_the_loop_are_the_same_steps(float64, monkeypatch, steps):
    """A GPU takes four; the last trip may be short."""
    monkeypatch.setattr(fused, "UNROLL", {"cpu": 4})
    cell = SPECS["peephole"].build()
    weights, carry, x, seen = problem(SPECS["peephole"], T=steps)

    def loss(engine, *data):
        last, h = unroll(cell, *data, engine=engine)
        return (h * seen).sum() + (last.c**2).sum()

    pull = lambda engine: jax.jit(
        jax.value_and_grad(partial(loss, engine), (0, 1, 2)), compiler_options=FAST
    )(weights, carry, x)
    jax.clear_caches()  # the loop was compiled with one step a trip
    agree(pull("fused"), pull("scan"))
    jax.clear_caches()


def test_an_unknown_engine_is_refused_by_name():
    cell = GateSpec().build()
    weights, carry = random_weights(cell, 1, 1, dtype=np.float32), cell.start((1,), 1)
    with pytest.raises(
        ValueError,
        match="engine='quick' is not one of auto, columns, cuda, fused, native, newton, pallas, "
        "parallel, scan",
    ):
        unroll(cell, weights, carry, jnp.zeros((1, 1, 1)), engine="quick")
