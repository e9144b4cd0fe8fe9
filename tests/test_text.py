"""Text: streams that miss nothing, held-out characters scored once, faults named by line and column."""

from itertools import pairwise

import jax
import numpy as np
import pytest
from small_data import letters, text

from lstm_research.tasks.characters import numbered
from lstm_research.tasks.data import DataError
from lstm_research.tasks.text import Text

KEY = jax.random.key(0)


def drawn(task, steps: int, size: int):
    draw = jax.jit(task.draw_at, static_argnums=3)
    return [jax.tree.map(np.asarray, draw(task.data, KEY, step, size)) for step in range(steps)]


def test_rows_go_on_from_window_to_window_and_start_afresh_with_an_epoch():
    task, whole = text(train=150, window=6), np.asarray(text(train=150).data["train"], int)
    batches = drawn(task, 12, 4)  # (150 - 1) // (4 * 6) = 6 windows an epoch
    places = set()
    for epoch in (batches[:6], batches[6:]):
        for row in range(4):
            read = np.concatenate([batch.inputs[row] for batch in epoch])
            asked = np.concatenate([batch.targets[row] for batch in epoch])
            assert (read[1:] == asked[:-1]).all()
            if row == 0:
                starts = [k for k in range(150 - 144) if (whole[k : k + 36] == read).all()]
                assert len(starts) == 1
                places.add(starts[0])
            at = starts[0] + 36 * row
            assert (read == whole[at : at + 36]).all() and (asked == whole[at + 1 : at + 37]).all()
        first, *rest = (batch.resets for batch in epoch)
        assert first[:, 0].all() and not first[:, 1:].any() and not np.any(rest)
    assert len(places) == 2  # an epoch begins where it likes


@pytest.mark.parametrize(("streams", "window"), [(1, 40), (1, 7), (3, 5), (7, 6), (40, 2), (99, 3)])
def test_every_held_out_character_but_the_first_is_asked_once_after_the_one_before_it(
    streams, window
):
    task = text(test=33, window=window, streams=streams)
    whole = np.asarray(task.data["test"], int)
    batches = [jax.tree.map(np.asarray, each) for each in task.held_out(task.data, "test")]
    rows = [[] for _ in batches[0].inputs]
    for number, batch in enumerate(batches):
        assert batch.resets[:, 0].all() == (number == 0) and not batch.resets[:, 1:].any()
        for row, (x, y, mask, length) in enumerate(zip(*batch[:4], strict=True)):
            assert (mask == (np.arange(window) < length)).all()
            rows[row] += list(zip(x[:length], y[:length], strict=True))
    found = [pair for row in rows for pair in row]
    assert found == list(pairwise(whole))


def test_without_a_carry_every_window_starts_afresh():
    task = text(window=6, carried=False)
    assert not task.carried
    assert all(batch.resets[:, 0].all() for batch in drawn(task, 3, 4))
    assert all(batch.resets[:, 0].all() for batch in task.held_out(task.data, "valid"))


def test_chance_is_the_table_of_pairs_in_bits():
    task = text(train=120, test=50)
    train, test = (np.asarray(task.data[part], int) for part in ("train", "test"))
    total = 0.0
    for one, other in pairwise(test):
        after = train[1:][train[:-1] == one]
        total -= np.log2(((after == other).sum() + 0.5) / (len(after) + 13))
    counts = np.bincount(train[1:], minlength=26) + 0.5
    constant = -np.log2(counts / counts.sum())[test[1:]].mean()
    assert task.chance["bpc"] == pytest.approx(min(total / 49, constant))


def test_more_streams_than_the_text_has_windows_is_refused():
    with pytest.raises(
        ValueError, match=r"window=6: 26 windows of it are more than the 150 characters"
    ):
        text(train=150, window=6).sample(KEY, 26)


def written(path, content: str | bytes, name: str = "own.txt") -> str:
    raw = content if isinstance(content, bytes) else content.encode()
    (path / name).write_bytes(raw)
    return str(path / name)


def test_one_file_is_cut_in_time(tmp_path):
    whole = "né" + letters(400)
    task = Text(path=written(tmp_path, whole * 2), valid=0.1, test=0.25).build()
    sizes = [len(task.data[part]) for part in ("train", "valid", "test")]
    assert sizes == [523, 80, 201] and task.vocabulary == 27
    codes = np.concatenate([task.data[part] for part in ("train", "valid", "test")])
    alphabet = sorted(set(whole))
    assert "".join(alphabet[code] for code in codes) == whole * 2


def test_three_files_are_the_parts_and_spaced_characters_close_up(tmp_path):
    for part, content in (("train", "a b _ c\nb a"), ("valid", "c _\na"), ("test", "b b b")):
        written(tmp_path, content, f"own.{part}.txt")
    task = Text(path=str(tmp_path / "own.train.txt"), spaced=True).build()
    assert task.vocabulary == 5  # newline, _, a, b, c
    assert np.asarray(task.data["valid"]).tolist() == [4, 1, 0, 2]
    written(tmp_path, "b bb", "own.test.txt")
    with pytest.raises(DataError, match=r"own.test.txt: line 1: 'bb' is longer than a character"):
        Text(path=str(tmp_path / "own.train.txt"), spaced=True).build()


def test_a_character_that_training_lacks_is_named_by_line_and_column(tmp_path):
    path = written(tmp_path, "ab\n" * 30 + "ab\naßb\n")
    with pytest.raises(
        DataError, match=r"test, line \d+, column 2: 'ß' does not occur in training"
    ):
        Text(path=path).build()
    assert Text(path=path, vocabulary="all").build().vocabulary == 4
    parts = {"train": "ab", "valid": "ba", "test": "a\nb"}
    with pytest.raises(DataError, match=r"test, line 1, column 2: '\\n'"):
        numbered("here", parts, "train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("abc", r"valid has 0 characters; at least two"),
        ("", r"train has 0 characters"),
        (b"abc\xff" * 40, r"byte 3 is no UTF-8"),
    ],
)
def test_a_text_that_is_none_is_refused(content, message, tmp_path):
    with pytest.raises(DataError, match=message):
        Text(path=written(tmp_path, content)).build()


def test_tiny_shakespeare_has_its_published_counts(data_folder):
    task = Text().build()
    assert sum(len(task.data[part]) for part in ("train", "valid", "test")) == 1_115_394
    assert task.vocabulary == 65 and 3.4 < task.chance["bpc"] < 3.7
