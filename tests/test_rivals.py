"""Every library that is compared with ours does the same work: same weights, same loss, same steps."""

import os

import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
from race import jax_jobs, products, worker
from race.rivals import RIVALS
from race.sections import CELLS, PEERS

import lstm_research as lr

SHAPE = (4, 5, 2, 4)  # a batch that two devices can share
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
RATE = 50.0  # so large that three steps on other gradients end elsewhere


def job(rival: str, work: str = "train", **more) -> dict:
    package = RIVALS[rival].package
    return {"side": "jax", "package": package, "rival": rival, "work": work, "shape": SHAPE, **more}


@pytest.fixture(scope="module")
def losses() -> list[float]:
    """Of the oracle, before the first, the second and the third step."""
    patch = pytest.MonkeyPatch()
    patch.setattr(jax_jobs, "RATE", RATE)
    call = worker.make(job("ours, scan"))
    found = [call(count) for count in (1, 2, 3)]
    patch.undo()
    return found


@pytest.mark.parametrize(
    "rival", ["ours, auto", *(pytest.param(peer, marks=pytest.mark.slow) for peer in PEERS)]
)
def test_a_library_of_jax_takes_the_steps_of_ours(rival, losses, monkeypatch):
    pytest.importorskip(PEERS.get(rival, "jax"), reason=f"{rival} is not installed")
    monkeypatch.setattr(jax_jobs, "RATE", RATE)
    call = worker.make(job(rival))
    assert [call(count) for count in (1, 2, 3)] == pytest.approx(losses, rel=1e-4)
    assert abs(losses[2] - losses[1]) > 1e-3 * losses[1]


@pytest.mark.parametrize("work", ["train", "forward", "sequence"])
def test_torch_begins_with_the_loss_of_ours(work, losses):
    pytest.importorskip("torch", reason="torch is not installed")
    call = worker.make({"side": "torch", "package": "torch", "work": work, "shape": SHAPE})
    assert call(1) == pytest.approx(losses[0], rel=1e-5)


def test_torch_starts_each_turn_from_the_same_weights():
    pytest.importorskip("torch", reason="torch is not installed")
    call = worker.make({"side": "torch", "package": "torch", "work": "train", "shape": SHAPE})
    first = call(3)
    assert call(3) == first


@pytest.mark.parametrize("single", [False, True])
def test_torch_streams_what_ours_streams(single):
    pytest.importorskip("torch", reason="torch is not installed")
    asked = {"side": "torch", "package": "torch", "work": "step", "shape": SHAPE, "single": single}
    ours = worker.make(job("ours, auto", "step"))
    assert worker.make(asked)(7) == pytest.approx(ours(7), rel=1e-5)


@pytest.mark.parametrize("work", ["step", "sequence"])
def test_onnxruntime_gives_the_outputs_of_ours(work):
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    asked = {"side": "onnx", "package": "onnxruntime", "work": work, "shape": SHAPE}
    ours = worker.make(job("ours, auto", work))
    assert worker.make(asked)(4) == pytest.approx(ours(4), rel=1e-5)


def test_a_pack_begins_with_the_loss_of_its_runs(losses):
    assert worker.make(job("ours, fused", runs=3))(1) == pytest.approx(losses[0], rel=1e-5)


def test_half_precision_begins_near_the_loss_of_float32(losses):
    for dtype in ("bfloat16", "float16"):
        found = worker.make(job("ours, fused", dtype=dtype, cast=True))(1)
        assert found == pytest.approx(losses[0], rel=3e-2) and found != losses[0]


def test_a_package_that_is_absent_is_told_as_absent():
    with pytest.raises(ImportError, match="not installed"):
        worker.make({"side": "jax", "package": "no_such_package", "work": "train"})


def test_torch_without_a_gpu_is_told_as_absent():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    asked = {"side": "torch", "package": "torch", "work": "train", "shape": SHAPE, "device": "cuda"}
    with pytest.raises(ImportError, match="no GPU"):
        worker.make(asked)


def test_the_blocks_of_every_cell_are_those_of_its_product():
    found = {
        name: sum(len(stage.both) + len(stage.recurred) for stage in lr.cell(name).stages)
        for name in CELLS
    }
    assert found == CELLS


def test_the_work_of_a_step_is_the_sum_of_its_products():
    batch, steps, features, hidden = 16, 200, 64, 512
    wide = 4 * hidden
    assert products.flops((16, 200, 64, 512)) == (
        2 * batch * steps * wide * (2 * (features + hidden) + hidden)
    )
    assert products.flops((16, 200, 64, 512), train=False) == (
        2 * batch * steps * wide * (features + hidden)
    )


def test_a_product_runs_alone():
    asked = {
        "side": "product",
        "package": "jax",
        "work": "product",
        "product": (4, 8, 16),
        "split": "m",
    }
    assert worker.make(asked)(2) == worker.make(asked)(2)
