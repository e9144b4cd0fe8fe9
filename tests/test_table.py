"""The tables: what rows and columns are made of, what they cost, and where they come from."""

from pathlib import Path

import pytest
from records import AROUND, TASKS, at, made, only, record, seeds

from lstm_research.render import FORMATS
from lstm_research.store import Record
from lstm_research.terminal import terminal


def test_cells_are_rows_and_tasks_are_columns():
    found = made(*(seeds([0.1, 0.2], cell=c, task=t) for c in ("gru", "lstm") for t in TASKS))
    assert [row.label for row in found.rows] == ["lstm", "gru"]  # in the catalogue's order
    assert [column.label for column in found.columns] == ["adding", "copying", "parity"]
    assert (found.columns[1].metric, found.columns[1].goal) == ("accuracy", "max")
    assert found.columns[0].chance == pytest.approx(1 / 6)


def test_a_setting_that_differs_between_runs_of_a_task_is_in_the_rows_name():
    found = made(seeds([0.1]), seeds([0.2], network={"hidden": 128}))
    assert [row.label for row in found.rows] == ["lstm, hidden=64", "lstm, hidden=128"]
    found = made(
        seeds([0.1], network={"rate": 0.1}, optimizer={"rate": 0.1}),
        seeds([0.1], network={"rate": 0.2}, optimizer={"rate": 0.2}),
    )
    assert found.rows[0].label == "lstm, network.rate=0.1, optimizer.rate=0.1"


def test_a_budget_per_task_does_not_split_a_row():
    found = made(seeds([0.1]), seeds([0.2], task="copying", budget={"steps": 5000}))
    assert [row.label for row in found.rows] == ["lstm"]
    assert [at(found, 0, column).n for column in (0, 1)] == [1, 1]


def test_a_variant_without_runs_of_a_task_has_an_empty_cell():
    found = made(seeds([0.1]), seeds([0.2], task="copying"), seeds([0.1], cell="gru"))
    assert found.rows[1].entries[1] is None
    for write in FORMATS.values():
        assert "gru" in write(found)


def test_one_spec_in_two_studies_is_one_run():
    twice = [*seeds([0.1, 0.2]), *seeds([0.1, 0.2], study="again")]
    assert only(made(twice)).n == 2


def test_an_unfinished_twin_does_not_hide_the_run_that_ended():
    twins = [record(status=status, study=status) for status in ("unfinished", "failed", "solved")]
    entry = only(made(twins))
    assert (entry.n, entry.solved, entry.failed) == (1, 1, 0)


def test_labels_are_sorted_as_people_count():
    found = made(*(seeds([0.1], network={"hidden": hidden}) for hidden in (128, 16, 64)))
    assert [row.label[13:] for row in found.rows] == ["16", "64", "128"]


def test_runs_of_one_task_with_two_metrics_are_refused():
    with pytest.raises(ValueError, match="adding: runs of one task differ in their metric"):
        made(seeds([0.1]), seeds([0.1], cell="gru", metric="nll", goal="min"))


def test_unfinished_runs_are_left_out_and_said_to_be():
    nameless = Record(Path("runs/gates/0"), "gates", {}, {}, None, "unfinished")
    found = made(seeds([0.1]), [record(seed=1, status="unfinished"), nameless])
    assert only(found).n == 1 and found.notes[-1].startswith("1 run; 2 unfinished, left out.")


def test_no_runs_make_an_empty_table():
    found = made([])
    assert found.rows == () and "0 runs" in terminal(found)
    for write in FORMATS.values():
        assert write(found)


def test_costs_that_agree_over_the_tasks_are_columns():
    found = made(*(seeds([0.1], task=task) for task in TASKS))
    head = terminal(found).splitlines()
    assert any("parameters" in line and "ms/step" in line for line in head)
    assert "params" not in terminal(found) and terminal(found).count("17.3k") == 1


def test_costs_that_differ_stand_in_the_cells():
    found = made(seeds([0.1], step_ms=0.5), seeds([0.1], task="copying", parameters=640))
    text = terminal(found)
    assert "17.3k params · 0.5 ms" in text and "640 params · 1.2 ms" in text
    assert "ms/step" not in text


def test_the_time_of_a_step_is_the_median_over_seeds():
    times = [record(seed=seed, step_ms=ms) for seed, ms in enumerate((1.0, 2.0, 100.0))]
    assert only(made(times)).step_ms == 2.0


def test_the_notes_name_commit_versions_and_devices():
    changed = AROUND | {"dirty": True, "commit": "1234567890", "device": "NVIDIA H200"}
    last = made([record(), record(seed=1, environment=changed)]).notes[-1]
    assert (
        "2 runs. commit 1234567 (with changes), abcdef1; jax 0.10.1; device NVIDIA H200, cpu"
        in last
    )
    assert "do not compare" in last
    assert "commit unknown; jax unknown" in made([record(environment={})]).notes[-1]


def test_a_baseline_that_is_no_row_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"baseline: 'lstn'.*'lstm'"):
        made(seeds([0.1]), baseline="lstn")


def test_the_table_says_what_its_seeds_cannot_show():
    found = made(seeds([0.1] * 3), seeds([0.1] * 6, cell="gru"))
    (note,) = [note for note in found.notes if "cannot reach" in note]
    assert note.startswith("3 seeds cannot reach p < 0.25, 6 seeds cannot reach p < 0.0312 ")
