"""The GPU kernels, run as plain JAX, equal the plain scan; and they compile for a GPU without one.

Interpreted kernels read and write the same blocks in the same order; what they cannot show is what a
GPU's compiler makes of them, which is measured on one.
"""

import contextlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rows
from agreement import agree
from blocks import random_carry
from contract import FAST, gradients, problem
from test_cells import SPECS

from lstm_research import catalogue, config, engines, fused, fused_gpu
from lstm_research.cells import CELLS
from lstm_research.engines import unroll
from lstm_research.gated import GateSpec
from lstm_research.kernel import quick_tanh
from lstm_research.network import NetworkSpec
from lstm_research.optimizer import OptimizerSpec
from lstm_research.padding import Fit, power
from lstm_research.program import Budget, Program
from lstm_research.superset import swept
from lstm_research.tasks.adding import Adding
from lstm_research.unroll import Way, over_time

T, B, D, H = 5, 3, 2, 4
LENGTHS, RESETS = np.array([T, 3, 0]), np.zeros((T, B), bool)
RESETS[[0, 3], 0] = RESETS[1, 1] = True
CASES = [
    pytest.param(name, masked, reverse, id=f"{name}-{masked}-{reverse}",
                 marks=() if name == "lstm" and masked and not reverse else pytest.mark.slow)
    for name in ("lstm", "peephole", "cifg", "gru", "gru_before", "greff/fgr", "slstm", "slstm_exp",
                 "elman", "lstmp", "multiplicative", "lem", "rhn", "urlstm", "tlstm", "mut1")
    for masked in (False, True) for reverse in (False, True)
]  # fmt: skip


@pytest.mark.parametrize(("name", "masked", "reverse"), CASES)
def test_kernels_equal_the_scan(name, masked, reverse):
    """Outputs, the last carry, gradients of weights, carry and x; dead units beside live ones."""
    data = problem(SPECS[name], T, B, D, H, dtype=np.float32)
    data += (LENGTHS, RESETS) if masked else (None, None)
    want = gradients(SPECS[name], "scan", reverse)(*data)
    # fgr hears its gates: roundings grow from step to step (float64, below, agrees to 1e-12)
    limit = 1e-5 if name == "greff/fgr" else 3e-6
    agree(gradients(SPECS[name], "pallas", reverse)(*data), want, limit)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["peephole", "gru_before", "greff/fgr", "slstm"])
def test_kernels_equal_the_scan_in_float64(float64, name):
    data = (*problem(SPECS[name], T, B, D, H), LENGTHS, RESETS)
    agree(gradients(SPECS[name], "pallas")(*data), gradients(SPECS[name], "scan")(*data))


def test_a_batch_that_ends_inside_a_slice_and_units_that_fill_their_block(float64):
    spec = SPECS["peephole"]
    data = (*problem(spec, 3, fused_gpu.ROWS + 2, D, power(1)), None, None)
    agree(gradients(spec, "pallas")(*data), gradients(spec, "scan")(*data))


@pytest.mark.slow
def test_any_batch_axes(float64):
    spec = SPECS["gru"]
    weights, _, x, seen = problem(spec, T, 4, D, H)
    for shape in ((2, 2), (4,)):
        carry = random_carry(spec.build(), shape, H)
        data = (weights, carry, x.reshape(T, *shape, D), seen.reshape(T, *shape, H), None, None)
        agree(gradients(spec, "pallas")(*data), gradients(spec, "scan")(*data))
    one = (weights, random_carry(spec.build(), (), H), x[:, 0], seen[:, 0], None, None)
    agree(gradients(spec, "pallas")(*one), gradients(spec, "scan")(*one))


@pytest.mark.slow
def test_a_pack_of_runs_is_an_axis_of_the_kernel(float64):
    cell = SPECS["peephole"].build()
    sets = [problem(SPECS["peephole"], T, B, D, H, seed) for seed in (0, 1)]
    pack = jax.tree.map(lambda *leaves: np.stack(leaves), *sets)

    def pull(engine: str, weights, carry, x, seen):
        f = lambda *data: (unroll(cell, *data, engine=engine)[1] * seen).sum()
        return jax.grad(f, (0, 1, 2))(weights, carry, x)

    packed = jax.jit(jax.vmap(partial(pull, "pallas")), compiler_options=FAST)
    alone = jax.jit(jax.vmap(partial(pull, "scan")), compiler_options=FAST)
    agree(packed(*pack), alone(*pack))


@pytest.mark.slow
def test_rows_of_switches_are_an_axis_of_the_kernel(float64):
    cell = swept(GateSpec())
    table = [GateSpec(peephole="ifo"), GateSpec(coupled=True), GateSpec(output_gate=False)]
    weights = cell.init(jax.random.key(0), D, H)._replace(row=None)
    weights, data = jax.tree.map(np.float64, weights), problem(GateSpec(), T, B, D, H)[1:]

    def pull(engine: str, weights, row, carry, x, seen):
        f = lambda w, *data: (
            unroll(cell, w._replace(row=row), *data, engine=engine)[1] * seen
        ).sum()
        return jax.grad(f, (0, 1, 2))(weights, carry, x)

    run = lambda engine: jax.jit(
        jax.vmap(partial(pull, engine), (None, 0, None, None, None)), compiler_options=FAST
    )(weights, rows.table(table, np.float64), *data)
    agree(run("pallas"), run("scan"))


@pytest.mark.parametrize("precision", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_kernels_round_the_operands_of_their_products(precision):
    """Sums in another order may round the other way at the next product: 1/256 of a part."""
    cell = SPECS["lstm"].build()
    weights, carry, x, seen = problem(SPECS["lstm"], 3, B, D, H, dtype=np.float32)

    def pull(engine: str, precision: str, *data):
        f = lambda *data: (unroll(cell, *data, engine=engine, precision=precision)[1] * seen).sum()
        return jax.jit(jax.value_and_grad(f, (0, 1, 2)), compiler_options=FAST)(*data)

    got, want = (pull(engine, precision, weights, carry, x) for engine in ("pallas", "fused"))
    agree(got, want, 2e-3)
    exact = pull("fused", "float32", weights, carry, x)
    assert any(
        np.abs(a - b).max() > 1e-4 for a, b in zip(*map(jax.tree.leaves, (got, exact)), strict=True)
    )


def test_no_step_and_no_row_are_no_work_for_a_kernel():
    weights, carry, x, _ = problem(SPECS["lstm"], T, B, D, H, dtype=np.float32)
    cell = SPECS["lstm"].build()
    agree(unroll(cell, weights, carry, x[:0], engine="pallas")[0], carry)
    nobody = jax.tree.map(lambda leaf: leaf[:0], carry)
    assert unroll(cell, weights, nobody, x[:, :0], engine="pallas")[1].shape == (T, 0, H)


@contextlib.contextmanager
def graphics():
    """A GPU to lower for where there is none: newer JAX asks for its name, older takes any."""
    try:
        from jax.sharding import AbstractDevice, AbstractMesh, AxisType

        device = AbstractDevice("NVIDIA H200", 132, "gpu")
        mesh = AbstractMesh((1,), ("x",), axis_types=(AxisType.Auto,), abstract_device=device)
    except (ImportError, TypeError):
        yield
        return
    with jax.sharding.use_abstract_mesh(mesh):
        yield


def lowered(name: str, hidden: int, pack: int = 0, precision="bfloat16", masked=False) -> str:
    """Return the program of a training step as it is handed to a GPU's compiler."""
    cell = catalogue.spec(CELLS, "cell", name, {}).build()._replace(precision=precision)
    shapes = jax.eval_shape(
        lambda: (cell.init(jax.random.key(0), D, hidden), cell.start((20,), hidden))
    )
    rest = [jax.ShapeDtypeStruct((T, 20, D), jnp.float32)]
    rest += [jax.ShapeDtypeStruct((20,), jnp.int32), jax.ShapeDtypeStruct((T, 20), bool)] * masked
    way = Way("pallas", partial(fused_gpu.loop, interpret=False))

    def loss(weights, carry, x, lengths=None, resets=None):
        return (over_time(way, cell, weights, carry, x, lengths, resets, False, None)[1] ** 2).sum()

    f = jax.grad(loss)
    if pack:
        f = jax.vmap(f, (0, None) + (None,) * len(rest))
        more = lambda leaf: jax.ShapeDtypeStruct((pack, *leaf.shape), leaf.dtype)
        shapes = (jax.tree.map(more, shapes[0]), shapes[1])
    with graphics():
        return jax.jit(f).trace(*shapes, *rest).lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend")
@pytest.mark.parametrize(
    "setting",
    [
        {"name": "lstm", "hidden": 128},
        {"name": "peephole", "hidden": 100, "masked": True, "pack": 3},
        pytest.param({"name": "gru", "hidden": 64, "precision": "float32"}, marks=pytest.mark.slow),
        pytest.param({"name": "gru_before", "hidden": 64}, marks=pytest.mark.slow),
        pytest.param({"name": "greff/fgr", "hidden": 64, "masked": True}, marks=pytest.mark.slow),
        pytest.param(
            {"name": "slstm", "hidden": 128, "precision": "float16"}, marks=pytest.mark.slow
        ),
    ],
    ids=lambda setting: setting["name"],
)
def test_a_training_step_is_two_launches_on_a_gpu(setting):
    """Whatever the length, the masks and the pack; and the compiler's front end takes the kernels."""
    text = lowered(**setting)
    assert text.count("xla.gpu.triton") == 2 and "stablehlo.while" not in text


def test_a_cell_whose_units_look_at_each_other_is_refused_with_the_reason():
    for name, reason in {
        "onlstm": "goes through a block",
        "fastgrnn": "joins the units",
        "mogrifier": "multiple of hidden",
    }.items():
        cell = SPECS[name].build()
        weights, carry, x, _ = problem(SPECS[name], T, B, D, H, dtype=np.float32)
        with pytest.raises(ValueError, match=rf"engine='pallas'.*{reason}.*engine='fused'"):
            unroll(cell, weights, carry, x, engine="pallas")
    with pytest.raises(config.ConfigError, match=r"network\.engine='pallas'"):
        config.build(
            {
                "cell": {"kind": "onlstm"},
                "task": {"kind": "adding"},
                "network": {"engine": "pallas"},
            }
        )


@pytest.mark.slow
def test_every_named_cell_but_these_has_a_kernel():
    """A projection (lstmp: 8 numbers) has one where it is as wide as whole blocks."""
    none = {name for name, spec in SPECS.items() if fused_gpu.unserved(spec.build(), 6)}
    assert fused_gpu.unserved(SPECS["lstmp"].build(), 4) is None
    assert none == {"fastgrnn", "lru", "lstmp", "mlstm", "mogrifier", "onlstm", "phased", "rglru"}


def test_auto_takes_the_kernels_on_a_gpu_where_the_matrix_fits(monkeypatch):
    lstm = SPECS["lstm"].build()
    narrow = lstm._replace(precision="bfloat16")
    assert engines.chosen(narrow, "auto", 128).loop is fused.loop
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert engines.chosen(narrow, "auto", 128).loop is fused_gpu.loop
    assert engines.chosen(lstm, "auto", 128).loop is fused.loop  # float32: twice the bytes
    assert engines.chosen(lstm, "auto", 64).loop is fused_gpu.loop
    assert engines.chosen(narrow, "auto", 129).loop is fused.loop
    assert engines.chosen(SPECS["onlstm"].build(), "auto", 8).loop is fused.loop
    with pytest.raises(ValueError, match=r"hidden=256 take more than 128 KiB in bfloat16"):
        engines.chosen(narrow, "pallas", 256)


def test_the_quick_tanh_is_right_to_float32_of_its_range():
    x = np.concatenate([np.linspace(-12, 12, 4001), [-1e4, -60, 0, 1e-8, 60, 1e4]]).astype("f4")
    assert np.abs(quick_tanh(jnp.asarray(x)) - np.tanh(x.astype("f8"))).max() < 2e-7


def test_padding_comes_back_off():
    fit = Fit(hidden=5, batch=3, slice=16)
    data = np.random.default_rng(0).normal(size=(2, 3, 10))
    (wide,) = fit.rows(data)
    assert wide.shape == (2, 16, 2 * power(5))
    assert not np.delete(wide, [*range(5), *range(16, 21)], -1).any() and not wide[:, 3:].any()
    assert (fit.back([wide])[0] == data).all()
    one = np.ones((3, 1))  # a number a row stays one
    assert (fit.back(fit.rows(one))[0] == one).all()


@pytest.mark.slow
def test_a_run_trains_in_the_kernels_as_in_the_scan():
    """A stack of both directions, tasks' lengths and all: the losses of three steps."""

    def losses(engine: str) -> np.ndarray:
        task = Adding(length=6, held_out=10).build()
        network = NetworkSpec(hidden=3, layers=2, bidirectional=True, engine=engine)
        made = Program(GateSpec(), network, task, OptimizerSpec(), Budget(steps=3, batch=2))
        out = jax.jit(made.steps)(made.begin(0), task.data, jnp.int32(0), jnp.int32(3))
        return np.asarray(out[1][:3])

    agree(losses("pallas"), losses("scan"), 1e-5)
