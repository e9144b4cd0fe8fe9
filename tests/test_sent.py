"""What has been sent is remembered beside the run, and two senders of one run stay apart."""

import mirrored
import pytest
from mirrored import SPEC, pictured, trained

from lstm_research import store
from lstm_research.trackers.sent import Busy, Claim, Place, fingerprint, memory, there

HERE = Place("wandb", "online here/project")


@pytest.fixture
def run(monkeypatch, tmp_path):
    mirrored.at_home(monkeypatch, tmp_path)
    return trained(tmp_path, SPEC)


def send(run) -> None:
    Claim(run, HERE).release(fingerprint(run))


def test_a_run_is_there_once_it_has_been_sent_and_only_where_it_was_sent_to(run):
    assert not there(run, HERE)
    send(run)
    assert there(run, HERE)
    assert not there(run, HERE._replace(where="offline project"))
    assert not there(run, HERE._replace(tracker="trackio"))


def test_a_new_picture_and_a_longer_curve_are_news(run):
    send(run)
    pictured(run)
    assert not there(run, HERE)
    send(run)
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 4}\n')
    assert not there(run, HERE)


def test_a_run_that_is_run_again_is_forgotten(run, tmp_path):
    send(run)
    with store.open_run(tmp_path, SPEC, force=True) as again:
        assert not memory(again.path, HERE).exists()


def test_two_senders_of_one_run_stay_apart_and_another_tracker_may_send(run):
    claim = Claim(run, HERE)
    with pytest.raises(Busy, match="another process is sending this run"):
        Claim(run, HERE)
    Claim(run, HERE._replace(tracker="trackio")).release()
    claim.release()
    send(run)


def test_what_did_not_arrive_and_a_damaged_memory_are_nothing(run):
    send(run)
    Claim(run, HERE).release()
    assert not there(run, HERE)
    memory(run, HERE).write_text('{"to": "online')
    assert not there(run, HERE)
