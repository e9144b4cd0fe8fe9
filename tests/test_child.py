"""A tracker cannot hurt a run: whatever becomes of it costs one warning and no time."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import mirrored
import pytest
from mirrored import RESULT, SPEC, eventually, trained

from lstm_research import store
from lstm_research.trackers import wandb
from lstm_research.trackers.child import Child


@pytest.fixture(autouse=True)
def offline_home(monkeypatch, tmp_path):
    mirrored.at_home(monkeypatch, tmp_path)


@pytest.fixture
def fake(monkeypatch, tmp_path):
    return mirrored.faked(monkeypatch, tmp_path)


def process_of(child: Child) -> subprocess.Popen:
    assert child._running is not None
    return child._running.process


def warnings_of(capsys) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "warning" in line]


def test_a_wandb_that_raises_costs_one_warning(tmp_path, fake, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_INIT", "raise RuntimeError('no such entity')")
    child = wandb.tracker(tmp_path, "project", "online")
    paths = [trained(tmp_path, SPEC | {"seed": seed}, child) for seed in range(3)]
    child.close()
    (warning,) = warnings_of(capsys)
    assert "RuntimeError: no such entity. The run goes on." in warning
    assert "lstm-research sync" in warning
    assert len(fake("init")) == 3  # the next run is tried all the same
    assert all(store.status(path) == "solved" for path in paths)


def test_a_wandb_that_hangs_costs_one_warning_and_no_time(tmp_path, fake, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_INIT", "time.sleep(1000)")
    child = wandb.tracker(tmp_path, "project", "online")
    began = time.perf_counter()
    run = store.open_run(tmp_path, SPEC, listeners=[child])
    for _ in range(5000):  # far more than a pipe holds
        child.finished(run.path)
    run.finish(RESULT)
    assert time.perf_counter() - began < 2
    assert eventually(lambda: fake("init"))
    process = process_of(child)
    began = time.perf_counter()
    child.close(0.5)
    child.close(0.5)
    assert time.perf_counter() - began < 4
    assert process.returncode not in (None, 0)
    (warning,) = warnings_of(capsys)
    assert "W&B was silent for 0.5 s" in warning and store.status(run.path) == "solved"


def test_a_wandb_that_ignores_being_asked_to_end_is_ended(tmp_path, fake, monkeypatch, capsys):
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"
    monkeypatch.setenv("FAKE_INIT", f"say(deaf=1); {ignore}")
    child = wandb.tracker(tmp_path, "project", "online")
    trained(tmp_path, SPEC, child)
    assert eventually(lambda: fake("deaf"))
    time.sleep(0.1)
    process = process_of(child)
    child.close(0.2)
    assert process.returncode == -9 and len(warnings_of(capsys)) == 1


def test_a_slow_wandb_is_waited_for_as_long_as_it_makes_progress(
    tmp_path, fake, monkeypatch, capsys
):
    monkeypatch.setenv("FAKE_INIT", "time.sleep(0.3)")
    child = wandb.tracker(tmp_path, "project", "online")
    for seed in range(5):
        trained(tmp_path, SPEC | {"seed": seed}, child)
    assert eventually(lambda: fake("init"))  # it has started; from here on it is never silent long
    child.close(1)
    assert len(fake("finish")) == 5 and warnings_of(capsys) == []


def test_a_child_that_dies_costs_one_warning(tmp_path, fake, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_INIT", "os._exit(7)")
    child = wandb.tracker(tmp_path, "project", "online")
    run = store.open_run(tmp_path, SPEC, listeners=[child])
    assert eventually(lambda: process_of(child).poll() is not None)
    run.finish(RESULT)
    trained(tmp_path, SPEC | {"seed": 4}, child)
    child.close()
    (warning,) = warnings_of(capsys)
    assert "W&B ended with exit code 7" in warning and store.status(run.path) == "solved"


def test_a_child_that_is_killed_costs_one_warning(tmp_path, fake, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_INIT", "import signal; os.kill(os.getpid(), signal.SIGKILL)")
    child = wandb.tracker(tmp_path, "project", "online")
    paths = [trained(tmp_path, SPEC | {"seed": seed}, child) for seed in range(2)]
    child.close()
    (warning,) = warnings_of(capsys)
    assert "W&B ended with exit code -9" in warning
    assert all(store.status(path) == "solved" for path in paths)


def test_a_server_that_refuses_costs_one_warning(tmp_path, monkeypatch, capsys):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nothing listens there
    child = wandb.tracker(tmp_path, "project", "online")
    path = trained(tmp_path, SPEC, child)
    child.close(0.5)
    (warning,) = warnings_of(capsys)
    assert "W&B was silent for 0.5 s" in warning and store.status(path) == "solved"


def test_a_child_with_too_much_to_do_is_ended_though_it_lives(tmp_path, fake, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_INIT", "time.sleep(0.3)")
    child = wandb.tracker(tmp_path, "project", "online")
    for seed in range(40):
        trained(tmp_path, SPEC | {"seed": seed}, child)
    assert eventually(lambda: fake("init"))
    began = time.perf_counter()
    child.close(timeout=5, limit=1)
    assert time.perf_counter() - began < 8  # and not the 12 s of 40 runs
    (warning,) = warnings_of(capsys)
    assert "W&B had not caught up after 1 s and is ended" in warning


def test_what_waits_for_a_child_that_does_not_read_is_bounded(tmp_path, monkeypatch, capsys):
    (tmp_path / "deaf.py").write_text("import time; time.sleep(1000)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    child = Child("deaf", "deaf", [])
    for step in range(3000):
        child.started(f"/runs/{step}", label="x" * 1000)
    assert len(child._waiting) < 1.1 * 2**20
    child.close(0.1)
    (warning,) = warnings_of(capsys)
    assert "deaf does not keep up" in warning


def test_without_wandb_one_warning_says_so(tmp_path, fake, monkeypatch, capsys):
    (tmp_path / "fake" / "wandb" / "__init__.py").write_text("raise ImportError('no wandb here')")
    child = wandb.tracker(tmp_path, "project", "offline")
    path = trained(tmp_path, SPEC, child)
    child.close()
    (warning,) = warnings_of(capsys)
    assert "ImportError: no wandb here" in warning and store.status(path) == "solved"


def test_a_python_that_cannot_be_started_costs_one_warning(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    child = wandb.tracker(tmp_path, "project", "offline")
    path = trained(tmp_path, SPEC, child)
    child.close()
    (warning,) = warnings_of(capsys)
    assert "W&B did not start" in warning and store.status(path) == "solved"


def test_threads_share_a_child_without_mixing_their_lines(tmp_path, monkeypatch):
    (tmp_path / "echo.py").write_text("import sys; open(sys.argv[1], 'w').write(sys.stdin.read())")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    child = Child("echo", "echo", [str(tmp_path / "heard")])

    def work(number: int) -> None:
        for step in range(200):
            child.started(f"/runs/{number}/{step}", label="x" * 50)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    child.close()
    lines = (tmp_path / "heard").read_text().splitlines()
    paths = [json.loads(line.removeprefix("started "))["path"] for line in lines]
    assert sorted(paths) == sorted(f"/runs/{n}/{step}" for n in range(8) for step in range(200))
