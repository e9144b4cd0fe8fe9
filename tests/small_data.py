"""Tasks on small data of their own sort, so that the contract of every task needs no file."""

import os
import string
import tempfile
from pathlib import Path

import numpy as np

from lstm_research.tasks.anomaly import Anomaly
from lstm_research.tasks.archive import checked
from lstm_research.tasks.characters import numbered
from lstm_research.tasks.forecasting import Forecasting
from lstm_research.tasks.images import Images
from lstm_research.tasks.pixels import Pixels, from_images
from lstm_research.tasks.sequences import Sequences, from_archive
from lstm_research.tasks.speech import Recordings, Speech, from_recordings
from lstm_research.tasks.task import Task
from lstm_research.tasks.text import Text, from_parts

COUNTS = {"train": 9, "valid": 4, "test": 5}


def pixels(**fields: object) -> Task:
    """Return eighteen random images."""
    random = np.random.default_rng(2)
    image = lambda count: Images(
        random.integers(0, 17, (count, 64), np.uint8), random.integers(0, 10, count, np.uint8)
    )
    splits = {part: image(count) for part, count in COUNTS.items()}
    return from_images(Pixels(**{"name": "digits", **fields}), splits)


def recordings() -> Recordings:
    """Return one recording of one digit for every speaker and each of twelve takes."""
    random = np.random.default_rng(4)
    speakers, takes = (each.ravel() for each in np.mgrid[:6, :12])
    lengths = random.integers(2, 9, 72)
    frames = random.integers(0, 256, (lengths.sum(), 4), np.uint8)
    starts, labels = np.cumsum(lengths) - lengths, random.integers(0, 10, 72)
    return Recordings(frames, starts, lengths, labels, speakers, takes)


def speech(**fields: object) -> Task:
    """Return seventy-two random recordings."""
    return from_recordings(Speech(**fields), recordings())


def sequences(classes: bool, step: bool, **fields: object) -> Task:
    """Return eighteen random rows of floats, or of tokens where each step has a class."""
    random = np.random.default_rng(6)
    asked = (18, 5) if step else (18,)
    inputs = random.integers(0, 7, (18, 5)) if step else random.normal(size=(18, 5, 2))
    targets = random.integers(0, 3, asked) if classes else random.normal(size=(*asked, 2))
    split = np.repeat(list(COUNTS), list(COUNTS.values()))
    lengths = random.integers(1, 6, 18)
    return from_archive(Sequences(**fields), checked("here", inputs, targets, split, lengths))


def letters(count: int, seed: int = 0) -> str:
    """Return a text of that many letters; every letter of the alphabet is among the first 26."""
    drawn = np.random.default_rng(seed).integers(0, 26, max(0, count - 26))
    return (string.ascii_lowercase + "".join(string.ascii_lowercase[k] for k in drawn))[:count]


def text(train: int = 150, valid: int = 41, test: int = 33, **fields: object) -> Task:
    """Return a text of random letters."""
    sizes = {"train": train, "valid": valid, "test": test}
    parts = {part: letters(size, seed) for seed, (part, size) in enumerate(sizes.items())}
    return from_parts(Text(**fields), numbered("here", parts, "train"))


def table(**fields: object) -> Task:
    """Return a forecast of two columns of a table of 200 lines."""
    random = np.random.default_rng(8)
    lines = ["load,heat", *(f"{a:.3f},{b:.3f}" for a, b in random.normal(size=(200, 2)))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.csv"
        path.write_text(os.linesep.join(lines))
        return Forecasting(series="csv", path=str(path), window=20, washout=4, **fields).build()


SHORT = {"steps": 300, "window": 20, "washout": 5, "horizon": 3}
BUILDS = {
    "pixels": pixels,
    "pixels row permuted noise": lambda: pixels(step="row", order="permuted", padding=3),
    "pixels smallest": lambda: pixels(train=2, valid=1, test=1),
    "speech": speech,
    "speech speaker": lambda: speech(speaker="yweweler", longest=4),
    "forecasting": Forecasting(**SHORT).build,
    "forecasting narma": Forecasting(**(SHORT | {"series": "narma10", "horizon": 1})).build,
    "forecasting csv": lambda: table(targets=("heat",), inputs=("load", "heat"), horizon=2),
    "forecasting quantiles": lambda: table(quantiles=3, horizon=1),
    "forecasting smallest": Forecasting(steps=400, window=1, washout=0, horizon=1).build,
    "anomaly": Anomaly(length=130, held_out=20, rate=0.5).build,
    "anomaly smallest": Anomaly(length=97, held_out=100, rate=0.9).build,
    "text": lambda: text(window=6, streams=9),
    "text afresh": lambda: text(window=12, streams=4, carried=False),
    "text smallest": lambda: text(train=26, valid=2, test=3, window=1, streams=9),
    "sequences": lambda: sequences(classes=True, step=False, standardise=True),
    "sequences step": lambda: sequences(classes=True, step=True),
    "sequences floats": lambda: sequences(classes=False, step=True),
}
REFUSED = [
    (Pixels, {"name": "mnits"}, r"name.*'mnits'.*'mnist'"),
    (Pixels, {"order": "permutated"}, r"order.*'permutated'.*'permuted'"),
    (Pixels, {"padding": -1}, r"padding=-1: .*>= 0"),
    (Pixels, {"train": 0}, r"train=0: .*>= 1"),
    (Speech, {"speaker": "teo"}, r"speaker.*'teo'.*'theo'"),
    (Speech, {"longest": 0}, r"longest=0: .*>= 1"),
    (Forecasting, {"series": "lorentz"}, r"series.*'lorentz'.*'lorenz'"),
    (Forecasting, {"horizon": 0}, r"horizon=0: .*>= 1"),
    (Forecasting, {"window": 50}, r"window=50: .*>= 51"),
    (Forecasting, {"quantiles": 4}, r"quantiles=4: must be odd"),
    (Forecasting, {"valid": 1.5}, r"valid=1.5: a share"),
    (Forecasting, {"valid": 0.5, "test": 0.5}, r"valid=0.5: with test=0.5 nothing is left"),
    (Forecasting, {"series": "narma10", "horizon": 2}, r"horizon=2: narma10"),
    (Anomaly, {"length": 96}, r"length=96: .*>= 97"),
    (Anomaly, {"rate": 0.0}, r"rate=0.0: a share"),
    (Anomaly, {"noise": -0.1}, r"noise=-0.1: "),
    (Text, {"window": 0}, r"window=0: .*>= 1"),
    (Text, {"vocabulary": "al"}, r"vocabulary.*'al'.*'all'"),
    (Text, {"test": 0.0}, r"test=0.0: a share"),
    (Sequences, {"loss": "bernouli"}, r"loss.*'bernouli'.*'bernoulli'"),
    (Sequences, {"classes": 0}, r"classes=0: .*>= 1"),
    (Sequences, {"sha256": "xyz"}, r"sha256='xyz': .*64"),
]  # fmt: skip
