"""What a dashboard hears of a run: the store's numbers, and no secret."""

import mirrored
import pytest
from mirrored import SPEC, trained

from lstm_research import store
from lstm_research.trackers.content import clean, history, told


@pytest.fixture(autouse=True)
def offline_home(monkeypatch, tmp_path):
    mirrored.at_home(monkeypatch, tmp_path)


def test_one_spec_in_two_studies_is_two_runs_and_run_again_it_is_the_same(tmp_path):
    first, other = (trained(tmp_path, SPEC | {"study": study}) for study in ("gates", "more"))
    assert first.name == other.name
    one, two = told(store.load_run(first)), told(store.load_run(other))
    assert one.id != two.id and (one.group, two.group) == ("gates", "more")
    with store.open_run(tmp_path, SPEC, force=True):
        assert told(store.load_run(first)).id == one.id


def test_a_run_is_named_and_its_config_holds_all_that_one_groups_by(tmp_path):
    path = trained(tmp_path, SPEC)
    run = told(store.load_run(path), "cifg, peephole=io")
    assert run.name == "cifg, peephole=io-s3" and told(store.load_run(path)).name == "gated-s3"
    assert run.config["variant"] == "cifg, peephole=io"
    assert run.config["cell"] == SPEC["cell"] and run.config["seed"] == 3
    assert run.config["study"] == "gates" and run.config["run"] == f"gates/{path.name}"
    assert run.config["commit"] == "c0ffee" and run.config["versions"] == {"jax": "0.10.1"}
    assert run.summary["test/mse"] == 0.25 and run.summary["status"] == "solved"
    assert not run.failed and run.pictures == ()


def test_a_run_without_a_result_counts_as_failed(tmp_path):
    store.open_run(tmp_path, SPEC).close()
    assert told(store.load_runs(tmp_path)[0]).failed


def test_text_under_a_secrets_name_is_left_out():
    found = clean({"api_key": "a", "hub": {"TOKEN": "b", "tokens": "bpe"}, "token": 3})
    assert found == {
        "api_key": "[redacted]",
        "hub": {"TOKEN": "[redacted]", "tokens": "bpe"},
        "token": 3,
    }


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://user:pw@example.org/x.git", "https://[redacted]@example.org/x.git"),
        ("https://api.wandb.ai", "https://api.wandb.ai"),
        ("failed with hf_abcdefghijklmnopqrst in hand", "failed with [redacted] in hand"),
        ("sk-learn", "sk-learn"),
        ("AKIA0123456789ABCDEF", "[redacted]"),
    ],
)
def test_credentials_inside_a_text_are_left_out(text, kept):
    assert clean([text]) == [kept]


def test_the_value_of_a_variable_called_like_a_secret_is_left_out_everywhere(monkeypatch):
    monkeypatch.setenv("MY_HUB_TOKEN", "correct horse")
    monkeypatch.setenv("SHORT_TOKEN", "a")
    said = {"error": "GET /?t=correct horse: refused", "list": ["correct horse"]}
    assert clean(said) == {"error": "GET /?t=[redacted]: refused", "list": ["[redacted]"]}


def test_a_line_of_the_curve_is_flat_and_clean():
    line = {"step": 2, "split": "valid", "mse": 0.5, "by": {"length": 0.25}, "token": "s3cret"}
    row = {"step": 2, "valid/mse": 0.5, "valid/by/length": 0.25, "valid/token": "[redacted]"}
    assert history(line) == row
