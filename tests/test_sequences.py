"""Sequences: a user's file comes out as it went in, or the fault is named by field and row."""

import jax
import numpy as np
import pytest

from lstm_research.tasks.data import DataError, sha256
from lstm_research.tasks.sequences import Sequences

RANDOM = np.random.default_rng(6)
SPLIT = np.array(["train"] * 6 + ["valid"] * 2 + ["test"] * 2)
LENGTHS = np.array([3, 5, 1, 4, 2, 5, 5, 3, 2, 4])
FLOATS = RANDOM.normal(size=(10, 5, 2))
TOKENS = RANDOM.integers(0, 7, (10, 5))
KINDS = {
    "classes, last": (FLOATS, RANDOM.integers(0, 3, 10)),
    "classes, step": (TOKENS, RANDOM.integers(0, 3, (10, 5))),
    "floats, last": (TOKENS, RANDOM.normal(size=(10, 2))),
    "floats, step": (FLOATS, RANDOM.normal(size=(10, 5, 3))),
}


def written(path, inputs=FLOATS, targets=KINDS["classes, last"][1], split=SPLIT, **rest):
    np.savez(path / "mine.npz", inputs=inputs, targets=targets, split=split, **rest)
    return str(path / "mine.npz")


def built(path, **fields):
    return Sequences(path=path, **fields).build()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_come_out_as_they_went_in(kind, tmp_path):
    inputs, targets = KINDS[kind]
    task = built(written(tmp_path, inputs, targets, lengths=LENGTHS))
    assert task.readout == kind.split()[1]
    assert (task.features, task.vocabulary) == (
        (2, None) if inputs is FLOATS else (None, TOKENS.max() + 1)
    )
    for part in ("valid", "test"):
        (batch,) = (jax.tree.map(np.asarray, each) for each in task.held_out(task.data, part))
        rows = part == SPLIT
        inside = np.arange(5) < LENGTHS[rows][:, None]
        assert (batch.lengths == LENGTHS[rows]).all()
        assert batch.inputs[inside] == pytest.approx(inputs[rows][inside])
        asked = batch.targets if task.readout == "last" else batch.targets[inside]
        wanted = targets[rows] if task.readout == "last" else targets[rows][inside]
        assert asked == pytest.approx(wanted)
        assert (batch.mask == (inside if task.readout == "step" else 1)).all()


def test_an_epoch_brings_every_training_row_once(tmp_path, key):
    task = built(written(tmp_path))
    draw = jax.jit(task.draw_at, static_argnums=3)
    found = np.concatenate([draw(task.data, key, step, 3).inputs for step in range(2)])
    assert sorted(map(tuple, found.reshape(6, -1))) == sorted(
        map(tuple, np.float32(FLOATS[:6].reshape(6, -1)))
    )


def test_the_loss_follows_from_the_targets_and_bits_are_asked_for(tmp_path):
    assert built(written(tmp_path)).loss == "cross_entropy"
    bits = RANDOM.integers(0, 2, (10, 2)).astype(float)
    assert built(written(tmp_path, targets=bits)).loss == "squared_error"
    path = written(tmp_path, targets=bits)
    assert built(path, loss="bernoulli").metric == "nll"
    with pytest.raises(DataError, match="loss=cross_entropy needs whole numbers"):
        built(path, loss="cross_entropy")


def test_padding_may_hold_anything_and_is_read_by_nobody(tmp_path):
    inside = np.arange(5) < LENGTHS[:, None]
    dirty = np.where(inside[..., None], FLOATS, np.nan)
    one = built(written(tmp_path, dirty, lengths=LENGTHS))
    other = built(written(tmp_path, FLOATS, lengths=LENGTHS))
    for a, b in zip(jax.tree.leaves(one.data), jax.tree.leaves(other.data), strict=True):
        assert np.isfinite(a).all() and (a == b).all()


def test_inputs_are_standardised_by_the_training_steps_alone(tmp_path):
    task = built(written(tmp_path, 3 * FLOATS + 7, lengths=LENGTHS), standardise=True)
    part = {name: np.asarray(leaf) for name, leaf in task.data["train"].items()}
    steps = part["inputs"][np.arange(5) < part["lengths"][:, None]]
    assert steps.mean(axis=0) == pytest.approx(0, abs=1e-6)
    assert steps.std(axis=0) == pytest.approx(1, abs=1e-5)


def broken(values, at, value):
    values = values.astype(float) if isinstance(value, float) else values.copy()
    values[at] = value
    return values


CLASSES = KINDS["classes, last"][1]
FAULTS = [
    ({"inputs": broken(FLOATS, (4, 2, 1), np.nan)}, r"inputs, row 4, step 2, column 1: nan is no number"),
    ({"inputs": broken(TOKENS, (3, 1), -1)}, r"inputs, row 3, step 1: -1 is below 0"),
    ({"targets": broken(CLASSES, 5, -2)}, r"targets, row 5: -2 is below 0"),
    ({"targets": broken(KINDS["floats, last"][1], (5, 1), np.inf)}, r"targets, row 5, column 1: inf"),
    ({"targets": broken(KINDS["floats, step"][1], (5, 4, 1), np.inf)}, r"targets, row 5, step 4, column 1"),
    ({"lengths": broken(LENGTHS, 2, 0)}, r"lengths, row 2: 0 is outside 1\.\.5"),
    ({"lengths": broken(LENGTHS, 9, 6)}, r"lengths, row 9: 6 is outside 1\.\.5"),
    ({"lengths": LENGTHS * 1.0}, r"lengths must be one whole number a row"),
    ({"lengths": LENGTHS[:9]}, r"10 rows of inputs, 9 of lengths"),
    ({"split": np.array([*SPLIT[:9], "tset"])}, r"split, row 9: tset is none of train, valid, test"),
    ({"split": np.array(["train"] * 8 + ["test"] * 2)}, r"split: no row is 'valid'"),
    ({"targets": TOKENS[:, :4]}, r"inputs have 5 steps, targets 4"),
    ({"inputs": TOKENS[:, :, None]}, r"inputs are whole numbers of shape \(10, 5, 1\); allowed are 2 axes"),
    ({"inputs": FLOATS[:, :0]}, r"inputs are floats of shape \(10, 0, 2\)"),
    ({"inputs": TOKENS > 2}, r"inputs are bool: floats or whole numbers"),
    ({"input": FLOATS}, r"'input' is no field here. Did you mean 'inputs'"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_a_fault_is_named_by_field_and_row(change, message, tmp_path):
    with pytest.raises(DataError, match=message):
        built(written(tmp_path, **change))


def test_classes_and_tokens_out_of_range_are_named(tmp_path):
    path = written(tmp_path, TOKENS, np.array([0, 1, 2, 1, 0, 1, 2, 0, 1, 2]))
    with pytest.raises(DataError, match=r"targets, row 2: 2 is not below task.classes=2"):
        built(path, classes=2)
    with pytest.raises(
        DataError, match=r"inputs, row \d+, step \d+: \d is not below task.vocabulary=3"
    ):
        built(path, vocabulary=3)
    assert built(path, classes=9, vocabulary=20).outputs == 9
    with pytest.raises(DataError, match=r"targets, row 1, column 0: 2.0 is neither 0 nor 1"):
        built(
            written(tmp_path, targets=np.eye(10)[:, :1] + 2.0 * np.eye(10)[:, 1:2]),
            loss="bernoulli",
        )


def test_another_file_than_meant_is_refused(tmp_path):
    path = written(tmp_path)
    assert built(path, sha256=sha256(tmp_path / "mine.npz")).name == "sequences"
    with pytest.raises(DataError, match=r"mine.npz is damaged or another version"):
        built(path, sha256="0" * 64)
    with pytest.raises(DataError, match=r"task.path=absent.npz: no such file"):
        built("absent.npz")
    with pytest.raises(DataError, match=r"task.path is null"):
        built(None)
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(DataError, match=r"text.npz is no archive of plain NumPy arrays"):
        built(str(tmp_path / "text.npz"))
    np.savez(tmp_path / "part.npz", inputs=FLOATS)
    with pytest.raises(DataError, match=r"no 'targets', only inputs; needed are"):
        built(str(tmp_path / "part.npz"))


def test_a_file_that_has_changed_is_read_again(tmp_path):
    import os

    path = written(tmp_path)
    before = built(path).data["test"]["inputs"]
    written(tmp_path, FLOATS + 1)
    os.utime(path, ns=(1, 1))
    assert (before != built(path).data["test"]["inputs"]).all()


def test_chance_is_the_answer_from_the_last_input(tmp_path):
    tokens = RANDOM.integers(0, 3, (200, 5))
    split = np.array((["train"] * 8 + ["valid", "test"]) * 20)
    lengths = RANDOM.integers(1, 6, 200)
    told = tokens[np.arange(200), lengths - 1]  # the target is the last token that counts
    assert built(written(tmp_path, tokens, told, split, lengths=lengths)).chance["accuracy"] == 1
    hidden = (tokens[:, 0] + 1) % 3  # it is the first: rows of length 1 alone tell it
    found = built(written(tmp_path, tokens, hidden, split)).chance["accuracy"]
    assert found < 0.7
