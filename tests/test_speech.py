"""Speech: every recording whole, in one split, and no speaker of the test in training."""

import jax
import numpy as np
import pytest
from small_data import recordings

from lstm_research.tasks import speech
from lstm_research.tasks.data import DataError, sha256
from lstm_research.tasks.speech import SPEAKERS, Speech, chosen, from_recordings

HEARD = recordings()


def host(batch):
    return jax.tree.map(np.asarray, batch)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_held_out_recordings_are_those_of_the_split_scaled_by_the_training_frames(split):
    task, rows = from_recordings(Speech(), HEARD), chosen(Speech(), HEARD)
    (batch,) = (host(each) for each in task.held_out(task.data, split))
    cut = lambda row: HEARD.frames[HEARD.starts[row] : HEARD.starts[row] + HEARD.lengths[row]]
    seen = np.concatenate([cut(row) for row in rows["train"]]).astype(float)
    for inputs, length, label, row in zip(
        batch.inputs, batch.lengths, batch.targets, rows[split], strict=True
    ):
        assert length == HEARD.lengths[row] and label == HEARD.labels[row]
        wanted = (cut(row) - seen.mean(axis=0)) / seen.std(axis=0)
        assert inputs[:length] == pytest.approx(wanted, abs=1e-5)
        assert not inputs[length:].any()


def test_the_published_split_takes_the_first_takes_of_everybody():
    rows = chosen(Speech(), HEARD)
    assert set(HEARD.takes[rows["test"]]) == set(range(5))
    assert set(HEARD.takes[rows["valid"]]) == set(range(5, 10))
    assert sorted(np.concatenate(list(rows.values()))) == list(range(72))


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_a_speaker_of_the_test_is_heard_in_no_other_split(speaker):
    rows = chosen(Speech(speaker=speaker), HEARD)
    who = {part: set(HEARD.speakers[which].tolist()) for part, which in rows.items()}
    assert who["test"] == {SPEAKERS.index(speaker)}
    assert [len(who[part]) for part in ("train", "valid")] == [4, 1]
    assert not who["train"] & who["valid"] and not who["train"] & who["test"]


def test_an_epoch_brings_every_training_recording_once(key):
    task = from_recordings(Speech(), HEARD)
    draw = jax.jit(task.draw_at, static_argnums=3)
    count = len(chosen(Speech(), HEARD)["train"])
    drawn = [host(draw(task.data, key, step, 4)) for step in range(count // 4)]
    found = {row.tobytes() for batch in drawn for row in batch.inputs}
    assert len(found) == count == 12


def test_recordings_are_cut_after_the_longest_frame_allowed():
    task = from_recordings(Speech(longest=3), HEARD)
    (batch,) = task.held_out(task.data, "test")
    assert batch.inputs.shape[1] == 3 and int(batch.lengths.max()) == 3
    (whole,) = (each := from_recordings(Speech(), HEARD)).held_out(each.data, "test")
    assert (np.asarray(batch.lengths) == np.minimum(np.asarray(whole.lengths), 3)).all()


@pytest.mark.parametrize("longest", [None, 3])
def test_a_centred_recording_has_no_mean_of_its_own(longest):
    task = from_recordings(Speech(centred=True, longest=longest), HEARD)
    (batch,) = (host(each) for each in task.held_out(task.data, "test"))
    which = chosen(Speech(), HEARD)["test"]
    scale = np.concatenate([own(row, longest) for row in chosen(Speech(), HEARD)["train"]]).std(0)
    for inputs, length, row in zip(batch.inputs, batch.lengths, which, strict=True):
        assert inputs[:length].mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-5)
        assert inputs[:length] == pytest.approx(own(row, longest) / scale, abs=1e-5)
        assert not inputs[length:].any()


def own(row, longest):
    start = HEARD.starts[row]
    frames = HEARD.frames[start : start + HEARD.lengths[row]][:longest].astype(float)
    return frames - frames.mean(axis=0)


def test_a_damaged_file_is_refused(monkeypatch, tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, frames_u8=HEARD.frames)
    pinned = lambda: speech.FILE._replace(name="own.npz", sha256=sha256(path))
    monkeypatch.setenv("LSTM_RESEARCH_DATA", str(tmp_path))
    monkeypatch.setattr(speech, "FILE", pinned())
    with pytest.raises(DataError, match="no 'lengths', only"):
        Speech().build()
    parts = {"label": HEARD.labels, "speaker": HEARD.speakers, "take": HEARD.takes}
    np.savez(path, frames_u8=HEARD.frames[1:], lengths=HEARD.lengths, speakers=SPEAKERS, **parts)
    monkeypatch.setattr(speech, "FILE", pinned())
    with pytest.raises(DataError, match=r"\d+ frames by length, \d+ there"):
        Speech().build()


def test_the_published_counts_are_found(data_folder):
    task, theo = Speech().build(), Speech(speaker="theo").build()
    counts = lambda task: [task.data[part].shape[1] for part in ("train", "valid", "test")]
    assert counts(task) == [2400, 300, 300] and counts(theo) == [2000, 500, 500]
    assert task.data["frames"].shape == (
        125_237 + 226,
        20,
    )  # zeros after the last, so that a cut fits
    lengths = np.concatenate([task.data[part][1] for part in ("train", "valid", "test")])
    assert (lengths.min(), lengths.max(), round(lengths.mean(), 1)) == (12, 226, 41.7)
    assert 0.1 < task.chance["accuracy"] < 0.5  # the last frame tells a voice from a hiss
    centred = Speech(speaker="theo", centred=True).build()
    assert theo.chance["accuracy"] < centred.chance["accuracy"]  # of two voices, one hiss
