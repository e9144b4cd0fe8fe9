"""The replay tells a dashboard what the store holds, once, and goes on after a fault."""

import json
from pathlib import Path

import mirrored
import pytest
from mirrored import RESULT, SPEC, eventually, pictured, trained

from lstm_research import store
from lstm_research.trackers import mirror, wandb
from lstm_research.trackers.mirror import Mirrors, replay
from lstm_research.trackers.sent import Claim, Place


class Board:
    """A dashboard that keeps what it is told; `broken` names a run that it cannot take."""

    def __init__(self, broken: str = "") -> None:
        self.place, self.broken = Place("board", "here"), broken
        self.told, self.rows, self.ends = [], [], []

    def open(self, run):
        if self.broken and run.name.endswith(self.broken):
            raise RuntimeError("no room")
        self.told.append(run)
        return self

    def log(self, row):
        self.rows.append(row)

    def finish(self, run):
        self.ends.append(run)


@pytest.fixture(autouse=True)
def offline_home(monkeypatch, tmp_path):
    mirrored.at_home(monkeypatch, tmp_path)


def verdicts(root: Path, board: Board, **how) -> list[str]:
    return [each.verdict for each in replay(store.load_runs(root), board, **how)]


def test_a_run_is_sent_once_and_again_when_there_is_news_of_it(tmp_path):
    board, path = Board(), trained(tmp_path, SPEC)
    assert verdicts(tmp_path, board) == ["sent"] and verdicts(tmp_path, board) == ["there"]
    assert [row.get("train/loss") for row in board.rows] == [1.0, 0.5, 1 / 3, None]
    assert verdicts(tmp_path, board, again=True) == ["sent"]
    pictured(path)
    assert verdicts(tmp_path, board) == ["sent"] and verdicts(tmp_path, board) == ["there"]
    assert [file.name for file in board.ends[-1].pictures] == ["gates.png"]
    assert len({run.id for run in board.told}) == 1  # what a dashboard takes for the same run


def test_a_run_that_has_no_result_is_never_taken_for_sent(tmp_path):
    store.open_run(tmp_path, SPEC).close()
    board = Board()
    assert verdicts(tmp_path, board) == verdicts(tmp_path, board) == ["sent"]
    assert all(run.failed for run in board.ends)


def test_a_fault_costs_the_others_nothing_and_is_made_up_for(tmp_path):
    for seed in range(3):
        trained(tmp_path, SPEC | {"seed": seed})
    board = Board(broken="s1")
    assert sorted(verdicts(tmp_path, board)) == ["fault", "sent", "sent"]
    assert sorted(verdicts(tmp_path, Board())) == ["sent", "there", "there"]


@pytest.mark.parametrize("when", ["while it is followed", "at its end"])
def test_a_damaged_curve_is_a_fault_and_leaves_the_run_free_to_be_sent(tmp_path, when):
    board = Board()
    run = store.open_run(tmp_path, SPEC)
    with open("/dev/null", "wb") as alive:
        mirrors = Mirrors(board, alive.fileno())
        mirrors.take("started", run.path)
        run.log({"step": 1, "split": "train", "loss": 1.0})
        (run.path / "metrics.jsonl").write_text("no json\n")
        mirrors.take("tick" if when == "while it is followed" else "finished", run.path)
    assert mirrors.faults == 1 and not mirrors.open
    run.close()
    trained(tmp_path, SPEC)
    assert verdicts(tmp_path, board) == ["sent"]


def test_a_run_that_another_process_sends_is_left_to_it(tmp_path):
    board, path = Board(), trained(tmp_path, SPEC)
    claim = Claim(path, board.place)
    assert verdicts(tmp_path, board) == ["busy"] and not board.told
    claim.release()
    assert verdicts(tmp_path, board) == ["sent"]


def test_no_more_pages_are_open_than_the_bound_and_none_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(mirror, "OPEN", 2)
    board, mirrors = Board(), None
    paths = [trained(tmp_path, SPEC | {"seed": seed}) for seed in range(6)]
    with open("/dev/null", "wb") as alive:
        mirrors = Mirrors(board, alive.fileno())
        for path in paths:
            mirrors.take("started", path)
        assert len(mirrors.open) == 2 and len(mirrors.waiting) == 4
        for path in paths[3:]:
            mirrors.take("finished", path)
            assert len(mirrors.open) <= 2
        mirrors.close()
    assert [run.name for run in board.ends] == [f"gated-s{seed}" for seed in (3, 4, 5, 0, 1, 2)]
    assert len(board.rows) == 6 * 4 and mirrors.faults == 0


def test_a_run_that_starts_anew_gets_a_new_page_with_its_new_curve_only(tmp_path):
    board = Board()
    with open("/dev/null", "wb") as alive, store.open_run(tmp_path, SPEC) as run:
        mirrors = Mirrors(board, alive.fileno())
        for step in range(50):
            run.log({"step": step, "split": "train", "loss": 9.0})
        mirrors.take("started", run.path)
        mirrors.take("tick", Path())
        run.close()
        told = len(board.rows)
        mirrors.take("started", trained(tmp_path, SPEC))
        mirrors.take("finished", run.path)
    assert told == 50 and len(board.rows) == 54 and mirrors.faults == 0
    assert [run.failed for run in board.ends][-1] is False and len(board.ends) == 2


def test_what_a_dead_tracker_missed_is_replayed_into_wandb_without_doubles(
    tmp_path, monkeypatch, capsys
):
    said = mirrored.faked(monkeypatch, tmp_path)
    monkeypatch.setenv("FAKE_INIT", "import signal; os.kill(os.getpid(), signal.SIGKILL)")
    child = wandb.tracker(tmp_path, "project", "online")
    paths = [trained(tmp_path, SPEC | {"seed": seed}, child) for seed in range(2)]
    child.close()
    assert "W&B ended with exit code -9" in capsys.readouterr().err and not said("finish")
    monkeypatch.delenv("FAKE_INIT")
    later = wandb.tracker(tmp_path, "project", "online")
    for path in paths:
        later.started(path)
        later.finished(path)
    later.close()
    first, *sent = said("init")
    assert len(sent) == 2 and first["id"] == sent[0]["id"] and said("finish") == [0, 0]
    here = Place("wandb", "online https://api.wandb.ai//project")
    assert all(json.loads((p / "sent-wandb.json").read_text())["to"] == here.where for p in paths)
    assert all(eventually(lambda p=p: store.load_run(p).result == RESULT) for p in paths)
