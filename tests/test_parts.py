"""`take=`: the parts of a sweep hold each of its runs once, under launchers that know one job at a time."""

import json

import pytest
from small import WORDS

from lstm_research import cli, compose, parts, store, sweep

LINE = ["cell=lstm,elman", "seed=range(3)", *WORDS]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("take", [1, 4, 6, 9])
def test_the_parts_of_a_sweep_are_its_runs_each_once_and_in_order(take):
    *_, line, part = parts.divided([*LINE, "hydra/launcher=joblib"], take)
    (given,) = compose.parse([line])
    data = {"line": given.value(), "take": take}
    numbers = [int(text.partition("=")[2]) for text in compose.choices(compose.parse([part])[0])]
    assert numbers == list(range(-(-6 // take)))
    specs = [spec for number in numbers for spec in parts.specs(data | {"part": number})]
    assert specs == sweep.specs(LINE, sweep=True)


def test_what_concerns_hydra_and_the_launch_stays_outside_the_line():
    words = ["runs=there", "hydra.sweep.subdir='${hydra.job.num}'", "study=mine", *LINE]
    outside = parts.divided(words, 4)[:-2]
    assert outside == [
        "runs=there",
        "hydra.sweep.subdir='${hydra.job.num}'",
        "study=mine",
        "tracker=none",
    ]


def test_a_quoted_line_comes_through_hydras_grammar_unchanged():
    line = ["a='b c'", 'd="e"', "f=${g}", r"h=i\,j", "k=[1,{l: 2}]"]
    (given,) = compose.parse([f"+line={parts.quoted(line)}"])
    assert json.loads(given.value()) == line and "$" not in given.value()


def test_each_job_of_another_launcher_runs_its_part_as_a_pack(folder, inline, capsys, monkeypatch):
    taken, launch = [], parts.local.launch

    def heard(specs, *given, **options):
        taken.append(len(specs))
        launch(specs, *given, **options)

    monkeypatch.setattr(parts.local, "launch", heard)
    line = ["run", "-m", "hydra/launcher=basic", "take=2", "cell=lstm", "seed=range(3)", *WORDS]
    assert cli.main(line) == 0
    assert taken == [2, 1] and "3 runs in runs: 3 finished" in capsys.readouterr().out
    assert {record.spec["seed"] for record in store.load_runs("runs")} == {0, 1, 2}


def test_a_run_that_fails_fails_its_part_and_no_other(folder, inline, capsys, monkeypatch):
    monkeypatch.setenv("LSTM_RESEARCH_DATA", str(folder))
    words = [word for word in WORDS if not word.startswith("task")]
    line = ["run", "-m", "hydra/launcher=basic", "take=1", "task=piano,adding", *words]
    assert cli.main(line) == 1
    out, err = capsys.readouterr()
    assert "1 failed" in out and "1 finished" in out and err.count("failed: ") == 1


@pytest.mark.parametrize("flag", [["--force"], ["force=true"]])
def test_force_reaches_the_runs_under_another_launcher(folder, flag):
    line = ["run", "hydra/launcher=basic", *WORDS]
    cli.main(["run", "-m", *line[1:]])
    (record,) = store.load_runs("runs")
    (record.path / "mark").touch()  # a run that starts anew wipes its folder
    cli.main(["run", "-m", *line[1:]])
    assert (record.path / "mark").exists()
    cli.main(["run", "-m", *flag, *line[1:]])
    assert not (record.path / "mark").exists() and store.load_run(record.path).status == "finished"


@pytest.mark.parametrize(("words", "parts"), [
    (["take=0", "hydra/launcher=basic"], ["take", "at least 1"]),
    (["take=2"], ["take", "hydra/launcher="]),
    (["take=2", "hydra/launcher=packed"], ["take", "hydra/launcher="]),
    (["force=perhaps"], ["force", "'perhaps'", "true or false"]),
])  # fmt: skip
def test_a_mistake_is_one_line_and_no_folder(folder, capsys, words, parts):
    assert cli.main(["run", "-m", *words, *LINE]) == 2
    out, err = capsys.readouterr()
    assert not out and len(err.splitlines()) == 1 and all(part in err for part in parts), err
    assert not list(folder.iterdir())
