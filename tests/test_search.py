"""A search ends as one that nobody disturbed, and its runs are ordinary runs of the store."""

import copy
import functools
import json
from pathlib import Path

import pytest
from small import WORDS
from stored import RESULT

pytest.importorskip("optuna", reason="the extra `search` is not installed")
pytest.importorskip("sklearn", reason="the extra `search` is not installed")

from lstm_research import cli, compose, store
from lstm_research.config import ConfigError
from lstm_research.search import Settings, search

LINE = ["optimizer.rate=tag(log,interval(1e-4,1e-2))", "network.hidden=2,3", *WORDS[:2], *WORDS[3:]]
SIX = Settings(trials=6, take=2, sampler="random")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder, and a quick Hydra."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "environment", dict)
    monkeypatch.setattr(compose, "composed", patched(functools.cache(compose.composed)))
    return tmp_path


def patched(composed):
    """Hydra takes a tenth of a second for each draw: let it compose what the draws share, once."""

    def quick(words):
        drawn = [word for word in words if word.startswith(("++optimizer.rate=", "++network.h"))]
        data = copy.deepcopy(composed(tuple(word for word in words if word not in drawn)))
        for word in drawn:
            path, _, value = word.removeprefix("++").partition("=")
            section, _, key = path.partition(".")
            data[section][key] = json.loads(value)
        return data

    return quick


class Fake:
    """Puts specs into the store as a launch does, without training: the loss is the rate."""

    def __init__(self, stop=None, ends=lambda spec: {}):
        self.ran, self.stop, self.ends = [], stop, ends

    def __call__(self, specs):
        for spec in specs:
            if store.done("runs", spec.resolved()):
                continue
            if self.stop is not None and len(self.ran) >= self.stop:
                raise KeyboardInterrupt
            self.ran.append(store.spec_hash(spec.resolved()))
            loss = {"mse": spec.optimizer.rate}
            with store.open_run("runs", spec.resolved()) as run:
                run.finish(RESULT | {"metrics": {"valid": loss, "test": loss}} | self.ends(spec))


def draws(found):
    return sorted((each.number, tuple(each.params.items()), each.valid) for each in found.trials)


def test_trials_are_runs_of_the_store_ranked_by_validation():
    fake = Fake()
    found = search(LINE, SIX, fake)
    assert (found.metric, found.goal, len(found.trials)) == ("mse", "min", 6)
    values = [each.valid for each in found.trials]
    assert values == sorted(values) and all(1e-4 <= value <= 1e-2 for value in values)
    assert {record.path.name for record in store.load_runs("runs")} == set(fake.ran)
    for each in found.trials:
        (path,) = each.runs
        spec = store.load_run(path).spec
        assert spec["optimizer"]["rate"] == each.params["optimizer.rate"] == each.valid
        assert spec["network"]["hidden"] == int(each.params["network.hidden"])


def test_the_same_line_again_runs_nothing_and_more_trials_go_on_from_there():
    first = search(LINE, SIX, Fake())
    again = Fake()
    assert draws(search(LINE, SIX, again)) == draws(first) and not again.ran
    more = search(LINE, SIX._replace(trials=8), again)
    assert len(again.ran) == 2 and draws(more)[:6] == draws(first)


@pytest.mark.parametrize("stop", [0, 1, 4, 5])
def test_an_interrupted_search_ends_as_an_undisturbed_one(folder, stop, monkeypatch):
    whole = search(LINE, SIX, Fake())
    (folder / "other").mkdir()
    monkeypatch.chdir(folder / "other")
    killed, rest = Fake(stop), Fake()
    with pytest.raises(KeyboardInterrupt):
        search(LINE, SIX, killed)
    assert draws(search(LINE, SIX, rest)) == draws(whole)
    assert len(killed.ran) == stop and not set(killed.ran) & set(rest.ran)
    assert len(killed.ran + rest.ran) == 6


def test_a_journal_cut_off_anywhere_ends_with_the_same_draws(folder):
    two = SIX._replace(trials=2)
    whole = search(LINE, two, Fake())
    journal = folder / "runs" / "default" / "search.jsonl"
    content = journal.read_bytes()
    ends = [at for at, letter in enumerate(content) if letter == ord("\n")]
    assert len(ends) > 9
    for at in ends:
        for cut in (content[: at + 1], content[: max(at - 7, 0)]):
            journal.write_bytes(cut)
            again = search(LINE, two, Fake())
            assert {each[1:] for each in draws(again)} == {each[1:] for each in draws(whole)}


def test_a_second_process_in_one_study_is_refused():
    def meanwhile(specs):
        with pytest.raises(store.RunBusy, match="searching in this study"):
            search(LINE, SIX, Fake())
        Fake()(specs)

    assert len(search(LINE, SIX._replace(trials=2), meanwhile).trials) == 2


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_diverged_run_is_infinitely_bad_and_still_a_trial(sampler):
    ends = lambda spec: {"status": "diverged", "metrics": {}} if spec.network.hidden == 2 else {}
    found = search(LINE, Settings(12, 4, sampler), Fake(ends=ends))
    statuses = [each.status for each in found.trials]
    assert statuses == sorted(statuses, reverse=True) and "diverged" in statuses
    assert found.trials[-1].valid is None
    assert "Infinity" in Path("runs/default/search.jsonl").read_text()


def test_tpe_learns_where_the_loss_is_low():
    found = search(LINE, Settings(24, 4, "tpe"), Fake())
    early = [each.valid for each in found.trials if each.number < 10]
    late = [each.valid for each in found.trials if each.number >= 10]
    assert sum(late) / len(late) < 0.5 * sum(early) / len(early)
    assert found.importance is not None and next(iter(found.importance)) == "optimizer.rate"


def test_a_failed_run_is_not_told_and_the_same_line_tries_it_again():
    broken = lambda spec: (
        {"status": "failed", "error": "no disk"} if spec.network.hidden == 2 else {}
    )
    first = search(LINE, SIX, Fake(ends=broken))
    failed = {each.number for each in first.trials if each.status == "failed"}
    assert failed and len(first.trials) == 6
    again = Fake()
    found = search(LINE, SIX, again)
    assert len(again.ran) == len(failed)
    assert {each.status for each in found.trials} == {"finished"} and len(found.trials) == 6


def test_settings_that_are_no_run_are_refused_and_count_as_drawn():
    line = ["cell=lstm,cifg", "cell.forget_gate=true,false", *WORDS]
    found = search(line, Settings(12, 4, "random"), Fake())
    refused = [each for each in found.trials if each.status == "refused"]
    assert refused and len(found.trials) == 12
    for each in refused:
        assert each.params == {"cell": "cifg", "cell.forget_gate": "False"}
        assert each.error is not None and "coupled=True" in each.error


def test_a_trial_over_seeds_is_their_mean():
    fake = Fake(
        ends=lambda spec: {"metrics": {s: {"mse": float(spec.seed)} for s in ("valid", "test")}}
    )
    found = search([*LINE, "seed=1,2,6"], SIX._replace(trials=2), fake)
    assert [each.valid for each in found.trials] == [3.0, 3.0] and len(fake.ran) == 6


def test_another_line_in_the_same_study_is_refused_by_name():
    search(LINE, SIX._replace(trials=2), Fake())
    for other in (["budget.steps=3"], ["cell=gru"]):
        with pytest.raises(ConfigError, match=other[0].partition("=")[0]):
            search([*LINE, *other], SIX, Fake())
    with pytest.raises(ConfigError, match=r"network\.hidden"):
        search([LINE[0], "network.hidden=2,4", *LINE[2:]], SIX, Fake())


@pytest.mark.parametrize(("words", "parts"), [
    ([], ["nothing to search"]),
    (["optimizer.rate=interval(0.1,0.2)", "trails=3"], ["trails", "'trials'"]),
    (["optimizer.rate=interval(0.1,0.2)", "trials=0"], ["trials", "at least 1"]),
    (["optimizer.rate=interval(0.1,0.2)", "sampler=tpa"], ["sampler", "'tpe'"]),
    (["optimizer.rte=interval(0.1,0.2)"], ["optimizer.rte", "'rate'"]),
    (["optimizer.rate=tag(lg,interval(0.1,0.2))"], ["'lg'", "'log'"]),
    (["task=adding,copying"], ["one task"]),
    (["runs=a,b", "network.hidden=2,3"], ["one runs"]),
    (["cell=lstm,lstn"], ["'lstn'", "'lstm'"]),
    (["network.hidden=2,3", "--jsn"], ["'--jsn'", "'--json'"]),
])  # fmt: skip
def test_a_mistake_is_one_line_and_no_folder(folder, capsys, words, parts):
    assert cli.main(["search", *words]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert not said.out and all(part in line for part in parts), line
    assert not list(folder.iterdir())


def test_the_command_runs_ranks_and_answers_in_json(inline, capsys):
    line = ["search", "--json", *LINE, "tracker=none", "trials=2", "take=2", "network.hidden=3,2"]
    assert cli.main(line) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metric"] == "mse" and found["importance"] is None
    assert [each["status"] for each in found["trials"]] == ["finished"] * 2
    assert len(store.load_runs("runs")) == 2
    assert cli.main(line[:1] + line[2:]) == 0
    out = capsys.readouterr().out
    assert "optimizer.rate" in out and "2 trials: 2 finished" in out and "too few" in out
