"""Pixels: an image of a digit read pixel by pixel (or row by row); which digit was it?

Published numbers depend on the set-up more than on the cell: an LSTM has 87.2 % (Bai et al. 2018,
arXiv:1803.01271) to 98.9 % (Cooijmans et al. 2017, arXiv:1603.09025) on MNIST pixel by pixel, 85.7 to
95.4 % permuted. Say which order, width and clipping a number belongs to.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Int, Seed, Tree
from lstm_research.initial import fold
from lstm_research.tasks.data import fetch
from lstm_research.tasks.images import CLASSES, SETS, Images, read
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.memoryless import classified
from lstm_research.tasks.order import order, portions
from lstm_research.tasks.task import SPLITS, Batch, Task, held_out_key

STEPS, ORDERS = ("pixel", "row"), ("rows", "permuted")
MOST = 500  # images of a held-out batch


@dataclass(frozen=True)
class Pixels:
    """Images of ten digits in raster order or under one fixed permutation, asked at the last step.

    name         mnist (28 x 28; 55,000, 5,000 and 10,000 images: the last of the training part are
                 validation), mnist_14x14 (the same, averaged and rounded to 4 bits: from your own
                 folder) or digits (UCI, 8 x 8; 1,197, 300 and 300 in the order of the file, whose
                 publisher gives no split)
    step         what enters at a step: one pixel, or a row of the image
    order        rows: top to bottom, left to right; permuted: pixels shuffled alike in all images
    permutation  which shuffle that is: seed of NumPy's default_rng. Papers differ in theirs
    padding      steps of standard normal noise after the image (Chang et al. 2019,
                 arXiv:1902.09689, with rows of CIFAR-10 up to 1,000 steps in all)
    train        the first so many training images; null: all. valid, test: likewise

    Pixels lie in [0, 1]. Every training image comes once an epoch. Chance knows the last input
    alone: a corner, the last row, or noise.
    """

    kind: Literal["pixels"] = "pixels"
    name: Literal["mnist", "mnist_14x14", "digits"] = "mnist"
    step: Literal["pixel", "row"] = "pixel"
    order: Literal["rows", "permuted"] = "rows"
    permutation: int = 0
    padding: int = 0
    train: int | None = None
    valid: int | None = None
    test: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where a field makes no sense; no file is opened."""
        one_of("name", self.name, tuple(SETS))
        one_of("step", self.step, STEPS)
        one_of("order", self.order, ORDERS)
        whole("permutation", self.permutation, 0, "a seed")
        whole("padding", self.padding, 0, "steps of noise")
        for field in ("train", *SPLITS):
            if getattr(self, field) is not None:
                whole(field, getattr(self, field), 1, "images of a split")

    def build(self) -> Task:
        """Return the task. DataError: the file is absent or damaged."""
        return from_images(self, read(self.name, fetch(SETS[self.name].source)))


def from_images(spec: Pixels, splits: dict[str, Images]) -> Task:
    """Return the task on images already in memory. ValueError: fewer images than asked for."""
    splits = {part: first(part, splits[part], getattr(spec, part)) for part in splits}
    data: dict[str, Any] = jax.tree.map(jnp.asarray, splits)
    data["places"] = jnp.asarray(places(spec, splits["train"].pixels.shape[1]))
    width = features(spec)
    draw_at = lambda data, key, step, size: _drawn(spec, data, key, step, size)
    return Task(
        name=spec.name,
        readout="last",
        loss="cross_entropy",
        outputs=CLASSES,
        features=width,
        draw=lambda data, key, size: draw_at(data, key, 0, size),
        draw_at=draw_at,
        held_out=lambda data, split: _held_out(spec, data, split),
        data=data,
        metric="accuracy",
        goal="max",
        chance=_chance(spec, splits, np.asarray(data["places"])),
        ceiling={"accuracy": 1.0, "nll": 0.0},
        source=SETS[spec.name].paper,
    )


def first(part: str, images: Images, count: int | None) -> Images:
    """Return the first images of a split. ValueError: there are fewer."""
    if count is not None and count > len(images.labels):
        raise ValueError(f"{part}={count}: the split has {len(images.labels)} images")
    return Images(*(leaf[:count] for leaf in images))


def features(spec: Pixels) -> int:
    """Return how many pixels enter at a step."""
    return 1 if spec.step == "pixel" else SETS[spec.name].side


@lru_cache(maxsize=8)
def places(spec: Pixels, pixels: int) -> np.ndarray:
    """Return which pixel stands at each place of the sequence."""
    straight = np.arange(pixels)
    if spec.order == "rows":
        return straight
    return np.random.default_rng(spec.permutation).permutation(straight)


def laid(spec: Pixels, images: Images, place: Array, noise: Seed) -> Batch:
    """Return images as sequences, noise after them."""
    count = images.labels.shape[0]
    pixels, labels = jnp.asarray(images.pixels), jnp.asarray(images.labels)
    floats = pixels[:, place].astype(float) / SETS[spec.name].brightest
    inputs = floats.reshape(count, -1, features(spec))
    if spec.padding:
        after = jax.random.normal(noise, (count, spec.padding, features(spec)), inputs.dtype)
        inputs = jnp.concatenate([inputs, after], axis=1)
    return Batch(inputs, labels.astype(jnp.int32), jnp.ones(count))


def _drawn(spec: Pixels, data: Tree, key: Seed, step: Int[Array, ""] | int, size: int) -> Batch:
    train: Images = data["train"]
    rows = order(fold(key, "order"), step, size, train.labels.shape[0])
    noise = jax.random.fold_in(fold(key, "noise"), step)
    return laid(spec, Images(train.pixels[rows], train.labels[rows]), data["places"], noise)


def _held_out(spec: Pixels, data: Tree, split: str) -> tuple[Batch, ...]:
    one_of("split", split, SPLITS)
    images, key = data[split], held_out_key(split)
    batches = []
    for number, part in enumerate(portions(images.labels.shape[0], MOST)):
        each = Images(images.pixels[part], images.labels[part])
        batches.append(_laid(spec, each, data["places"], jax.random.fold_in(key, number)))
    return tuple(batches)


_laid = jax.jit(laid, static_argnums=0)


def _chance(spec: Pixels, splits: dict[str, Images], place: np.ndarray) -> dict[str, float]:
    """Return what the last input of the sequence foretells."""
    last = place[-features(spec) :]
    seen = lambda images: images.pixels[:, last] / SETS[spec.name].brightest * (not spec.padding)
    train, test = splits["train"], splits["test"]
    labels = (train.labels.astype(int), test.labels.astype(int))
    return classified(seen(train), labels[0], seen(test), labels[1], CLASSES)
