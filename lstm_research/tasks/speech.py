"""Spoken digits: twenty mel bands every ten milliseconds; which digit was it?"""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from lstm_research.axes import Array, Float, Int, Seed, Tree
from lstm_research.initial import fold
from lstm_research.tasks.data import DataError, Source, fetch
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.memoryless import classified
from lstm_research.tasks.order import order, portions
from lstm_research.tasks.task import SPLITS, Batch, Task, even

FILE = Source(
    "fsdd_logmel20_u8.npz",
    ("fsdd_logmel",),
    None,
    "a0295ff5b670047a9982f45730e9ed209a933eec9b9f16aa18038d098ca363e9",
)
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
CLASSES, TAKES = 10, 5  # of fifty takes of each digit and speaker, the first five are the test
MOST = 500  # recordings of a held-out batch


@dataclass(frozen=True)
class Speech:
    """3,000 recordings of ten English digits by six speakers, asked after the last frame.

    speaker  null: the published split, takes 0-4 of everybody are the test (300), here 5-9 the
             validation (300), the rest training (2,400). A name: that speaker is the test and the
             next one the validation (500 each), and neither is heard in training
    longest  frames of 10 ms after which a recording is cut; null: none is. The mean is 42, one in
             a hundred is longer than 90, the longest 226
    centred  of each recording its own mean of each band is taken off first: what a voice and a
             microphone add to every frame (Atal 1974, of cepstra). It takes the recording to its end,
             so this is no input as it comes

    Free Spoken Digit Dataset (Jackson et al., CC BY-SA 4.0), log energy of 20 mel bands, each
    band shifted and scaled to mean 0 and variance 1 over the training frames. Every training
    recording comes once an epoch. `accuracy@frames=41-60` is that of recordings so long.
    """

    kind: Literal["speech"] = "speech"
    speaker: Literal["george", "jackson", "lucas", "nicolas", "theo", "yweweler"] | None = None
    longest: int | None = None
    centred: bool = field(default=False, metadata={"later": True})

    def __post_init__(self) -> None:
        """Raise ValueError where a field makes no sense; no file is opened."""
        if self.speaker is not None:
            one_of("speaker", self.speaker, SPEAKERS)
        if self.longest is not None:
            whole("longest", self.longest, 1, "frames of a recording")

    def build(self) -> Task:
        """Return the task. DataError: the file is absent or damaged."""
        return from_recordings(self, read(fetch(FILE)))


class Recordings(NamedTuple):
    """Recordings laid end to end."""

    frames: UInt8[np.ndarray, "frames bands"] | Float[np.ndarray, "frames bands"]
    starts: Int[np.ndarray, "recordings"]
    lengths: Int[np.ndarray, "recordings"]
    labels: Int[np.ndarray, "recordings"]
    speakers: Int[np.ndarray, "recordings"]  # a place in SPEAKERS
    takes: Int[np.ndarray, "recordings"]


@lru_cache(maxsize=2)
def read(path: Path) -> Recordings:
    """Return the recordings of a file. DataError: an array is missing or does not fit the others."""
    with np.load(path, allow_pickle=False) as file:
        names = ("frames_u8", "lengths", "label", "speaker", "take", "speakers")
        if missing := [name for name in names if name not in file.files]:
            raise DataError(f"{path}: no {missing[0]!r}, only {file.files}", file=str(path))
        frames, lengths, labels, speakers, takes, names = (file[name] for name in names)
    lengths = lengths.astype(np.int32)
    if lengths.sum() != len(frames) or tuple(names) != SPEAKERS:
        raise DataError(
            f"{path}: {lengths.sum()} frames by length, {len(frames)} there; speakers {names}",
            file=str(path),
        )
    starts = np.cumsum(lengths, dtype=np.int32) - lengths
    rest = (each.astype(np.int32) for each in (labels, speakers, takes))
    return Recordings(frames, starts, lengths, *rest)


def chosen(spec: Speech, heard: Recordings) -> dict[str, Int[np.ndarray, "split"]]:
    """Return which recordings make each split."""
    if spec.speaker is None:
        test, valid = heard.takes < TAKES, (heard.takes >= TAKES) & (heard.takes < 2 * TAKES)
    else:
        who = SPEAKERS.index(spec.speaker)
        test, valid = heard.speakers == who, heard.speakers == (who + 1) % len(SPEAKERS)
    parts = {"train": ~(test | valid), "valid": valid, "test": test}
    return {part: np.flatnonzero(which) for part, which in parts.items()}


def centred(heard: Recordings, used: Int[np.ndarray, "recordings"]) -> Recordings:
    """Return recordings less their own means of each band, over the frames that are used of each."""
    pairs = zip(heard.starts, used, strict=True)
    means = np.stack([heard.frames[start : start + count].mean(axis=0) for start, count in pairs])
    return heard._replace(frames=heard.frames - np.repeat(means, heard.lengths, axis=0))


def from_recordings(spec: Speech, heard: Recordings) -> Task:
    """Return the task on recordings already in memory."""
    rows = chosen(spec, heard)
    used = np.minimum(heard.lengths, spec.longest or heard.lengths.max())
    heard = centred(heard, used) if spec.centred else heard
    cut = [heard.frames[heard.starts[row] :][: used[row]] for row in rows["train"]]
    seen = np.concatenate(cut).astype(float)
    mean, scale = seen.mean(axis=0), seen.std(axis=0) + 1e-6
    longest = int(used.max())
    data = {
        "frames": jnp.pad(
            jnp.asarray((heard.frames - mean) / scale, float), ((0, longest), (0, 0))
        ),
        **{
            part: jnp.asarray(np.stack([heard.starts[which], used[which], heard.labels[which]]))
            for part, which in rows.items()
        },
    }
    draw_at = lambda data, key, step, size: _drawn(data, key, step, size, longest)
    return Task(
        name="speech",
        readout="last",
        loss="cross_entropy",
        outputs=CLASSES,
        features=heard.frames.shape[1],
        draw=lambda data, key, size: draw_at(data, key, 0, size),
        draw_at=draw_at,
        held_out=lambda data, split: _held_out(data, split, longest),
        data=data,
        metric="accuracy",
        goal="max",
        chance=_chance(heard, used, rows, mean, scale),
        slices=even("frames", int(used.min()), min(longest, 100), 5),
        ceiling={"accuracy": 1.0, "nll": 0.0},
        source="Jackson et al. 2016, Free Spoken Digit Dataset",
    )


def laid(data: Tree, rows: Int[Array, "three batch"], longest: int) -> Batch:
    """Return recordings, each given by its start, its length and its label, padded with zeros."""
    starts, lengths, labels = rows
    inside = jnp.arange(longest) < lengths[:, None]
    cut = lambda start: jax.lax.dynamic_slice_in_dim(data["frames"], start, longest)  # in one piece
    inputs: Float[Array, "batch time bands"] = jax.vmap(cut)(starts) * inside[..., None]
    return Batch(inputs, labels, jnp.ones(labels.shape[0]), lengths, extent=lengths)


_laid = jax.jit(laid, static_argnums=2)


def _drawn(data: Tree, key: Seed, step: Int[Array, ""] | int, size: int, longest: int) -> Batch:
    rows = order(fold(key, "order"), step, size, data["train"].shape[1])
    return laid(data, data["train"][:, rows], longest)


def _held_out(data: Tree, split: str, longest: int) -> tuple[Batch, ...]:
    one_of("split", split, SPLITS)
    rows = data[split]
    return tuple(_laid(data, rows[:, part], longest) for part in portions(rows.shape[1], MOST))


def _chance(
    heard: Recordings, used: np.ndarray, rows: dict[str, np.ndarray], mean: Array, scale: Array
) -> dict[str, float]:
    """Return what the last frame of a recording foretells."""
    last = lambda part: heard.frames[heard.starts[rows[part]] + used[rows[part]] - 1]
    seen = lambda part: (last(part) - mean) / scale
    return classified(
        seen("train"),
        heard.labels[rows["train"]],
        seen("test"),
        heard.labels[rows["test"]],
        CLASSES,
    )
