"""Text: character after character; which comes next?

Training is back-propagation truncated to windows: `batch` streams run through the text side by side,
step k of an epoch reads window k of each, and the network's carry goes on from window to window, while
no gradient does (Graves 2013, arXiv:1308.0850). Scores are bits per character, bpc = nll / ln 2.
"""

from dataclasses import dataclass
from math import log
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Int, Seed, Tree
from lstm_research.initial import fold
from lstm_research.loss import cross_entropy
from lstm_research.tasks.characters import Text as Parts
from lstm_research.tasks.characters import changed, read
from lstm_research.tasks.data import Source, fetch, own
from lstm_research.tasks.limits import checksum, one_of, whole
from lstm_research.tasks.memoryless import classified
from lstm_research.tasks.task import SPLITS, Batch, Task

SHAKESPEARE = Source(
    "input.txt",
    ("tinyshakespeare",),
    "https://raw.githubusercontent.com/karpathy/char-rnn/"
    "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)
VOCABULARIES = ("train", "all")


@dataclass(frozen=True)
class Text:
    """A text in UTF-8, the end of it held out.

    path        null: Tiny Shakespeare (Karpathy 2015; 1,115,394 characters, 65 different). A file of
                yours; where its name holds "train" and two beside it "valid" and "test" in its place,
                as in ptb.char.train.txt, those are the parts
    window      characters of a training window, through which gradients pass
    carried     the network's state goes on from window to window; false: each starts afresh
    streams     places at which a held-out part is read side by side, each from a fresh state
    valid       share of one file, before the test; test: share at its end
    spaced      each character is a word of its own, as in ptb.char.*.txt: spaces are taken out
    vocabulary  train: a held-out character that training lacks is refused, with its place; all: the
                characters of all parts are numbered
    sha256      checksum that the file (that of training) must have; null: any

    Streams are equally long and lie end to end, from a place that each epoch draws anew: what does
    not fill a window of every stream, fewer than (window + 1) x batch characters, is left out at the
    two ends of an epoch. A carry starts afresh with each epoch. Every held-out character but the first
    is scored once. Chance is the table of pairs of characters.
    """

    kind: Literal["text"] = "text"
    path: str | None = None
    window: int = 100
    carried: bool = True
    streams: int = 20
    valid: float = 0.05
    test: float = 0.05
    spaced: bool = False
    vocabulary: Literal["train", "all"] = "train"
    sha256: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where a field makes no sense; no file is opened."""
        whole("window", self.window, 1, "characters")
        whole("streams", self.streams, 1, "rows of a held-out batch")
        one_of("vocabulary", self.vocabulary, VOCABULARIES)
        for field in SPLITS:
            if not 0 < getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)}: a share, between 0 and 1")
        if self.valid + self.test >= 1:
            raise ValueError(
                f"valid={self.valid}: with test={self.test} nothing is left to train on"
            )
        checksum(self.sha256)

    def build(self) -> Task:
        """Return the task. DataError: the file is absent or damaged, or names what is wrong where."""
        path = fetch(SHAKESPEARE) if self.path is None else own(self.path, self.sha256)
        shares, written = (self.valid, self.test), changed(path)
        return from_parts(self, read(path, written, shares, self.spaced, self.vocabulary))


def from_parts(spec: Text, parts: Parts) -> Task:
    """Return the task on a text in memory."""
    data = {part: jnp.asarray(getattr(parts, part)) for part in ("train", *SPLITS)}
    draw_at = lambda data, key, step, size: _drawn(spec, data["train"], key, step, size)
    return Task(
        name="text",
        readout="step",
        loss="cross_entropy",
        outputs=len(parts.alphabet),
        vocabulary=len(parts.alphabet),
        draw=lambda data, key, size: draw_at(data, key, 0, size),
        draw_at=draw_at,
        held_out=lambda data, split: _held_out(spec, data, split),
        data=data,
        metric="bpc",
        goal="min",
        chance=_chance(parts),
        score=score,
        carried=spec.carried,
        source="Tiny Shakespeare, Karpathy 2015" if spec.path is None else "the user's file",
    )


def _drawn(spec: Text, text: Array, key: Seed, step: Int[Array, ""] | int, size: int) -> Batch:
    """Return window `step` of an epoch. ValueError: the text has not one window for each stream."""
    asked, window = text.shape[0] - 1, spec.window
    windows = asked // (size * window)
    if windows == 0:
        raise ValueError(
            f"window={window}: {size} windows of it are more than the {asked + 1} characters of training"
        )
    epoch, at = jnp.asarray(step) // windows, jnp.asarray(step) % windows
    left = asked - size * windows * window
    place = jax.random.randint(jax.random.fold_in(fold(key, "place"), epoch), (), 0, left + 1)
    starts = place + jnp.arange(size) * windows * window + at * window
    seen = text[starts[:, None] + jnp.arange(window + 1)].astype(jnp.int32)
    fresh = jnp.logical_or(at == 0, not spec.carried)
    return Batch(
        seen[:, :-1], seen[:, 1:], jnp.ones((size, window)), resets=_first(size, window, fresh)
    )


def _first(rows: int, steps: int, fresh: Array | bool) -> Array:
    """Return resets at the first step of every row, if it is fresh."""
    return jnp.broadcast_to((jnp.arange(steps) == 0) & fresh, (rows, steps))


def _held_out(spec: Text, data: Tree, split: str) -> tuple[Batch, ...]:
    """Return the windows of a part in order: row r goes on in row r of the next one."""
    one_of("split", split, SPLITS)
    text = np.asarray(data[split], np.int32)
    asked = len(text) - 1
    rows = min(spec.streams, asked)
    ends = asked * np.arange(rows + 1) // rows
    longest, batches = int(np.diff(ends).max()), []
    for start in range(0, longest, spec.window):
        at = ends[:-1, None] + start + np.arange(spec.window)
        inside = at < ends[1:, None]
        index = np.where(inside, at, 0)
        inputs, targets = (jnp.asarray(text[index + k] * inside) for k in (0, 1))
        mask, lengths = jnp.asarray(1.0 * inside), jnp.asarray(inside.sum(axis=1), jnp.int32)
        resets = _first(rows, spec.window, start == 0 or not spec.carried)
        batches.append(Batch(inputs, targets, mask, lengths, resets))
    return tuple(batches)


def score(outputs: Array, batch: Batch) -> dict[str, tuple[Array, Array]]:
    """Return bpc: bits per character."""
    total, weight = cross_entropy(outputs, batch.targets, batch.mask)
    return {"bpc": (total / log(2), weight)}


def _chance(parts: Parts) -> dict[str, float]:
    """Return what the present character alone foretells."""
    train, test = (np.asarray(text, np.int64) for text in (parts.train, parts.test))
    found = classified(train[:-1], train[1:], test[:-1], test[1:], len(parts.alphabet))
    return found | {"bpc": found["nll"] / log(2)}
