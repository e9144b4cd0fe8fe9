"""Music: known baselines, epochs that miss nothing, packing that changes nothing."""

import dataclasses
import os
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_research.evaluate import metrics
from lstm_research.tasks import pianoroll
from lstm_research.tasks.data import DataError
from lstm_research.tasks.music import SETS, Music, from_rolls, order, prepare
from lstm_research.tasks.pianoroll import Baselines

LENGTHS = {"train": (9, 2, 14, 5), "valid": (2, 8, 3), "test": (6, 2, 7, 3, 11, 4, 4)}
RANDOM = np.random.default_rng(5)
PIECES = {
    split: tuple((RANDOM.random((length, 88)) < 0.1).astype(np.uint8) for length in lengths)
    for split, lengths in LENGTHS.items()
}


def small(**fields: object):
    return from_rolls(Music(**fields), prepare(PIECES), Baselines(1.0, 1.0))


@pytest.fixture(scope="module", params=["jsb", "nottingham"])
def real(request, tmp_path_factory):
    if not os.environ.get("LSTM_RESEARCH_DATA"):
        pytest.skip("needs the real data: set LSTM_RESEARCH_DATA")
    return request.param, Music(name=request.param, crop=200).build()


PUBLISHED = {  # pieces of train, valid, test; frames of each; marginal and Markov baseline
    "jsb": ((229, 76, 77), (13_807, 4_602, 4_725), 11.09, 10.49),
    "nottingham": ((694, 173, 170), (176_561, 45_513, 44_463), 10.26, 5.15),
}


def test_marginal_and_markov_baselines_are_11_09_10_49_and_10_26_5_15(real, data_folder):
    name, task = real
    path = data_folder / "polymusic" / SETS[name][0]
    pieces = pianoroll.read(path, "any")
    found = pianoroll.baselines(pieces["train"], pieces["test"])
    assert round(found.marginal, 2) == PUBLISHED[name][2]
    assert round(found.markov, 2) == PUBLISHED[name][3]
    assert task.chance == {"nll": found.markov}


def test_splits_hold_the_published_pieces_and_frames(real):
    name, task = real
    pieces, frames, *_ = PUBLISHED[name]
    assert task.data["train"].lengths.shape[0] == pieces[0]
    assert tuple(task.data[split].frames.shape[0] for split in ("train", "valid", "test")) == frames
    for split, count, total in zip(("valid", "test"), pieces[1:], frames[1:], strict=True):
        (batch,) = task.held_out(task.data, split)
        assert int(batch.resets.sum()) == count
        assert int(batch.mask.sum()) == total - count  # all frames but the first of each piece
        assert float(batch.mask.mean()) > 0.9  # little is padding


def test_markov_predictor_scores_its_baseline_on_the_packed_test(real):
    _, task = real
    (batch,) = task.held_out(task.data, "test")
    frames, rolls = np.asarray(task.data["train"].frames), task.data["train"]
    pieces = np.split(frames, np.asarray(rolls.starts)[1:])
    counts = pianoroll._transitions(pieces) + 0.5
    logits = np.log(counts[:, 1] / counts[:, 0]).astype(np.float32)
    outputs = jnp.where(batch.inputs > 0, logits[1], logits[0])
    total, weight = metrics(task, outputs, batch)["nll"]
    assert float(total / weight) == pytest.approx(task.chance["nll"], rel=1e-4)  # float32 sums


def test_baselines_of_a_coin_are_88_coins():
    coins = [np.random.default_rng(seed).integers(0, 2, (4000, 88), np.uint8) for seed in (0, 1)]
    found = pianoroll.baselines(coins[:1], coins[1:])
    assert found.marginal == pytest.approx(88 * np.log(2), rel=1e-3)
    assert found.markov == pytest.approx(88 * np.log(2), rel=1e-3)


def run(inputs: np.ndarray, resets: np.ndarray) -> np.ndarray:
    """Run a small recurrent network over rows; the carry is zero wherever a piece starts."""
    random = np.random.default_rng(0)
    w, r, o = (random.normal(size=shape) / 4 for shape in ((88, 5), (5, 5), (5, 88)))
    h, outputs = np.zeros((len(inputs), 5)), []
    for x, reset in zip(inputs.swapaxes(0, 1), resets.T, strict=True):
        h = np.tanh(x @ w + np.where(reset[:, None], 0, h) @ r)
        outputs.append(h @ o)
    return np.stack(outputs, axis=1)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_packed_evaluation_is_the_evaluation_of_each_piece(split):
    task = small()
    (batch,) = jax.tree.map(np.asarray, task.held_out(task.data, split))
    outputs = np.float32(run(batch.inputs, batch.resets))
    packed, weight = jax.jit(partial(metrics, task))(outputs, batch)["nll"]
    total = frames = 0.0
    for piece in PIECES[split]:
        logits = run(piece[None, :-1], np.zeros((1, len(piece) - 1), bool))
        total += (np.logaddexp(0, logits) - piece[1:] * logits).sum()
        frames += len(piece) - 1
    assert float(weight) == frames
    assert float(packed) == pytest.approx(total, rel=1e-5)  # float32 sums in another order


def test_packing_puts_every_transition_in_exactly_one_place():
    packed = jax.tree.map(np.asarray, pianoroll.pack(pianoroll.lay(PIECES["test"])))
    inside = np.arange(packed.index.shape[1]) < packed.lengths[:, None]
    starts = np.cumsum([0, *LENGTHS["test"]])
    firsts = {frame for a, b in pairwise(starts) for frame in range(a, b - 1)}
    assert sorted(packed.index[inside]) == sorted(firsts)
    assert set(packed.index[packed.resets]) == set(starts[:-1])


def test_an_epoch_takes_every_piece_once_and_the_next_in_another_order(key):
    compiled = jax.jit(lambda step: order(key, step, 4, 10))
    rows = np.concatenate([compiled(step) for step in range(5)])
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert (rows[:10] != rows[10:]).any()


@pytest.mark.parametrize(("size", "count"), [(3, 7), (7, 7), (16, 7), (1, 1), (5, 1), (7, 3)])
def test_batches_run_on_from_epoch_to_epoch_at_any_size(key, size, count):
    compiled = jax.jit(lambda step: order(key, step, size, count))
    rows = np.concatenate([compiled(step) for step in range(2 * count)])
    epochs = rows.reshape(-1, count)
    assert (np.sort(epochs, axis=1) == np.arange(count)).all()


def test_a_training_batch_is_a_function_of_seed_and_step(key):
    task = small()
    draw = jax.jit(task.draw_at, static_argnums=3)
    once, again, other, stranger = (
        np.asarray(draw(task.data, jax.random.key(seed), step, 2).inputs)
        for seed, step in ((0, 3), (0, 3), (0, 4), (1, 3))
    )
    assert (once == again).all() and (once != other).any() and (once != stranger).any()


def test_whole_pieces_come_out_as_they_went_in(key):
    task = small()
    batch = jax.jit(task.draw_at, static_argnums=3)(task.data, key, 0, 4)
    batch = jax.tree.map(np.asarray, batch)
    assert batch.inputs.shape == (4, 13, 88) and sorted(batch.lengths) == [1, 4, 8, 13]
    for inputs, targets, length in zip(batch.inputs, batch.targets, batch.lengths, strict=True):
        piece = next(piece for piece in PIECES["train"] if len(piece) == length + 1)
        assert (inputs[:length] == piece[:-1]).all() and (targets[:length] == piece[1:]).all()
        assert not inputs[length:].any() and not targets[length:].any()


def test_a_crop_is_a_window_of_one_piece_at_any_place(key):
    task = small(crop=4)
    draw = jax.jit(task.draw_at, static_argnums=3)
    places = set()
    for step in range(40):
        batch = jax.tree.map(np.asarray, draw(task.data, key, step, 4))
        assert batch.inputs.shape == (4, 4, 88) and sorted(batch.lengths) == [1, 4, 4, 4]
        for inputs, targets, length in zip(batch.inputs, batch.targets, batch.lengths, strict=True):
            frames = np.concatenate([inputs[:1], targets[:length]])
            found = [
                (number, at)
                for number, piece in enumerate(PIECES["train"])
                for at in range(len(piece) - length)
                if (piece[at : at + length + 1] == frames).all()
            ]
            assert len(found) == 1 and (inputs[1:length] == targets[: length - 1]).all()
            places.add(found[0])
    wanted = {(0, at) for at in range(5)} | {(1, 0)} | {(2, at) for at in range(10)} | {(3, 0)}
    assert places == wanted


def test_transposition_shifts_a_whole_piece_and_the_keyboard_ends(key):
    plain, moved = (
        jax.jit(partial(task.draw_at, task.data), static_argnums=2)
        for task in (small(), small(transpose=2))
    )
    shifts = set()
    for step in range(12):
        one, other = (draw(key, step, 4) for draw in (plain, moved))
        for before, after in zip(np.asarray(one.targets), np.asarray(other.targets), strict=True):
            wide = np.pad(before, ((0, 0), (2, 2)))
            fits = [s for s in range(-2, 3) if (wide[:, 2 - s : 90 - s] == after).all()]
            assert fits
            shifts.update(fits[:1])
    assert shifts == {-2, -1, 0, 1, 2}


def test_a_set_without_a_published_checksum_asks_for_one(monkeypatch, tmp_path):
    monkeypatch.setenv("LSTM_RESEARCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"Piano_midi.mat: .*task.sha256"):
        Music(name="piano").build()


def write(path, pieces) -> str:
    """Write a MATLAB file of pieces and return its checksum."""
    from scipy.io import savemat

    from lstm_research.tasks.data import sha256

    content = {}
    for split, key in pianoroll.SPLITS.items():
        cells = np.empty((1, len(pieces[split])), object)
        for number, piece in enumerate(pieces[split]):
            cells[0, number] = piece
        content[key] = cells
    savemat(path, content)
    return sha256(path)


def test_the_users_own_file_is_used_under_the_checksum_she_gives(monkeypatch, tmp_path):
    checksum = write(tmp_path / "MuseData.mat", PIECES)
    monkeypatch.setenv("LSTM_RESEARCH_DATA", str(tmp_path))
    task = Music(name="muse", sha256=checksum).build()
    assert (task.data["train"].frames == small().data["train"].frames).all()
    with pytest.raises(DataError, match=checksum):
        Music(name="muse", sha256="0" * 64).build()


def test_a_file_of_another_layout_is_refused_by_place_and_shape(monkeypatch, tmp_path):
    narrow = PIECES | {"valid": (PIECES["valid"][0][:, :87],)}
    checksum = write(tmp_path / "MuseData.mat", narrow)
    monkeypatch.setenv("LSTM_RESEARCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"validdata\[0\] has shape \(2, 87\).*88 keys"):
        Music(name="muse", sha256=checksum).build()


def test_a_file_is_read_only_when_the_task_is_built():
    assert dataclasses.asdict(Music(name="piano"))["sha256"] is None
