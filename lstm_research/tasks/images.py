"""Images of digits: read from a checked file into three splits of rows of whole numbers."""

import csv
import gzip
import io
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from lstm_research.tasks.data import DataError, Source

CLASSES = 10
ADDRESS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
DIGITS = "https://raw.githubusercontent.com/scikit-learn/scikit-learn/1.7.2/sklearn/datasets/data/"


class Set(NamedTuple):
    """Where a set lies, the side of its images, its brightest pixel, and its split in file order."""

    source: Source
    side: int
    brightest: int
    valid: int  # the last so many training images
    test: int | None  # the last so many of all; None: the file has a test part
    paper: str


SETS = {
    "mnist": Set(
        Source(
            "mnist.npz",
            ("mnist",),
            ADDRESS,
            "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",  # that of Keras
        ),
        28,
        255,
        5000,
        None,
        "LeCun et al. 1998; pixel by pixel: Le, Jaitly & Hinton 2015, arXiv:1504.00941",
    ),
    "mnist_14x14": Set(
        Source(
            "mnist_14x14_4bit.npz",
            ("mnist_14x14",),
            None,
            "ae1c232ac6ad7f1de706c07c00aff71b3b5935b00c87bec65fda08fd6c2bb204",
        ),
        14,
        15,
        5000,
        None,
        "LeCun et al. 1998, averaged over 2 x 2 pixels, 4 bits",
    ),
    "digits": Set(
        Source(
            "digits.csv.gz",
            ("uci_digits8x8",),
            DIGITS + "digits.csv.gz",
            "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
        ),
        8,
        16,
        300,
        300,
        "Alpaydin & Kaynak 1998, the copy of scikit-learn",
    ),
}


class Images(NamedTuple):
    """One split: an image a row, pixels in raster order."""

    pixels: UInt8[np.ndarray, "images pixels"]
    labels: UInt8[np.ndarray, "images"]


@lru_cache(maxsize=4)
def read(name: str, path: Path) -> dict[str, Images]:
    """Return the splits of a set. DataError: the file has another layout, or names the bad row."""
    known = SETS[name]
    parts = _table(path) if name == "digits" else _arrays(path, packed=name == "mnist_14x14")
    for part, images in parts.items():
        check(f"{path}: {part}", images, known.side**2, known.brightest)
    train, test = parts["train"], parts.get("test")
    if known.test is not None:
        test = Images(*(leaf[-known.test :] for leaf in train))
        train = Images(*(leaf[: -known.test] for leaf in train))
    assert test is not None
    return {
        "train": Images(*(leaf[: -known.valid] for leaf in train)),
        "valid": Images(*(leaf[-known.valid :] for leaf in train)),
        "test": test,
    }


def check(where: str, images: Images, pixels: int, brightest: int) -> None:
    """Raise DataError unless every row has that many pixels in range and a label 0..9."""
    if images.pixels.ndim != 2 or images.pixels.shape[1] != pixels:
        raise DataError(f"{where} has shape {images.pixels.shape}, not (_, {pixels})", file=where)
    if len(images.pixels) != len(images.labels):
        raise DataError(
            f"{where} has {len(images.pixels)} images and {len(images.labels)} labels", file=where
        )
    for what, bad in (
        (f"a pixel above {brightest}", (images.pixels > brightest).any(axis=1)),
        ("a label above 9", images.labels >= CLASSES),
    ):
        if bad.any():
            raise DataError(f"{where}: row {int(bad.argmax())} has {what}", file=where)


def _arrays(path: Path, packed: bool) -> dict[str, Images]:
    """Return what an archive of NumPy holds; packed: two pixels a byte, the left one high."""
    parts = {}
    with np.load(path, allow_pickle=False) as file:
        for part in ("train", "test"):
            names = (f"packed4_{part}" if packed else f"x_{part}", f"y_{part}")
            if missing := [name for name in names if name not in file.files]:
                raise DataError(f"{path}: no {missing[0]!r}, only {file.files}", file=str(path))
            pixels, labels = (file[name] for name in names)
            pixels = pixels.reshape(len(pixels), -1)
            if packed:
                pixels = np.stack([pixels >> 4, pixels & 15], axis=-1).reshape(len(pixels), -1)
            parts[part] = Images(pixels.astype(np.uint8), labels.astype(np.uint8))
    return parts


def _table(path: Path) -> dict[str, Images]:
    """Return what a table of pixels and, last, labels holds."""
    with gzip.open(path, "rb") as file:
        lines = list(csv.reader(io.StringIO(file.read().decode())))
    width = len(lines[0])
    for number, line in enumerate(lines, 1):
        if len(line) != width or not all(cell.isdigit() for cell in line):
            raise DataError(
                f"{path}: line {number} is not {width} whole numbers >= 0", file=str(path)
            )
    values = np.array(lines, dtype=np.uint8)
    return {"train": Images(values[:, :-1], values[:, -1])}
