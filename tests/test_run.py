"""One run from its spec to its folder: kept, not repeated, and a fault is a status."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import yaml
from small import small

from lstm_research import run as module
from lstm_research import store
from lstm_research.config import build
from lstm_research.run import run
from lstm_research.signature import program, signature


def test_a_run_leaves_spec_environment_curve_and_result(tmp_path):
    spec = small()
    outcome = run(spec, tmp_path)
    assert outcome == ("finished", store.find(tmp_path, spec.resolved()), True, None)
    assert build(yaml.safe_load((outcome.path / "spec.yaml").read_text())) == spec
    around = json.loads((outcome.path / "environment.json").read_text())
    assert around["versions"]["jax"] and around["platform"]
    curve = store.curve(outcome.path)
    assert [e["step"] for e in curve if e["split"] == "valid"] == [2, 4]
    result = json.loads((outcome.path / "result.json").read_text())
    assert result["status"] == "finished" and np.isfinite(result["metrics"]["test"]["mse"])
    assert result["metric"] == "mse" and result["success"]["at_most"] > 0


def test_the_same_spec_is_not_run_again_but_by_force(tmp_path):
    spec, events = small(), []
    first = run(spec, tmp_path)
    again = run(spec, tmp_path, watch=events.append)
    assert (again.ran, again.status, events) == (False, "finished", [])
    assert run(spec, tmp_path, force=True, watch=events.append).ran and events
    assert again.path == first.path


def test_another_seed_is_another_folder_and_the_same_program(tmp_path):
    one, two = small(seed=0), small(seed=1)
    assert run(one, tmp_path).path != run(two, tmp_path).path
    assert program(signature(one)) is program(signature(two))


def test_a_run_is_the_same_to_the_last_digit_when_it_is_run_again(tmp_path):
    spec = small(seed=3)
    curves = [store.curve(run(spec, tmp_path / name).path) for name in "ab"]
    assert curves[0] == curves[1]


def test_a_fault_is_a_failed_run_with_its_traceback(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(module, "train", broken)
    outcome = run(small(), tmp_path)
    assert (outcome.status, outcome.error) == ("failed", "RuntimeError: out of luck")
    assert "out of luck" in (outcome.path / "traceback.txt").read_text()
    monkeypatch.undo()
    assert run(small(), tmp_path).status == "finished", "a failed run is run again"


def test_an_interrupt_leaves_the_run_unfinished_and_the_next_call_runs_it(tmp_path):
    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(small(), tmp_path, watch=stop)
    path = store.find(tmp_path, small().resolved())
    assert store.status(path) == "unfinished"
    assert run(small(), tmp_path).status == "finished"


def test_a_diverged_run_is_a_result(tmp_path):
    resolved = small(
        forget_gate=False, squash_output=False, squash_input=False, steps=40
    ).resolved()
    resolved["optimizer"] |= {"name": "sgd", "rate": 1e9, "clip_norm": None}
    resolved["task"]["length"] = 40
    outcome = run(build(resolved), tmp_path)
    result = store.load_run(outcome.path).result
    assert outcome.status == "diverged" and result is not None
    assert result["diverged_at"] == result["steps"] and result["metrics"] == {}


def test_listeners_hear_of_start_and_end(tmp_path):
    heard = []

    class Ear:
        def started(self, path):
            heard.append(("started", path))

        def finished(self, path):
            heard.append(("finished", path))

    path = run(small(), tmp_path, listeners=[Ear()]).path
    assert heard == [("started", path), ("finished", path)]


def test_a_spec_with_one_field_changed_is_another_program():
    spec = small()
    other = dataclasses.replace(spec, network=dataclasses.replace(spec.network, hidden=4))
    assert program(signature(spec)) is not program(signature(other))


def test_a_pack_that_finds_no_memory_is_trained_again_at_half_the_width(tmp_path, monkeypatch):
    widths, train = [], module.train

    def greedy(pack, runs):
        widths.append(pack.width)
        if pack.width > 1:
            next(iter(runs))
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")
        train(pack, runs)

    monkeypatch.setattr(module, "train", greedy)
    specs, ends = [small(seed=seed) for seed in range(3)], {}
    hooks = module.Hooks(end=lambda which, end: ends.__setitem__(which, end.status))
    shelf = module.Shelf(specs, tmp_path, False, (), hooks)
    shelf.fill(lambda: module.Pack(program(signature(specs[0])), 4, jax.devices()[:1]))
    assert widths == [4, 2, 1] and ends == dict.fromkeys(range(3), "finished")


def test_a_fault_of_a_pack_is_what_became_of_each_of_its_runs(tmp_path, monkeypatch):
    def broken(pack, runs):
        next(iter(runs))
        raise RuntimeError("out of luck")

    monkeypatch.setattr(module, "train", broken)
    specs, ends = [small(seed=seed) for seed in range(3)], {}
    hooks = module.Hooks(end=lambda which, end: ends.__setitem__(which, end))
    module.Shelf(specs, tmp_path, False, (), hooks).fill(
        lambda: module.Pack(program(signature(specs[0])), 2)
    )
    assert [ends[k].status for k in range(3)] == ["failed"] * 3
    assert all("out of luck" in (end.path / "traceback.txt").read_text() for end in ends.values())
