"""`lstm-research sync` as a user meets it: what was sent, what is there, what is wrong, in a line."""

import sys
import types

import mirrored
import pytest
from mirrored import FAKE, RESULT, pictured
from small import small

from lstm_research import cli, store, trackers
from lstm_research.trackers.sent import Place


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    mirrored.at_home(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """The fake W&B, in this process."""
    said = mirrored.faked(monkeypatch, tmp_path)
    module = types.ModuleType("wandb")
    exec(FAKE, module.__dict__)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return said


def finished(seed: int) -> None:
    with store.open_run("runs", small(seed=seed).resolved()) as run:
        run.log({"step": 1, "split": "train", "loss": 1.0})
        run.finish(RESULT)


def lines(capsys) -> tuple[list[str], list[str]]:
    said = capsys.readouterr()
    return said.out.splitlines(), said.err.splitlines()


def test_runs_are_sent_once_with_their_pictures_and_the_table_of_their_study(fake, capsys):
    for seed in range(2):
        finished(seed)
    pictured(store.load_runs("runs")[0].path)
    store.open_run("runs", small(seed=9).resolved()).close()
    assert cli.main(["sync"]) == 0
    assert lines(capsys)[0][0] == "3 runs: 2 sent, 1 unfinished, left out"
    *runs, table = fake("init")
    assert sorted(run["name"] for run in runs) == ["lstm-s0", "lstm-s1"]
    assert len({run["id"] for run in [*runs, table]}) == 3
    assert (table["job_type"], table["group"]) == ("table", "small")
    logged = fake("log")
    assert [row for row in logged if "inspect/gates" in row]
    (shown,) = [row["table"] for row in logged if "table" in row]
    assert "Table" not in str(shown) and len(shown["data"]) == 1
    row = dict(zip(shown["columns"], shown["data"][0], strict=True))
    assert (row["variant"], row["n"], row["mean"]) == ("lstm", 2, 0.25)

    assert cli.main(["sync"]) == 0
    assert lines(capsys)[0][0].startswith("3 runs: 2 there already")
    assert len(fake("init")) == 3
    run = next(record.path for record in store.load_runs("runs") if record.result)
    assert (
        cli.main(["sync", str(run)]) == 0 and len(fake("init")) == 3
    )  # its table has all the runs
    assert cli.main(["sync", "--again"]) == 0
    again = fake("init")[3:]
    assert [run["id"] for run in again] == [run["id"] for run in [*runs, table]]


def test_a_table_is_sent_when_it_is_news_though_its_runs_are_there(fake, capsys):
    finished(0)
    assert cli.main(["sync"]) == 0
    (memory,) = store.find("runs", small().resolved()).parent.glob("sent-wandb.json")
    memory.unlink()  # as after runs that were followed while they went on
    assert cli.main(["sync"]) == 0
    assert [run["job_type"] for run in fake("init")] == ["train", "table", "table"]


def test_a_dashboard_that_is_down_is_not_asked_for_every_run(fake, monkeypatch, capsys):
    for seed in range(5):
        finished(seed)
    monkeypatch.setenv("FAKE_INIT", "raise RuntimeError('no route to host')")
    assert cli.main(["sync"]) == 1
    out, err = lines(capsys)
    assert out == ["5 runs: 5 not sent; the same line goes on from here"]
    assert len(err) == len(fake("init")) == 2 and "RuntimeError: no route to host" in err[0]
    monkeypatch.delenv("FAKE_INIT")
    assert cli.main(["sync"]) == 0 and len(fake("finish")) == 5 + 1


def test_a_table_that_cannot_be_made_is_told(monkeypatch, capsys):
    finished(0)

    class Board:
        place = Place("wandb", "here")
        mode = "online"

        def open(self, run):
            return self

        def log(self, row): ...

        def finish(self, run): ...

        def table(self, study, columns, rows):
            raise ValueError("too wide")

    monkeypatch.setattr(trackers, "dashboard", lambda *_: Board())
    assert cli.main(["sync"]) == 1
    out, err = lines(capsys)
    assert out == ["1 runs: 1 sent"] and err[0].endswith("small: ValueError: too wide")


def test_a_package_that_is_absent_is_named_with_its_extra(monkeypatch, capsys):
    finished(0)
    for name in ("trackio", "tensorboard", "tensorboard.summary.writer.record_writer"):
        monkeypatch.setitem(sys.modules, name, None)
    for target in ("trackio", "tensorboard"):
        assert cli.main(["sync", "--to", target]) == 1
        assert f"pip install 'lstm-research[{target}]'" in lines(capsys)[1][0]


def test_a_store_with_nothing_to_send_and_a_store_that_is_not_there(capsys):
    assert cli.main(["sync"]) == 1
    assert "no such folder" in lines(capsys)[1][0]
    finished(0)
    assert cli.main(["sync", "--study", "other"]) == 1
    assert "no run that has ended" in lines(capsys)[1][0]


def test_a_workspace_needs_a_login_and_says_so(fake, capsys):
    finished(0)
    assert cli.main(["sync", "--workspace"]) == 1
    assert "needs --to wandb and a login" in lines(capsys)[1][0]


def test_an_unknown_dashboard_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"to: 'tensorbord'.*'tensorboard'"):
        trackers.dashboard("tensorbord", "runs", "project")
