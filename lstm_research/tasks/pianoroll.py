"""Piano rolls: read from a checked file, laid end to end, cut or packed into rows; two baselines.

A split is one array of frames, with the start and the length of each piece. The longest piece of
Nottingham is seven times the mean; with each padded to it, six frames in seven would be padding.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from lstm_research.axes import Array, Bool, Float, Int
from lstm_research.tasks.data import DataError

KEYS = 88  # column i is MIDI pitch 21 + i
SPLITS = {"train": "traindata", "valid": "validdata", "test": "testdata"}  # names in the file
Frames = UInt8[np.ndarray, "_ keys"]  # one piece: 0 or 1; pieces differ in length
Counts = Float[np.ndarray, "*before after keys"]


class Rolls(NamedTuple):
    """Pieces laid end to end."""

    frames: UInt8[Array, "frames keys"]
    starts: Int[Array, "pieces"]
    lengths: Int[Array, "pieces"]


class Packed(NamedTuple):
    """Rows that hold piece after piece; row r at step t reads frames[index[r, t]]."""

    frames: UInt8[Array, "frames keys"]
    index: Int[Array, "rows time"]
    resets: Bool[Array, "rows time"]
    lengths: Int[Array, "rows"]


@lru_cache(maxsize=4)
def read(path: Path, checksum: str) -> Mapping[str, tuple[Frames, ...]]:
    """Return the pieces of each split of a MATLAB file; `checksum` is that of the verified file.

    DataError: not the layout of Boulanger-Lewandowski's data as Bai et al. distribute them.
    """
    from scipy.io import loadmat  # here, for it is slow to import and most tasks read no file

    content = loadmat(path)
    splits = {}
    for split, key in SPLITS.items():
        if key not in content:
            raise DataError(f"{path}: no {key!r}, only {sorted(content)}", file=str(path))
        splits[split] = tuple(np.asarray(piece, np.uint8) for piece in content[key].ravel())
        for number, piece in enumerate(splits[split]):
            if piece.ndim != 2 or piece.shape[1] != KEYS or len(piece) < 2 or piece.max() > 1:
                raise DataError(
                    f"{path}: {key}[{number}] has shape {piece.shape}; "
                    f"must be zeros and ones, at least two frames of {KEYS} keys",
                    file=str(path),
                )
    return splits


def lay(pieces: Sequence[Frames]) -> Rolls:
    """Lay pieces end to end."""
    lengths = np.array([len(piece) for piece in pieces], np.int32)
    starts = np.cumsum(lengths, dtype=np.int32) - lengths
    return Rolls(jnp.asarray(np.concatenate(pieces)), jnp.asarray(starts), jnp.asarray(lengths))


def pack(rolls: Rolls) -> Packed:
    """Pack every transition of every piece into rows about as long as the longest piece.

    The last frame of a piece is only ever a target, so a piece takes one step less than it has
    frames. The longest piece goes first, each to the row that is shortest by then.
    """
    starts, steps = np.asarray(rolls.starts), np.asarray(rolls.lengths) - 1
    rows = max(1, int(steps.sum()) // int(steps.max()))
    used = np.zeros(rows, np.int32)
    placed = []
    for piece in np.argsort(-steps, kind="stable"):
        row = int(used.argmin())
        placed.append((row, int(used[row]), int(starts[piece]), int(steps[piece])))
        used[row] += steps[piece]
    index = np.zeros((rows, int(used.max())), np.int32)
    resets = np.zeros(index.shape, bool)
    for row, at, start, length in placed:
        index[row, at : at + length] = np.arange(start, start + length)
        resets[row, at] = True
    return Packed(rolls.frames, jnp.asarray(index), jnp.asarray(resets), jnp.asarray(used))


class Baselines(NamedTuple):
    """Nats per frame of predictors that treat every key alone."""

    marginal: float  # how often the key sounds
    markov: float  # how often it sounds after sounding, and after silence


def baselines(train: Sequence[Frames], test: Sequence[Frames]) -> Baselines:
    """Fit both on the transitions of `train` and score them on those of `test`.

    The score sums over keys and averages over frames 2..T of all pieces. Half a count is added to
    each outcome, for keys that training never heard. On test: JSB Chorales 11.09 and 10.49,
    Nottingham 10.26 and 5.15.
    """
    fitted, scored = _transitions(train), _transitions(test)
    frames = scored.sum() / KEYS
    nll = lambda seen, asked: -(asked * np.log(_shares(seen))).sum() / frames
    marginal = nll(fitted.sum(axis=0), scored.sum(axis=0))
    return Baselines(float(marginal), float(nll(fitted, scored)))


def _transitions(pieces: Sequence[Frames]) -> Counts:
    """Count, for each key, the pairs (silent or sounding, silent or sounding one frame later)."""
    before = np.concatenate([piece[:-1] for piece in pieces]).astype(bool)
    after = np.concatenate([piece[1:] for piece in pieces]).astype(bool)
    both = (before & after).sum(axis=0)
    was, becomes = before.sum(axis=0), after.sum(axis=0)
    counts = [[len(before) - was - becomes + both, becomes - both], [was - both, both]]
    return np.array(counts, np.float64)


def _shares(counts: Counts) -> Counts:
    return (counts + 0.5) / (counts + 0.5).sum(axis=-2, keepdims=True)
