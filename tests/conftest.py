"""Fixtures of every test: a key, float64 where a claim needs it, and the real data of the
neighbourhood.

Compiling is what the quick suite costs, so it compiles without XLA's expensive optimisations; with any other
`-m` the programs are those that users run.
"""

import io
import os
from pathlib import Path
from typing import Any

import jax
import pytest

NEIGHBOUR = Path(__file__).parents[2] / "shared" / "data"
if NEIGHBOUR.is_dir():
    os.environ.setdefault("LSTM_RESEARCH_DATA", str(NEIGHBOUR))
SOUND = "--xla_cpu_use_fusion_emitters=false"  # as in a run (`effort.py`)
QUICK = "--xla_cpu_parallel_codegen_split_count=1"


def pytest_configure(config: pytest.Config) -> None:
    jax.config.update("jax_num_cpu_devices", 2)  # as in a run, where a core is a device
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {SOUND}"
    if config.option.markexpr == "not slow":
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # for the processes that tests start
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}"
        jax.config.update("jax_disable_most_optimizations", True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file in one process: they share what they compile."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log)


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)


@pytest.fixture
def float64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True)
def quiet_trackers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds a login."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", os.devnull)


@pytest.fixture
def data_folder() -> Path:
    """The folder of real data; a test that needs it is skipped, by name, where there is none."""
    found = os.environ.get("LSTM_RESEARCH_DATA")
    if not found:
        pytest.skip(
            "needs the real data: set LSTM_RESEARCH_DATA to a folder that holds polymusic/JSB_Chorales.mat"
        )
    return Path(found)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps run in this process, one run after another: what a worker does is `test_local.py`'s."""
    from lstm_research import local

    def one_by_one(specs, todo, settings, hooks, ears, worker, before):
        for which in todo:
            done = local.run(specs[which], settings.root, force=settings.force, listeners=ears)
            hooks.end(which, done)

    monkeypatch.setattr(local, "supervise", one_by_one)
    monkeypatch.setattr(local, "hire", lambda: local.Worker(None, io.StringIO()))
