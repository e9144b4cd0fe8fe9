"""What a sweep was asked for, and what is missing of it."""

import pytest
from small import small
from stored import RESULT

from lstm_research import store
from lstm_research.disk import StoreError
from lstm_research.ledger import FILE, missing, note, sweeps


def test_a_sweep_that_was_not_begun_has_its_line_and_all_its_runs_missing(tmp_path):
    note(
        tmp_path / "runs",
        ["run", "-m", "seed=range(3)", "cell=a b"],
        [small(seed=s) for s in range(3)],
    )
    (found,) = sweeps(tmp_path / "runs")
    assert found.line == "lstm-research run -m 'seed=range(3)' 'cell=a b'"
    assert missing(tmp_path / "runs", found) == {"not begun": 3}


def test_what_has_ended_is_not_missing_and_what_failed_is(tmp_path):
    specs = [small(seed=s) for s in range(4)]
    note(tmp_path, ["run"], specs)
    for status, spec in zip(("solved", "diverged", "failed"), specs, strict=False):
        with store.open_run(tmp_path, spec.resolved()) as run:
            run.finish(RESULT | {"status": status})
    store.open_run(tmp_path, specs[3].resolved()).close()
    (found,) = sweeps(tmp_path)
    assert missing(tmp_path, found) == {"failed": 1, "unfinished": 1}


def test_the_same_line_twice_is_one_sweep_and_a_damaged_line_none(tmp_path):
    assert sweeps(tmp_path) == []
    note(tmp_path, ["a"], [small()])
    note(tmp_path, ["b"], [small(seed=1)])
    note(tmp_path, ["a"], [small(seed=2)])
    with (tmp_path / FILE).open("a") as file:
        file.write('{"line": "cut\n[1]\n{}\n')
    assert [each.line for each in sweeps(tmp_path)] == ["lstm-research b", "lstm-research a"]


def test_the_ledger_is_no_run(tmp_path):
    note(tmp_path, ["run"], [small()])
    assert store.load_runs(tmp_path) == []


def test_a_store_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StoreError, match="cannot write"):
        note(tmp_path / "runs", ["run"], [small()])
