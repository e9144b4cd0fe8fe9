"""Many runs on a machine: packed in a worker, the same as one by one, and a dead worker costs nobody else."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from small import small

from lstm_research import local, start, store
from lstm_research.local import Hooks, Settings, launch
from lstm_research.train import Slots


def ended(ends: dict) -> Hooks:
    return Hooks(end=lambda which, outcome: ends.__setitem__(which, outcome))


def test_a_sweep_in_a_worker_leaves_what_runs_one_by_one_leave(tmp_path):
    specs = [small(cell, seed) for cell in ("gated", "elman") for seed in (0, 1)]
    specs.append(specs[0])  # two names of one run
    ends, heard, said = {}, [], []

    class Ear:
        def started(self, path):
            heard.append(("started", path))

        def finished(self, path):
            heard.append(("finished", path))

    hooks = ended(ends)._replace(tell=said.append)
    launch(specs, Settings(tmp_path / "many"), hooks, listeners=[Ear()])
    assert sorted(ends) == [0, 1, 2, 3] and {end.status for end in ends.values()} == {"finished"}
    assert sorted(kind for kind, _ in heard) == ["finished"] * 4 + ["started"] * 4
    assert "5 jobs: 4 runs in 2 programs" in said[0] and "runs/s" in said[-1]
    for spec in specs[:4]:
        launch([spec], Settings(tmp_path / "one"))
        curves = [
            store.curve(store.find(tmp_path / name, spec.resolved())) for name in ("many", "one")
        ]
        for one, other in zip(*curves, strict=True):
            assert one.pop("split") == other.pop("split")
            assert one == pytest.approx(other, rel=1e-5)
    again: dict = {}
    launch(specs, Settings(tmp_path / "many"), ended(again))
    assert not any(end.ran for end in again.values()), "nothing is left to run, so nobody is hired"


def test_a_device_that_computes_wrong_numbers_begins_no_run(tmp_path, monkeypatch):
    """It is found out beside the plan and the compilations, and before the first step."""

    def wrong():
        raise start.BadJaxlib("wrong numbers")

    monkeypatch.setattr(start, "distrust", wrong)
    specs, said = [small("gated", seed) for seed in (0, 1)], []
    voice = SimpleNamespace(say=lambda kind, *rest: said.append(kind))
    with pytest.raises(start.BadJaxlib, match="wrong numbers"):
        local.work(specs, [0, 1], Settings(tmp_path), (2, 0), voice)
    assert said == ["tell", "tell"] and not list(tmp_path.iterdir())


class Worker:
    """A worker that a test plays: it says what it is given for each batch, then dies or is done."""

    def __init__(self, acts: list, seen: list) -> None:
        self.acts, self.seen, self.words = acts, seen, []
        self.process, self.pipe, self.exitcode = self, self, -11

    def send(self, message) -> None:
        names = [which for which, _ in message[1]]
        self.seen.append(names)
        self.words = self.acts.pop(0)(names)

    def recv(self):
        if not self.words:
            raise EOFError
        return self.words.pop(0)

    def join(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_what_a_dead_worker_held_is_tried_once_more_alone(tmp_path, monkeypatch):
    done = lambda which: ("end", which, local.Outcome("finished", tmp_path, True))
    acts = [
        lambda names: [("start", 0), ("start", 1), done(0), ("start", 2)],  # dies with 1 and 2
        lambda names: [("start", 1)],  # 1 is what kills it
        lambda names: [("start", 2), done(2), ("done",)],
        lambda names: [*map(done, names), ("done",)],
    ]
    seen, ends = [], {}
    monkeypatch.setattr(local, "hire", lambda fork=True: Worker(acts, seen))
    launch([small(seed=s) for s in range(5)], Settings(tmp_path), ended(ends))
    assert seen == [[0, 1, 2, 3, 4], [1], [2], [3, 4]]
    assert ends[1].status == "unfinished" and "died (SIGSEGV)" in ends[1].error
    assert [ends[k].status for k in (0, 2, 3, 4)] == ["finished"] * 4


SWEEP = """
from pathlib import Path
from lstm_research import local
from small import small
specs = [small(cell, seed, steps=3000) for cell in ("gated", "elman") for seed in range(12)]
local.launch(specs, local.Settings(Path({root!r})), local.Hooks(tell=print))
"""


class Voice:
    """What a worker says, heard by a test."""

    def __init__(self) -> None:
        self.said: list[tuple] = []

    def say(self, *message) -> None:
        self.said.append(message)

    def started(self, path) -> None:
        pass

    finished = started


@pytest.mark.parametrize("broken", [False, True])
def test_the_first_program_of_a_sweep_has_the_interpreter_until_it_trains(
    tmp_path, monkeypatch, broken
):
    """Where it cannot be compiled, the others do not wait for ever."""
    seen, packed, advance = [], local.packed, Slots.advance

    def pack(group, going):
        seen.append(len(group.which))
        if broken and len(group.which) == 2:
            raise ValueError("no such program")
        return packed(group, going)

    monkeypatch.setattr(local, "packed", pack)
    monkeypatch.setattr(
        Slots, "advance", lambda self, clock: (seen.append("steps"), advance(self, clock))
    )
    specs, voice = [small("gated", 0), small("gated", 1), small("elman")], Voice()
    local.work(specs, range(3), Settings(tmp_path), (3, 0), voice)
    told = {said[1]: said[2].status for said in voice.said if said[0] == "end"}
    first = "failed" if broken else "finished"
    assert told == {0: first, 1: first, 2: "finished"}
    assert seen[0] == 2 and (broken or seen.index("steps") < seen.index(1))


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["parent", "worker"])
def test_sigkill_at_any_moment_loses_no_run_and_repeats_none(tmp_path, whom):
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-W", "error", "-c", SWEEP.format(root=str(tmp_path))]
    process = subprocess.Popen(command, env=here)
    results = lambda: {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    while len(before := results()) < 3:
        assert process.poll() is None, "it ended too early"
        time.sleep(0.02)
    if whom == "parent":
        process.kill()
        process.wait()
        deadline = time.monotonic() + 60  # the orphan ends by itself
        while time.monotonic() < deadline and any(
            status == "unfinished" and busy(path.parent) for path, status in unfinished(tmp_path)
        ):
            time.sleep(0.1)
        before = results()
        subprocess.run(command, env=here, check=True, timeout=300)
    else:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        assert process.wait(300) == 0
    after = results()
    assert len(after) == 24, "no run is lost"
    assert {path: after[path] for path in before} == before, "none is repeated"


def unfinished(root: Path) -> list[tuple[Path, str]]:
    return [(lock, store.status(lock.parent)) for lock in root.rglob("lock")]


def busy(folder: Path) -> bool:
    try:
        os.close(store.take(folder))
    except store.RunBusy:
        return True
    return False
