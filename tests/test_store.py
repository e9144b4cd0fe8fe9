"""The store: names, what a run leaves behind, and how it is read back."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from stored import OTHERS, RESULT, SPEC, finished

from lstm_research import store
from lstm_research.store import RunDone, StoreError


@pytest.fixture(autouse=True)
def no_device(monkeypatch):
    """Most tests are not about the environment; asking JAX for its device takes a second."""
    monkeypatch.setattr(store, "environment", lambda: {"commit": "c0ffee", "versions": {}})


def result_of(path: Path) -> dict:
    result = store.load_run(path).result
    assert result is not None
    return result


def test_the_hash_forgets_the_order_of_keys():
    turned = {key: SPEC[key] for key in reversed(SPEC)}
    turned["cell"] = dict(reversed(SPEC["cell"].items()))
    assert store.spec_hash(turned) == store.spec_hash(SPEC)


def test_the_hash_does_not_tell_one_from_one_point_zero():
    same = SPEC | {"cell": SPEC["cell"] | {"forget_bias": 1}, "seed": 0.0}
    assert store.spec_hash(same) == store.spec_hash(SPEC)


def test_the_hash_tells_one_from_true():
    other = SPEC | {"cell": SPEC["cell"] | {"forget_bias": True}}
    assert store.spec_hash(other) != store.spec_hash(SPEC)


def test_the_hash_leaves_the_study_out():
    assert store.spec_hash(SPEC | {"study": "other"}) == store.spec_hash(SPEC)
    assert store.find("runs", SPEC).parts[:2] == ("runs", "gates")


def test_every_other_key_moves_the_hash():
    changes = [{"seed": 1}, {"task": {"kind": "adding", "length": 101}}, {"extra": None}]
    hashes = {store.spec_hash(SPEC | change) for change in changes}
    assert len(hashes | {store.spec_hash(SPEC)}) == 4


def test_the_hash_is_the_same_in_every_version_of_this_package():
    """A change here orphans every run that anyone has; if it must be, say so in the CHANGELOG."""
    assert store.spec_hash({"seed": 1, "rate": 0.001, "cell": [1.0, None, True]}) == "ab3e6dd14861"


def test_the_hash_unwraps_numpy_and_tuples():
    numpy = SPEC | {"seed": np.int64(0), "lags": np.arange(2), "rate": np.float64(0.5)}
    assert store.spec_hash(numpy) == store.spec_hash(SPEC | {"lags": (0, 1), "rate": 0.5})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_spec_with_a_number_that_is_none_is_refused_by_path(value):
    with pytest.raises(ValueError, match=r"spec\.optimizer\.clip_norm.*null"):
        store.spec_hash({"optimizer": {"clip_norm": value}})


def test_a_spec_with_an_object_is_refused_by_path():
    with pytest.raises(TypeError, match=r"spec\.task\.folder: PosixPath"):
        store.spec_hash({"task": {"folder": Path("data")}})
    with pytest.raises(TypeError, match=r"spec\.task: key 3 must be a str"):
        store.spec_hash({"task": {3: "three"}})


@pytest.mark.parametrize("study", ["../out", "a/b", "", ".", None, 3, "-x", "two words"])
def test_a_study_that_is_no_folder_name_is_refused(study):
    with pytest.raises(ValueError, match=r"spec\.study: .* allowed are letters"):
        store.find("runs", SPEC | {"study": study})


def test_a_run_leaves_its_spec_its_environment_its_curve_and_its_result(tmp_path):
    with store.open_run(tmp_path, SPEC) as run:
        assert store.status(run.path) == "unfinished"
        run.log({"step": 100, "split": "train", "loss": np.float32(0.5)})
        run.log({"step": 100, "split": "valid", "mse": math.nan, "loss": -math.inf})
        run.finish(RESULT)
    (record,) = store.load_runs(tmp_path)
    assert record == (run.path, "gates", SPEC, record.environment, RESULT, "finished")
    assert record.environment["commit"] == "c0ffee"
    first, second = store.curve(run.path)
    assert first == {"step": 100, "split": "train", "loss": 0.5}
    assert math.isnan(second["mse"]) and second["loss"] == -math.inf
    assert {path.name for path in run.path.iterdir()} == {*OTHERS, "metrics.jsonl", "result.json"}


def test_every_file_is_strict_json_or_yaml_with_the_spec_that_names_the_folder(tmp_path):
    path = finished(tmp_path, metrics={"test": {"mse": math.nan}})

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    result = json.loads((path / "result.json").read_text(), parse_constant=refuse)
    assert result["metrics"]["test"]["mse"] == "nan"
    assert math.isnan(result_of(path)["metrics"]["test"]["mse"])
    spec = yaml.safe_load((path / "spec.yaml").read_text())
    assert store.spec_hash(spec) == path.name and list(spec) == list(SPEC)


def test_a_status_is_absent_unfinished_or_the_way_it_ended(tmp_path):
    assert store.status(store.find(tmp_path, SPEC)) == "absent"
    for ending in store.ENDED:
        path = finished(tmp_path, SPEC | {"seed": ending}, status=ending)
        assert store.status(path) == ending
        assert store.done(tmp_path, SPEC | {"seed": ending}) == (ending != "failed")


def test_a_run_that_has_ended_is_not_run_again_unless_forced(tmp_path):
    path = finished(tmp_path)
    before = (path / "result.json").read_bytes()
    with pytest.raises(RunDone, match=r"ended as 'finished'; force=true") as error:
        store.open_run(tmp_path, SPEC)
    assert isinstance(error.value, OSError) and str(path) in str(error.value)
    assert (path / "result.json").read_bytes() == before
    with store.open_run(tmp_path, SPEC, force=True):
        assert store.status(path) == "unfinished"


def test_a_failed_run_is_run_again_from_nothing(tmp_path):
    with store.open_run(tmp_path, SPEC) as run:
        run.log({"step": 1})
        run.finish(store.failure(MemoryError("out of memory"), steps=1, metric="mse"))
    result = result_of(run.path)
    assert result["error"] == "MemoryError: out of memory" and result["metric"] == "mse"
    assert set(result) == set(store.RESULT_KEYS)
    with store.open_run(tmp_path, SPEC):
        assert store.curve(run.path) == [] and store.status(run.path) == "unfinished"


def test_a_result_that_lacks_a_key_is_refused_before_it_is_written(tmp_path):
    with store.open_run(tmp_path, SPEC) as run:
        with pytest.raises(ValueError, match="lacks goal"):
            run.finish({key: value for key, value in RESULT.items() if key != "goal"})
        with pytest.raises(ValueError, match=r"'won' is none of finished, solved"):
            run.finish(RESULT | {"status": "won"})
    assert store.status(run.path) == "unfinished"


def test_a_failed_run_may_leave_out_what_it_does_not_know(tmp_path):
    with store.open_run(tmp_path, SPEC) as run:
        run.finish({"status": "failed", "error": "KeyError: 'x'", "steps": 7})
    result = result_of(run.path)
    assert (result["error"], result["steps"], result["metrics"]) == ("KeyError: 'x'", 7, {})


def test_a_closed_folder_takes_no_more(tmp_path):
    with store.open_run(tmp_path, SPEC) as run:
        run.finish(RESULT)
    with pytest.raises(StoreError, match="log after the folder was closed"):
        run.log({"step": 1})
    run.close()


def test_listeners_hear_of_start_and_end_when_the_files_are_there(tmp_path):
    class Listener:
        heard = ()

        def started(self, path):
            self.heard += ("started", (path / "spec.yaml").exists())

        def finished(self, path):
            self.heard += ("finished", store.status(path))

    listener = Listener()
    with store.open_run(tmp_path, SPEC, listeners=[listener]) as run:
        run.finish(RESULT)
    assert listener.heard == ("started", True, "finished", "finished")


def test_a_listener_that_raises_does_not_end_the_run(tmp_path):
    class Broken:
        def started(self, path):
            raise RuntimeError("no network")

        def finished(self, path):
            raise RuntimeError("no network")

    with pytest.warns(RuntimeWarning, match="no network.*the run goes on") as caught:
        run = store.open_run(tmp_path, SPEC, listeners=[Broken()])
        run.finish(RESULT)
    assert len(caught) == 2 and store.status(run.path) == "finished"


def test_the_store_a_study_and_a_run_can_all_be_loaded(tmp_path):
    paths = [finished(tmp_path, SPEC | {"seed": seed}) for seed in range(3)]
    other = finished(tmp_path, SPEC | {"study": "lag"})
    assert [record.path for record in store.load_runs(tmp_path)] == sorted([*paths, other])
    assert [record.path for record in store.load_runs(tmp_path / "gates")] == sorted(paths)
    (alone,) = store.load_runs(paths[0])
    assert alone.study == "gates" and alone.path == paths[0]


def test_folders_that_are_no_runs_are_passed_over(tmp_path):
    (tmp_path / "wandb" / "offline-run").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("mine")
    assert store.load_runs(tmp_path) == []


def test_loading_from_nowhere_says_so(tmp_path):
    with pytest.raises(StoreError, match=r"/nowhere: no such folder.*runs=<folder>"):
        store.load_runs(tmp_path / "nowhere")


def test_rows_are_flat_with_dotted_names(tmp_path):
    finished(tmp_path)
    store.open_run(tmp_path, SPEC | {"seed": 1}).close()
    rows = {row["seed"]: row for row in store.rows(tmp_path)}
    assert rows[0]["cell.forget_bias"] == 1.0 and rows[0]["metrics.test.mse"] == 0.2
    assert rows[0]["environment.commit"] == "c0ffee" and rows[0]["status"] == "finished"
    assert rows[1]["status"] == "unfinished" and "metrics.test.mse" not in rows[1]


def test_without_pandas_a_frame_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'lstm-research\[frames\]'"):
        store.frame(tmp_path)


def test_a_frame_has_one_row_a_run(tmp_path):
    pandas = pytest.importorskip("pandas")
    for seed in range(3):
        finished(tmp_path, SPEC | {"seed": seed})
    table = store.frame(tmp_path)
    assert isinstance(table, pandas.DataFrame) and sorted(table["seed"]) == [0, 1, 2]
    assert table.groupby("cell.kind")["metrics.test.mse"].mean()["gated"] == pytest.approx(0.2)
