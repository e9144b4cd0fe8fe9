"""Many runs on the cores of a machine: the same results as one by one, and a dead worker costs one."""

import os
import signal
from pathlib import Path

import pytest
from small import small

from lstm_research import local, store
from lstm_research.local import Hooks, choose, launch
from lstm_research.signature import signature


def hooks(ends: list, start=lambda slot, spec: None, event=lambda slot, event: None) -> Hooks:
    return Hooks(start, event, lambda slot, spec, outcome: ends.append((slot, spec, outcome)))


def test_two_workers_leave_what_one_leaves(tmp_path):
    specs = [small(cell, seed) for cell in ("gated", "elman") for seed in (0, 1)]
    one, two = [], []
    launch(specs, tmp_path / "one", hooks(one), workers=1)
    launch(specs, tmp_path / "two", hooks(two), workers=2)
    assert {slot for slot, _, _ in two} == {0, 1}
    for spec in specs:
        curves = [
            store.curve(store.find(tmp_path / name, spec.resolved())) for name in ("one", "two")
        ]
        assert curves[0] == curves[1]


def test_the_listeners_of_the_parent_hear_of_every_run(tmp_path):
    heard: list[tuple[str, Path]] = []

    class Ear:
        def started(self, path):
            heard.append(("started", path))

        def finished(self, path):
            heard.append(("finished", path))

    launch([small(seed=seed) for seed in (0, 1)], tmp_path, hooks([]), workers=2, listeners=[Ear()])
    assert sorted(kind for kind, _ in heard) == ["finished", "finished", "started", "started"]


def test_a_worker_that_dies_costs_the_run_at_hand_only(tmp_path, monkeypatch):
    ends, pids = [], []
    start = local.multiprocessing.get_context("spawn").Process.start
    monkeypatch.setattr(
        "multiprocessing.context.SpawnProcess.start",
        lambda self: (start(self), pids.append(self.pid))[0],
    )
    killed = []

    def kill_first(slot, event):
        if slot == 0 and not killed:
            killed.append(os.kill(pids[0], signal.SIGKILL))

    specs = [small(seed=seed, steps=2000) for seed in range(3)]
    launch(specs, tmp_path, hooks(ends, event=kill_first), workers=2)
    assert sorted(outcome.status == "unfinished" for _, _, outcome in ends) == [False, False, True]
    lost = next(outcome for _, _, outcome in ends if outcome.status == "unfinished")
    assert "died" in lost.error
    launch(specs, tmp_path, hooks([]), workers=1)
    assert all(store.done(tmp_path, spec.resolved()) for spec in specs)


def test_a_worker_keeps_its_program_then_takes_a_fresh_one_then_helps():
    a, b = [small(seed=s) for s in range(3)], [small("elman", seed=s) for s in range(2)]
    waiting = {signature(a[0]): list(a), signature(b[0]): list(b)}
    taken: set = set()
    assert choose(waiting, taken, None) is a[0]
    assert choose(waiting, taken, None) is b[0], "the second worker takes the other program"
    assert choose(waiting, taken, signature(b[0])) is b[1]
    assert choose(waiting, taken, signature(b[0])) is a[1], "nothing of its own is left: it helps"
    assert choose(waiting, taken, signature(a[0])) is a[2] and not waiting


@pytest.mark.parametrize(
    ("jobs", "workers", "most"), [(1, None, 1), (9, 1, 1), (3, 8, 3), (0, None, 1)]
)
def test_slots_are_no_more_than_jobs_or_workers(jobs, workers, most):
    assert local.slots(jobs, workers) == most
