"""The record of what an LSTM solves: settings are tasks that exist, and a row that is lost is named."""

import sys

import pytest
import solve
from ledger import lines, told

from lstm_research import catalogue

TINY = "task.length=4 task.held_out=16 network.hidden=4 budget.steps=2 budget.evaluate_every=1"


def line(row="adding", status="solved", success=("mse",), reached=0.5, goal="min", seed=0):
    metrics = {"test": {"mse": reached}}
    result = {"status": status, "success": success, "metric": "mse", "goal": goal, "steps": 100}
    result |= {"chance": {"mse": 1.0}, "metrics": metrics, "solved_at": 100, "parameters": 7}
    result |= {"train_s": 1.0 + seed, "compile_s": 0.0}
    around = {"commit": "c" * 40, "dirty": False, "versions": {"jax": "1"}, "cores": 2}
    spec = {"seed": seed, "budget": {"batch": 32}}
    told = {
        "row": row,
        "setting": "network.hidden=8",
        "processor": "P",
        "load": 2.0,
        "environment": around,
    }
    return told | {"spec": spec, "result": result}


def test_a_run_is_won_by_its_criterion_and_without_one_by_beating_chance():
    assert solve.won(line()) and not solve.won(line(status="finished"))
    assert solve.won(line(status="finished", success=None))
    assert not solve.won(line(status="finished", success=None, reached=1.0))
    assert not solve.won(line(status="finished", success=None, goal="max"))
    assert not solve.won(line(status="diverged", success=None))


def test_a_row_is_lost_where_most_seeds_solved_it_and_most_do_no_longer():
    good, bad = line(), line(status="finished")
    two_of_three, one_of_three = [good, good, bad], [good, bad, bad]
    assert solve.lost(two_of_three, two_of_three, ["adding"]) == []
    (said,) = solve.lost(two_of_three, one_of_three, ["adding"])
    assert said == "no longer solved: adding: 1 of 3 seeds, 2 of 3 seeds in solve.jsonl"
    assert solve.lost(one_of_three, [], ["adding"]) == []
    assert solve.lost(two_of_three, [], ["adding"]) and not solve.lost(two_of_three, [], ["reber"])


def test_the_table_counts_the_seeds_and_takes_medians_of_those_that_solved():
    text = solve.row("adding", [line(seed=0), line(seed=2), line(status="finished", reached=0.9)])
    assert "| 2 of 3 | 100 | 3,200 | 2 (1-3) | mse 0.5 (0.5-0.9) | 1 |" in text


def test_middles_are_written_with_their_range():
    assert told.spread([500, 900, 700]) == "700 (500-900)"
    assert told.spread([3.0, 3.0]) == "3" and told.spread([]) == ""
    assert told.short(123456) == "123,000" and told.short(0.012345) == "0.0123"


def test_every_task_has_a_row_or_a_reason_and_every_fast_row_is_a_row():
    named = {solve.setting(row)["task"] for row in solve.SETTINGS}
    assert named | set(solve.LEFT_OUT) == set(catalogue.names("task"))
    assert not named & set(solve.LEFT_OUT)
    assert set(solve.SUBSET) <= set(solve.SETTINGS)


def test_every_row_that_is_not_solved_says_what_was_tried():
    unsolved = {row for row, group in solve.rows(lines.read(solve.LINES)).items()
                if not solve.solved(group)}  # fmt: skip
    assert unsolved <= set(solve.NOTES) <= set(solve.SETTINGS)


def test_a_note_stands_below_the_table(tmp_path, monkeypatch):
    lines.write(tmp_path / "solve.jsonl", [line()])
    monkeypatch.setattr(solve, "NOTES", {"adding": "tried twice", "reber": "not in the file"})
    assert solve.rendered(tmp_path / "solve.jsonl").endswith(" |\n\n- adding: tried twice\n")
    monkeypatch.setattr(solve, "NOTES", {})
    assert solve.rendered(tmp_path / "solve.jsonl").endswith(" |\n")


@pytest.mark.slow
def test_every_row_composes_and_builds_its_spec():
    for row in solve.SETTINGS:
        assert len({lines.key(spec) for spec in lines.specs(solve.setting(row), "solve", 2)}) == 2


def test_runs_are_kept_not_run_twice_and_checked(tmp_path, monkeypatch, inline, capsys):
    monkeypatch.setattr(solve, "SETTINGS", {"adding": TINY})
    monkeypatch.setattr(solve, "SUBSET", ("adding",))
    monkeypatch.setattr(solve, "LINES", tmp_path / "solve.jsonl")
    command = ["solve.py", "--seeds", "1", "--runs", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", command)
    assert solve.main() == 0
    (kept,) = lines.read(solve.LINES)
    assert (kept["row"], kept["result"]["status"]) == ("adding", "finished")
    assert solve.rendered(solve.LINES) == (tmp_path / "solve.md").read_text()

    monkeypatch.setattr(solve, "launch", lambda *given: pytest.fail("a run twice"))
    monkeypatch.setattr(sys, "argv", [*command[:-1], str(tmp_path / "elsewhere")])
    assert solve.main() == 0
    assert lines.read(solve.LINES) == [kept]

    monkeypatch.undo()
    monkeypatch.setattr(solve, "SETTINGS", {"adding": TINY})
    monkeypatch.setattr(solve, "LINES", tmp_path / "solve.jsonl")
    monkeypatch.setattr(sys, "argv", ["solve.py", "--check", "--seeds", "1"])
    assert solve.main() == 1
    assert "no solved row of those asked for" in capsys.readouterr().err
    kept["result"]["status"] = "solved"
    lines.write(solve.LINES, [kept])
    assert solve.main() == 1
    assert "no longer solved: adding: 0 of 1 seeds" in capsys.readouterr().err
