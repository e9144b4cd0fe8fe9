"""The command line as a newcomer and a fumbler use it."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small import WORDS

from lstm_research import cli, commands, local, store, sweep
from lstm_research.check import Finding
from lstm_research.run import Outcome
from lstm_research.tasks.data import DataError


def lines(capsys) -> tuple[list[str], list[str]]:
    said = capsys.readouterr()
    return said.out.splitlines(), said.err.splitlines()


@pytest.fixture
def folder(tmp_path, monkeypatch, inline):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_argument_lists_the_commands(capsys):
    assert cli.main([]) == 0
    out, _ = lines(capsys)
    assert all(any(line.strip().startswith(name) for line in out) for name in cli.COMMANDS)


def test_the_package_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "lstm_research", "tabel"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and "'table'" in done.stderr


def test_every_command_says_what_it_does_and_stands_in_the_list():
    files = {path.stem for path in Path(commands.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(cli.COMMANDS)
    assert all((cli.command(name).__doc__ or "").strip() for name in cli.COMMANDS)


def test_an_unknown_command_names_the_nearest(capsys):
    assert cli.main(["tabel"]) == 2
    assert "'table'" in lines(capsys)[1][0]


def test_one_run_then_its_table(folder, capsys):
    assert cli.main(["run", "cell=greff/v", *WORDS]) == 0
    assert "1 runs in runs: 1 finished" in lines(capsys)[0]
    (record,) = store.load_runs("runs")
    assert record.status == "finished" and record.study == "default"
    assert cli.main(["table"]) == 0
    out = "\n".join(lines(capsys)[0])
    assert "peephole" in out and "n=1" in out


def test_a_sweep_is_run_once_and_the_second_time_is_there(folder, capsys):
    line = ["run", "-m", "cell=lstm,elman", "seed=range(2)", "workers=1", "study=mine", *WORDS]
    assert cli.main(line) == 0
    assert "4 runs in runs: 4 finished" in lines(capsys)[0]
    assert cli.main(line) == 0
    assert "4 runs in runs: 4 finished (4 were there before)" in lines(capsys)[0]
    assert cli.main(["table", "--study", "mine", "--format", "json", "--baseline", "lstm"]) == 0
    table = json.loads("\n".join(lines(capsys)[0]))
    assert [row["label"] for row in table["rows"]] == ["lstm", "elman"]
    assert [row["entries"][0]["n"] for row in table["rows"]] == [2, 2]


def test_a_sweep_is_listed_shown_and_reported(folder, capsys):
    assert cli.main(["run", "-m", "cell=lstm,elman", "seed=range(2)", "workers=1", *WORDS]) == 0
    lines(capsys)
    assert cli.main(["runs", "--cell", "elman", "--json"]) == 0
    found = [json.loads(line) for line in lines(capsys)[0]]
    assert [each["status"] for each in found] == ["finished"] * 2
    assert sorted(each["seed"] for each in found) == [0, 1]
    assert cli.main(["show", found[0]["run"].partition("/")[2][:8], "--json"]) == 0
    (told,) = map(json.loads, lines(capsys)[0])
    assert told["spec"]["cell"]["kind"] == "elman" and len(told["curve"]) == 4
    assert cli.main(["show", found[0]["run"]]) == 0
    assert any("steps 2 to 4" in line for line in lines(capsys)[0])
    assert cli.main(["runs", "--cell", "elmen"]) == 2
    assert "'elman'" in lines(capsys)[1][0]


def test_the_rest_of_a_sweep_has_the_line_that_runs_it(folder, capsys):
    line = ["run", "-m", "cell=lstm,elman", "workers=1", "study=mine", *WORDS]
    assert cli.main(line) == 0
    lines(capsys)
    assert cli.main(["runs"]) == 0
    assert "missing" not in "".join(lines(capsys)[0])
    gone, left = (record.path for record in store.load_runs("runs"))
    shutil.rmtree(gone)
    (left / "result.json").unlink()
    assert cli.main(["runs"]) == 0
    out = lines(capsys)[0]
    assert "2 of 2 runs of a sweep are missing (1 unfinished, 1 not begun):" in out
    assert cli.main(shlex.split(out[-1])[1:]) == 0
    assert "2 runs in runs: 2 finished" in lines(capsys)[0]


def test_force_runs_again(folder, capsys):
    cli.main(["run", *WORDS])
    cli.main(["run", "--force", *WORDS])
    assert lines(capsys)[0][-1] == "1 runs in runs: 1 finished"


def test_a_hydra_launcher_of_the_users_choice_serves_as_well(folder, capsys):
    line = ["run", "-m", "hydra/launcher=basic", "cell=lstm,elman", *WORDS]
    assert cli.main(line) == 0
    assert "2 runs in runs: 2 finished" in lines(capsys)[0]


def test_hydra_shows_the_composed_config_and_runs_nothing(folder, capsys):
    assert cli.main(["run", "--cfg", "job", "cell=gru"]) == 0
    assert any("reset_gate: true" in line for line in lines(capsys)[0])
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(("words", "parts"), [
    (["cell=lstn"], ["cell", "'lstn'", "'lstm'"]),
    (["task.lenth=3"], ["task.lenth", "'length'"]),
    (["tracker=wanbd"], ["tracker", "'wanbd'", "'wandb'"]),
    (["seed=1,2"], ["-m"]),
    (["cell=cifg", "cell.forget_gate=false"], ["coupled=True", "forget_gate=False"]),
    (["task=copying", "task.delay=0"], ["task.delay"]),
    (["workers=0"], ["workers: 0", "at least 1"]),
    (["pack=rowz"], ["pack", "'rowz'", "'rows'"]),
    (["budget.steps=many"], ["budget.steps", "'many'"]),
    (["cell=lstm,lstn", "-m"], ["'lstn'"]),
])  # fmt: skip
def test_a_mistake_is_one_line_and_no_folder(folder, capsys, words, parts):
    assert cli.main(["run", *words]) == 2
    out, err = lines(capsys)
    assert not out and len(err) == 1 and all(part in err[0] for part in parts), err
    assert not list(folder.iterdir())


def test_a_failed_run_is_named_and_the_others_go_on(folder, capsys, monkeypatch):
    monkeypatch.setenv("LSTM_RESEARCH_DATA", str(folder / "nowhere"))
    (folder / "nowhere").mkdir()
    words = ["task=piano", "network.hidden=3", "budget=tiny", "tracker=none", "workers=1"]
    assert cli.main(["run", *words]) == 1
    out, err = lines(capsys)
    assert "1 failed" in out[0]
    assert "Piano_midi.mat" in err[0] and "seed 0" in err[0] and "Traceback" not in "".join(err)


def test_a_baseline_may_have_any_name_of_its_cell_and_a_wrong_one_is_a_mistake(folder, capsys):
    assert cli.main(["run", "-m", "cell=greff/np,elman", "study=mine", *WORDS]) == 0
    capsys.readouterr()
    assert cli.main(["table", "--format", "json", "--baseline", "greff/np"]) == 0
    table = json.loads("\n".join(lines(capsys)[0]))
    assert [row["label"] for row in table["rows"]] == ["lstm", "elman"]
    assert cli.main(["table", "--baseline", "lstn"]) == 2
    (said,) = lines(capsys)[1]
    assert "baseline: 'lstn'" in said and "'lstm'" in said


def test_a_table_of_nothing_says_how_to_get_something(folder, capsys):
    (folder / "runs").mkdir()
    assert cli.main(["table"]) == 1
    assert "quickstart" in lines(capsys)[1][0]


def test_a_table_of_no_folder_names_it(folder, capsys):
    assert cli.main(["table", "elsewhere"]) == 1
    assert "elsewhere" in lines(capsys)[1][0]


def test_an_interrupt_says_that_nothing_is_lost(folder, capsys, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "launch", interrupted)
    assert cli.main(["run", *WORDS]) == 130
    assert "goes on from here" in lines(capsys)[1][0]


def test_data_that_an_experiment_lacks_are_one_line(capsys):
    def absent():
        raise DataError("no such file", file="some.npz")

    assert cli.answered(absent) == 1 and lines(capsys)[1] == ["no such file"]
    assert cli.answered(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        cli.answered(lambda: 1 // 0)


def test_quickstart_runs_its_study_and_shows_the_table(folder, capsys, monkeypatch):
    words = ["cell=lstm,elman", "seed=range(2)", "study=quickstart", *WORDS]
    study = sweep.specs(words, sweep=True)
    monkeypatch.setattr(sweep, "study", lambda name: study)
    assert cli.main(["quickstart"]) == 0
    out = "\n".join(lines(capsys)[0])
    assert "4 runs in runs: 4 finished" in out and "n=2" in out and "elman" in out
    assert {record.study for record in store.load_runs("runs")} == {"quickstart"}


def test_check_prints_a_line_for_each_yaml_and_fails_by_name(capsys, monkeypatch):
    found = [
        Finding("cell/lstm", "ok", "fine"),
        Finding("cell/odd", "fault", "ConfigError: no"),
    ]
    monkeypatch.setattr("lstm_research.commands.check.check", lambda: iter(found))
    assert cli.main(["check"]) == 1
    out, _ = lines(capsys)
    assert out[-1] == "1 ok, 1 fault" and "cell/odd" in out[1] and "ConfigError: no" in out[1]


def test_a_run_whose_worker_died_is_told_with_the_reason(folder, capsys, monkeypatch):
    gone = lambda which: Outcome("unfinished", folder, True, local.lost(-11))
    dies = lambda specs, settings, hooks, **rest: [hooks.end(k, gone(k)) for k in range(2)]
    monkeypatch.setattr(local, "launch", dies)
    assert cli.main(["run", "-m", "cell=lstm,elman", *WORDS]) == 1
    _, err = lines(capsys)
    assert all("its worker died (SIGSEGV); the same line runs it again" in line for line in err)
    assert len(err) == 2
