"""Pixels: images come out as they went in, in the order asked for, and every row is checked."""

import gzip

import jax
import numpy as np
import pytest

import lstm_research as lr
from lstm_research.tasks import images
from lstm_research.tasks.data import DataError, sha256
from lstm_research.tasks.images import SETS, Images
from lstm_research.tasks.pixels import Pixels, from_images

KERAS = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"  # of the real archive
RANDOM = np.random.default_rng(2)
SPLITS = {
    part: Images(
        RANDOM.integers(0, 17, (count, 64), np.uint8), RANDOM.integers(0, 10, count, np.uint8)
    )
    for part, count in (("train", 9), ("valid", 4), ("test", 5))
}


def small(**fields: object):
    return from_images(Pixels(**{"name": "digits", **fields}), SPLITS)


def draws(task, key, steps: int, size: int):
    draw = jax.jit(task.draw_at, static_argnums=3)
    return [jax.tree.map(np.asarray, draw(task.data, key, step, size)) for step in range(steps)]


def test_an_epoch_brings_every_image_once_with_its_label(key):
    rows, labels = [], []
    for batch in draws(small(), key, 3, 3):
        assert batch.inputs.shape == (3, 64, 1) and batch.lengths is None
        rows += [tuple(row) for row in np.rint(batch.inputs[:, :, 0] * 16).astype(int)]
        labels += batch.targets.tolist()
    wanted = zip(
        map(tuple, SPLITS["train"].pixels.astype(int)), SPLITS["train"].labels, strict=True
    )
    assert sorted(zip(rows, labels, strict=True)) == sorted(wanted)


def test_one_permutation_holds_for_all_images_and_splits(key):
    straight, permuted = small(), small(order="permuted", permutation=3)
    place = np.random.default_rng(3).permutation(64)
    pairs = [(straight, permuted, split) for split in ("valid", "test")]
    for one, other, split in pairs:
        before, after = (task.held_out(task.data, split)[0].inputs for task in (one, other))
        assert (np.asarray(after) == np.asarray(before)[:, place]).all()
    for before, after in zip(draws(straight, key, 2, 4), draws(permuted, key, 2, 4), strict=True):
        assert (after.inputs == before.inputs[:, place]).all()
    other = small(order="permuted", permutation=4)
    assert (np.asarray(other.data["places"]) != place).any()


def test_rows_enter_as_vectors():
    one, other = (
        small(step=step).held_out(small().data, "test")[0].inputs for step in ("pixel", "row")
    )
    assert other.shape == (5, 8, 8)
    assert (np.asarray(other).reshape(5, 64) == np.asarray(one)[:, :, 0]).all()


def test_padding_is_standard_normal_noise_that_differs_by_row_and_step(key):
    first, second = draws(small(padding=200), key, 2, 4)
    assert first.inputs.shape == (4, 264, 1)
    noise = np.concatenate([first.inputs[:, 64:], second.inputs[:, 64:]])
    assert abs(noise.mean()) < 0.1 and abs(noise.std() - 1) < 0.1
    assert len({row.tobytes() for row in noise}) == 8
    assert (first.inputs[:, :64] == draws(small(), key, 1, 4)[0].inputs).all()


def test_the_first_images_of_a_split_may_do():
    task = small(train=2, valid=3, test=1)
    assert [task.data[part].labels.shape[0] for part in ("train", "valid", "test")] == [2, 3, 1]
    with pytest.raises(ValueError, match=r"test=6: the split has 5 images"):
        small(test=6)


def test_noise_at_the_end_leaves_the_commonest_digit_as_chance():
    counts = np.bincount(SPLITS["train"].labels, minlength=10) + 0.5
    best = (SPLITS["test"].labels == counts.argmax()).mean()
    assert small(padding=1).chance["accuracy"] == pytest.approx(best)
    shares = counts / counts.sum()
    assert small(padding=1).chance["nll"] == pytest.approx(
        -np.log(shares[SPLITS["test"].labels]).mean()
    )


def test_held_out_batches_are_small_enough_and_miss_nothing(monkeypatch):
    from lstm_research.tasks import pixels

    monkeypatch.setattr(pixels, "MOST", 2)
    task = small()
    batches = task.held_out(task.data, "test")
    assert [batch.inputs.shape[0] for batch in batches] == [1, 2, 2]
    found = np.concatenate([batch.targets for batch in batches])
    assert (found == SPLITS["test"].labels).all()


def pinned(monkeypatch, path, name: str = "digits") -> None:
    """Make a file at `path` the one that `name` means."""
    source = SETS[name].source._replace(sha256=sha256(path), name=path.name)
    monkeypatch.setitem(images.SETS, name, SETS[name]._replace(source=source, valid=2, test=2))
    monkeypatch.setenv("LSTM_RESEARCH_DATA", str(path.parent))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,3", r"line 2 is not 65 whole numbers"),
        (",".join(["0"] * 63 + ["", "1"]), r"line 2 is not 65 whole numbers"),
        (",".join(["17"] + ["0"] * 64), r"row 1 has a pixel above 16"),
        (",".join(["0"] * 64 + ["10"]), r"row 1 has a label above 9"),
    ],
)
def test_a_bad_line_of_a_table_is_named(monkeypatch, tmp_path, line, message):
    good, path = ",".join(["0"] * 65), tmp_path / "own.csv.gz"
    path.write_bytes(gzip.compress("\n".join([good, line, *[good] * 5]).encode()))
    pinned(monkeypatch, path)
    with pytest.raises(DataError, match=message):
        Pixels(name="digits").build()


def test_an_archive_without_its_arrays_or_with_other_shapes_is_refused(monkeypatch, tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, x_train=np.zeros((4, 28, 28), np.uint8), y_train=np.zeros(4, np.uint8))
    pinned(monkeypatch, path, "mnist")
    with pytest.raises(DataError, match="no 'x_test', only"):
        Pixels().build()
    square = np.zeros((4, 27, 27), np.uint8)
    np.savez(
        path,
        x_train=square,
        y_train=np.zeros(4, np.uint8),
        x_test=square,
        y_test=np.zeros(4, np.uint8),
    )
    pinned(monkeypatch, path, "mnist")
    with pytest.raises(DataError, match=r"train has shape \(4, 729\), not \(_, 784\)"):
        Pixels().build()


def test_images_as_keras_stores_them_are_read(monkeypatch, tmp_path):
    path, pictures = tmp_path / "own.npz", RANDOM.integers(0, 256, (6, 28, 28), np.uint8)
    labels = np.arange(6, dtype=np.uint8)
    np.savez(path, x_train=pictures[:4], y_train=labels[:4], x_test=pictures[4:], y_test=labels[4:])
    pinned(monkeypatch, path, "mnist")
    monkeypatch.setitem(images.SETS, "mnist", images.SETS["mnist"]._replace(test=None))
    (batch,) = (task := Pixels().build()).held_out(task.data, "test")
    assert np.asarray(batch.inputs)[:, :, 0] == pytest.approx(pictures[4:].reshape(2, 784) / 255)
    assert [task.data[part].labels.shape[0] for part in ("train", "valid")] == [2, 2]


def stored(folder, images: int = 6):
    """Write the archive of Keras in small: image k is black but for pixel 3, k, which is white."""
    pictures = np.zeros((images, 28, 28), np.uint8)
    pictures[np.arange(images), 3, np.arange(images)] = 255
    labels, path = np.arange(images, dtype=np.uint8), folder / "mnist" / "mnist.npz"
    path.parent.mkdir()
    np.savez(
        path,
        x_train=pictures[:-2],
        y_train=labels[:-2],
        x_test=pictures[-2:],
        y_test=labels[-2:],
    )
    return path


def test_an_archive_that_is_not_the_published_one_is_refused_and_kept(monkeypatch, tmp_path):
    path = stored(tmp_path)
    found, content = sha256(path), path.read_bytes()
    monkeypatch.setenv("LSTM_RESEARCH_DATA", str(tmp_path))
    with pytest.raises(DataError) as caught:
        lr.task("mnist").sample(jax.random.key(0), 2)
    error = caught.value
    assert (error.file, error.expected, error.found) == (str(path), KERAS, found)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "step"), [("mnist", "pixel"), ("mnist", "row"), ("pmnist", "pixel")]
)
def test_each_white_pixel_of_an_archive_comes_at_its_step(monkeypatch, tmp_path, name, step, key):
    source = SETS["mnist"].source._replace(sha256=sha256(stored(tmp_path)))
    monkeypatch.setitem(images.SETS, "mnist", SETS["mnist"]._replace(source=source, valid=1))
    monkeypatch.setenv("LSTM_RESEARCH_DATA", str(tmp_path))
    task = lr.task(name, step=step)
    place = np.random.default_rng(0).permutation(784) if name == "pmnist" else np.arange(784)
    batches = draws(task, key, 1, 3)
    batches += [batch for split in ("valid", "test") for batch in task.held_out(task.data, split)]
    seen = []
    for batch in batches:
        flat = np.asarray(batch.inputs).reshape(len(batch.targets), 784)
        assert (flat.sum(axis=1) == 1).all()
        assert (place[flat.argmax(axis=1)] == 3 * 28 + np.asarray(batch.targets)).all()
        seen.append(sorted(np.asarray(batch.targets).tolist()))
    assert seen == [[0, 1, 2], [3], [4, 5]]


def test_a_file_without_an_address_says_how_to_bring_it(monkeypatch, tmp_path):
    monkeypatch.setenv("LSTM_RESEARCH_DATA", str(tmp_path))
    with pytest.raises(
        DataError, match=r"mnist_14x14_4bit.npz has no public address.*LSTM_RESEARCH_DATA"
    ):
        Pixels(name="mnist_14x14").build()


REAL = {  # images of train, valid, test; steps; digits of the whole set by class
    "digits": ((1197, 300, 300), 64, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]),
    "mnist_14x14": ((55_000, 5_000, 10_000), 196,
                    [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_the_published_counts_are_found(name, data_folder):
    task = Pixels(name=name).build()
    sizes, steps, classes = REAL[name]
    parts = [task.data[part] for part in ("train", "valid", "test")]
    assert tuple(len(part.labels) for part in parts) == sizes
    assert np.bincount(np.concatenate([part.labels for part in parts])).tolist() == classes
    assert parts[0].pixels.shape[1] == steps
    assert 0.09 < task.chance["accuracy"] < 0.12  # the last pixel is a corner
