"""The kernels of a GPU, run a fiber a thread on a processor, equal loops that round the same operands.

What the emulator cannot show, how fast they are and what a GPU's compiler makes of them, is measured on one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from blocks import random_carry
from contract import problem
from emulated import COMPILER, register
from sampled import first, sampled
from test_cells import SPECS
from test_native import CELLS, WITHOUT

from lstm_research import cuda, cuda_driver, cuda_trace, engines, fused
from lstm_research.cell import given, project
from lstm_research.cuda_plan import Spread
from lstm_research.unroll import Way, over_time

pytestmark = pytest.mark.skipif(
    COMPILER is None, reason="no g++ or clang++ to compile kernels with"
)
T, B, D, H = 4, 11, 3, 32
LENGTHS, RESETS = np.array([T, 3, 0, 1, 2] + [T] * 6), np.zeros((T, B), bool)
RESETS[[0, 2], 0] = RESETS[1, 1] = RESETS[2, 4] = True
ROUNDED = 3e-3  # of the largest: biases and vectors see dz as the products do, in 8 bits
MATRICES = [n for n in CELLS if jax.tree.leaves(SPECS[n].build().init(jax.random.key(0), D, H).r)]
SPREADS = {
    "one block": Spread(1, 4, 1, 1),
    "two warps a tile, two tiles of rows": Spread(1, 4, 2, 2),
    "a cluster": Spread(2, 2, 1, 1),
    "a cluster, two warps a tile": Spread(2, 2, 2, 1),
    "a cluster of four, more rows than owners": Spread(4, 1, 2, 2),
    "through the GPU's memory": Spread(4, 1, 2, 1, "flags"),
}


@pytest.fixture(autouse=True)
def emulator():
    register()


def run(
    loop, name, precision="bfloat16", masked=False, reverse=False, hidden=H, steps=T, batch=B, inside=True
):  # fmt: skip
    """Return (carry, h) and the gradients of weights, carry and x; inside: a kernel projects x."""
    cell = SPECS[name].build()._replace(precision=precision)
    if inside and loop is cuda.loop and cell.drive is project:
        cell = cell._replace(drive=given)
    weights, carry, x, seen = problem(SPECS[name], steps, batch, D, hidden, dtype=np.float32)
    weights = jax.tree.map(lambda w: w * np.float32(0.5), weights._replace(row=None))
    row = SPECS[name].build().init(jax.random.key(0), D, hidden).row
    marks = (LENGTHS, RESETS) if masked else (None, None)

    def loss(weights, carry, x):
        last, h = over_time(
            Way("fused", loop), cell, weights._replace(row=row), carry, x, *marks, reverse, None
        )
        return (h * seen).sum() + sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(last)), (
            last,
            h,
        )

    grads, out = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))(weights, carry, x)
    return out, grads


def apart(one, other):
    """Return how far two trees lie apart, as a share of the largest number of a leaf."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(abs(a - b).max() / (abs(b).max() + 1e-3)) for a, b in pairs if a.size)


def hold(*arguments, **more):
    """Assert that a kernel equals the loop of the same precision."""
    jax.clear_caches()  # a spread is no part of what a program is found by
    (found, grads), (want, wanted) = (run(each.loop, *arguments, **more) for each in (cuda, fused))
    assert apart(found, want) < 2e-3  # sums in another order may round the other way
    assert apart(grads, wanted) < 2 * ROUNDED


@pytest.mark.parametrize("name", sampled(MATRICES))
def test_every_cell_that_has_a_kernel_equals_its_loop(name):
    hold(name)


@pytest.mark.parametrize("name", first(["gru", "lstm"], 1))
def test_many_features_are_projected_before_the_kernel(name):
    hold(name, inside=False, masked=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_a_cell_without_a_kernel_says_why(name):
    cell = SPECS[name].build()._replace(precision="bfloat16")
    assert WITHOUT[name] in (cuda.unserved(cell, 16) or "")


@pytest.mark.parametrize("name", sorted({*CELLS} - {*MATRICES}))
def test_a_cell_without_a_matrix_has_no_kernel(name):
    cell = SPECS[name].build()._replace(precision="bfloat16")
    assert "no matrix joins its units" in (cuda.unserved(cell, 16) or "")


@pytest.mark.parametrize(
    "way", [pytest.param(w, id=w, marks=() if w == "a cluster, two warps a tile" else pytest.mark.slow)
            for w in SPREADS]
)  # fmt: skip
def test_every_way_to_spread_a_layer_gives_the_same(way, monkeypatch):
    monkeypatch.setattr("lstm_research.cuda_plan.spread", lambda *_: SPREADS[way])
    hold("lstm", masked=True, hidden=64)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["a cluster", "through the GPU's memory"])
@pytest.mark.parametrize("name", ["gru_before", "greff/fgr"])
def test_cells_of_two_products_and_of_many_pass_on_all_they_say(name, way, monkeypatch):
    monkeypatch.setattr("lstm_research.cuda_plan.spread", lambda *_: SPREADS[way])
    hold(name, masked=True, reverse=True, hidden=64)


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [1, 7, 20, 33])
def test_any_width_and_a_batch_that_ends_inside_a_tile(hidden):
    hold("peephole", hidden=hidden, reverse=True, batch=3)


@pytest.mark.slow
def test_float16_goes_back_in_bfloat16():
    hold("lstm", precision="float16", masked=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "wide", [Spread(2, 2, 1, 1), Spread(1, 4, 1, 2)], ids=["as alone", "wider"]
)
def test_a_pack_is_one_launch_and_each_run_that_run_alone(wide, monkeypatch):
    monkeypatch.setattr("lstm_research.cuda_plan.spread", lambda *_: SPREADS["a cluster"])
    monkeypatch.setattr(
        "lstm_research.cuda_call.packed",
        lambda spec, blocks: spec._replace(spread=wide, soon=False),
    )
    cell = SPECS["peephole"].build()._replace(precision="bfloat16", drive=given)
    sets = [problem(SPECS["peephole"], T, 5, D, 64, seed, np.float32) for seed in range(3)]
    seen = sets[0][3]

    def pull(weights, x):
        carry = cell.start((5,), 64)
        way = Way("fused", cuda.loop)
        f = lambda w, x: (
            over_time(way, cell, w, carry, x, None, None, False, None)[1] * seen
        ).sum()
        return jax.grad(f, (0, 1))(weights, x)

    weights = [each[0]._replace(row=None) for each in sets]
    pack = jax.tree.map(
        lambda *leaves: np.stack(leaves), *zip(weights, [s[2] for s in sets], strict=True)
    )
    jax.clear_caches()
    together = jax.jit(jax.vmap(pull))(*pack)
    assert "lax.map" not in str(jax.make_jaxpr(jax.vmap(pull))(*pack))
    for k, (w, each) in enumerate(zip(weights, sets, strict=True)):
        alone = jax.jit(pull)(w, each[2])
        assert apart(jax.tree.map(lambda leaf, k=k: leaf[k], together), alone) < 1e-5


def test_a_pre_activation_beyond_float16_is_kept_as_its_largest_number():
    cell = SPECS["irnn"].build()._replace(precision="bfloat16")
    weights, carry, x, seen = problem(SPECS["irnn"], T, B, D, H, dtype=np.float32)

    def pull(loop):
        f = lambda x: (
            over_time(Way("fused", loop), cell, weights, carry, x, None, None, False, None)[1]
            * seen
        ).sum()
        return jax.jit(jax.grad(f))(x * np.float32(1e6))

    jax.clear_caches()
    found, wanted = pull(cuda.loop), pull(fused.loop)
    assert np.isfinite(found).all() and apart(found, wanted) < 2 * ROUNDED


def test_auto_leaves_a_processor_alone_and_cuda_says_what_it_needs():
    cell = SPECS["lstm"].build()._replace(precision="bfloat16")
    assert engines.chosen(cell, "auto", 32).name != "cuda"
    with pytest.raises(ValueError, match=r"engine='cuda' needs llvmlite.*a GPU like an H100"):
        engines.chosen(cell, "cuda", 32)


def test_a_kernel_takes_rounded_operands_alone():
    assert "float32" in (cuda.unserved(SPECS["lstm"].build(), 32) or "")


def test_auto_takes_the_kernels_on_a_gpu_with_its_compiler(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(cuda_driver, "device", lambda: cuda_driver.Device("90", 132))
    engines.gpu_code.cache_clear()
    try:
        cell = SPECS["greff/v"].build()
        half = cell._replace(precision="bfloat16")
        assert engines.chosen(half, "auto", 1024).name == "cuda"
        assert engines.chosen(cell, "auto", 1024).name == "fused"
        assert engines.chosen(half, "auto", 1024, batch=64).name == "cuda"
        assert engines.chosen(half, "auto", 1024, batch=4096).name == "fused"  # too many to wait
        assert engines.chosen(half, "auto", 32, keep="states").name != "cuda"
    finally:
        engines.gpu_code.cache_clear()


def described(hidden, batch=64):
    """Return the kernels of a training step of an LSTM, and the calls of them."""
    calls = []
    cell = SPECS["lstm"].build()._replace(precision="bfloat16")
    weights = jax.eval_shape(lambda key: cell.init(key, 2, hidden), jax.random.key(0))
    x = jax.ShapeDtypeStruct((5, batch, 2), jnp.float32)

    def loss(weights, x):
        way = Way("fused", cuda.loop)
        carry = cell.start((batch,), hidden)
        return over_time(way, cell, weights, carry, x, None, None, False, None)[1].sum()

    with pytest.MonkeyPatch.context() as patch:
        real = cuda_trace.cuda_call.Call
        patch.setattr(cuda_trace.cuda_call, "Call", lambda *a: calls.append(real(*a)) or calls[-1])
        jax.clear_caches()
        jax.eval_shape(jax.grad(loss), weights, x)
    return calls


def test_a_state_of_any_batch_axes_is_served():
    cell = SPECS["gru"].build()._replace(precision="bfloat16")
    weights, _, x, _ = problem(SPECS["gru"], 2, 4, D, H, dtype=np.float32)
    carry = random_carry(cell, (2, 2), H, dtype=np.float32)
    run_ = lambda loop: over_time(
        Way("fused", loop), cell, weights, carry, x.reshape(2, 2, 2, D), None, None, False, None
    )
    assert apart(run_(cuda.loop), run_(fused.loop)) < 1e-4
