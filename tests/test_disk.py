"""The store on a bad day: kills, full disks, damaged files, and two processes at once."""

import json
import os
import signal
from pathlib import Path
from unittest.mock import ANY

import pytest
from stored import OTHERS, RESULT, SPEC, child, finished, line

from lstm_research import store
from lstm_research.store import RunBusy, StoreError


@pytest.fixture(autouse=True)
def no_device(monkeypatch):
    """Most tests are not about the environment; asking JAX for its device takes a second."""
    monkeypatch.setattr(store, "environment", lambda: {"commit": "c0ffee", "versions": {}})


def test_a_kill_while_logging_leaves_an_unfinished_run_that_is_wiped_and_redone(tmp_path):
    process = child(
        """
        run = store.open_run(root, SPEC)
        for step in range(10**9):
            run.log({"step": step, "split": "train", "loss": 0.5})
            print(step, flush=True)
        """,
        tmp_path,
    )
    seen = [int(line(process)) for _ in range(20)]
    process.kill()
    process.communicate()
    folder = store.find(tmp_path, SPEC)
    assert [row["step"] for row in store.curve(folder)][
        :20
    ] == seen  # no line that was logged is lost
    assert store.status(folder) == "unfinished" and not store.done(tmp_path, SPEC)
    assert store.load_runs(tmp_path)[0].result is None
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "weights").write_text("half")
    with store.open_run(tmp_path, SPEC) as run:  # the dead holder's lock is gone with it
        assert {path.name for path in folder.iterdir()} == set(OTHERS)
        run.log({"step": 0})
        run.finish(RESULT)
    assert store.status(folder) == "finished" and len(store.curve(folder)) == 1


def test_a_kill_between_writing_and_naming_the_result_leaves_the_run_unfinished(tmp_path):
    process = child(
        """
        run = store.open_run(root, SPEC)
        os.replace = lambda draft, path: os.kill(os.getpid(), signal.SIGKILL)
        run.finish(RESULT)
        """,
        tmp_path,
    )
    process.communicate()
    folder = store.find(tmp_path, SPEC)
    assert process.returncode == -signal.SIGKILL
    assert len(list(folder.glob(".result.json.*"))) == 1  # the draft is whole, and yet not trusted
    assert store.status(folder) == "unfinished"
    assert store.status(finished(tmp_path)) == "finished" and not list(folder.glob(".*"))


def test_a_second_process_on_the_folder_is_told_who_holds_it(tmp_path):
    process = child(
        "run = store.open_run(root, SPEC); print(os.getpid(), flush=True); sys.stdin.read()",
        tmp_path,
    )
    holder = line(process)
    with pytest.raises(RunBusy, match=rf"gates/[0-9a-f]{{12}}: process {holder} is writing"):
        store.open_run(tmp_path, SPEC, force=True)
    assert isinstance(RunBusy(), OSError)
    process.communicate("")  # ends without finishing; the kernel lets go of the lock
    store.open_run(tmp_path, SPEC).close()


def test_one_process_cannot_open_a_folder_twice(tmp_path):
    with (
        store.open_run(tmp_path, SPEC),
        pytest.raises(RunBusy, match=f"process {os.getpid()} is writing"),
    ):
        store.open_run(tmp_path, SPEC)


def test_a_full_disk_is_one_error_and_leaves_no_half_result(tmp_path):
    process = child(
        """
        import resource
        run = store.open_run(root, SPEC)
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
        try:
            run.finish(RESULT | {"error": "x" * 4096})
        except store.StoreError as error:
            print(error)
        """,
        tmp_path,
    )
    said, _ = process.communicate()
    assert "cannot write (File too large)" in said and "runs=<folder>" in said
    folder = store.find(tmp_path, SPEC)
    assert store.status(folder) == "unfinished" and not list(folder.glob(".result*"))


def test_a_last_line_cut_short_is_left_out_of_the_curve(tmp_path):
    with store.open_run(tmp_path, SPEC) as run:
        run.log({"step": 1})
        run.log({"step": 2})
        metrics = run.path / "metrics.jsonl"
        whole = metrics.read_bytes()
        for cut in range(len(whole) + 1):
            metrics.write_bytes(whole[:cut])
            assert [row["step"] for row in store.curve(run.path)] == [1, 2][
                : whole[:cut].count(b"\n")
            ]


def test_a_damaged_line_inside_the_curve_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl:2: not a JSON line"):
        store.curve(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", '{"status": "finished"}', "\x00" * 20, '"finished"', "NaN"],
)
def test_a_result_that_is_no_result_is_not_trusted(tmp_path, text):
    path = finished(tmp_path)
    (path / "result.json").write_text(text)
    assert store.status(path) == "unfinished" and store.load_run(path).result is None
    assert store.status(finished(tmp_path)) == "finished"


def test_a_result_with_an_unknown_status_or_without_metrics_is_not_trusted(tmp_path):
    path = finished(tmp_path)
    for change in ({"status": "won"}, {"status": None}, {"status": []}, {"metrics": 3}):
        (path / "result.json").write_text(json.dumps(RESULT | change))
        assert store.status(path) == "unfinished"


def test_bytes_that_are_no_text_are_not_trusted(tmp_path):
    path = finished(tmp_path)
    (path / "result.json").write_bytes(b"\xff\xfe\x00")
    assert store.status(path) == "unfinished"


def test_a_run_without_its_spec_is_not_trusted(tmp_path):
    path = finished(tmp_path)
    (path / "spec.yaml").write_text("{ : [")
    assert store.load_runs(tmp_path) == [(path, "gates", {}, ANY, None, "unfinished")]


def test_a_file_where_the_folder_should_be_is_one_clear_error(tmp_path):
    folder = store.find(tmp_path, SPEC)
    folder.parent.mkdir()
    folder.write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot write \(File exists") as error:
        store.open_run(tmp_path, SPEC)
    assert isinstance(error.value, OSError)
    assert str(folder) in str(error.value) and "runs=<folder>" in str(error.value)
    assert store.status(folder) == "absent"


def test_a_file_where_the_store_should_be_is_one_clear_error(tmp_path):
    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot write \(Not a directory"):
        store.open_run(tmp_path / "runs", SPEC)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system nobody can write")
def test_a_read_only_file_system_is_one_clear_error():
    with pytest.raises(StoreError, match=r"/proc/runs/gates.*choose another folder"):
        store.open_run("/proc/runs", SPEC)
