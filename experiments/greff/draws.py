"""The nine variants, and the draws of the random search: draw k is the same for every variant.

The ranges are those of Greff et al. 2017. Their rate acts on one sequence at a time, and what their
panel of all trials spans (8.5 to 12.5 nats) fits a gradient that is summed over its frames; ours is a mean
over the frames of a batch, so their range is taken times 60, the mean frames of a chorale.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from lstm_research import catalogue
from lstm_research.config import RunSpec, build
from lstm_research.plain import digest

VARIANTS = {
    "v": "vanilla LSTM",
    "nig": "no input gate",
    "nfg": "no forget gate",
    "nog": "no output gate",
    "niaf": "no input activation function",
    "noaf": "no output activation function",
    "np": "no peepholes",
    "cifg": "coupled input and forget gate",
    "fgr": "full gate recurrence",
}
TRIALS = 32  # draws of each variant
SIZES = (20, 43, 93, 200)  # equal steps of the logarithm from 20 to 200
FRAMES = 60  # mean frames of a chorale
RATE = (1e-6 * FRAMES, 1e-2 * FRAMES)
FRICTION = (0.01, 1.0)  # 1 - momentum
NOISE = (0.0, 1.0)  # standard deviation, on the inputs
CHORALES, BATCH, CROP = 229, 4, 64
EPOCH = -(-CHORALES // BATCH)  # steps
EPOCHS, PATIENCE = 30, 5  # the paper: 150 and 15


class Draw(NamedTuple):
    """One point of the search; its number is also the seed of its runs."""

    number: int
    hidden: int
    rate: float
    momentum: float
    noise: float


def draw(number: int) -> Draw:
    """Return a draw, which depends on its number alone."""
    rng = np.random.default_rng([1503, 4069, number])
    hidden = int(rng.choice(SIZES))
    rate = math.exp(rng.uniform(math.log(RATE[0]), math.log(RATE[1])))
    friction = math.exp(rng.uniform(math.log(FRICTION[0]), math.log(FRICTION[1])))
    noise = rng.uniform(*NOISE)
    return Draw(number, hidden, float(f"{rate:.4g}"), round(1 - friction, 4), round(noise, 4))


def spec(variant: str, drawn: Draw, epochs: int = EPOCHS) -> RunSpec:
    """Return the run of a variant at a draw."""
    return build(
        {
            "cell": cell(variant),
            "task": catalogue.settings("task", "jsb") | {"crop": CROP},
            "network": {"hidden": drawn.hidden},
            "optimizer": {
                "name": "nesterov",
                "rate": drawn.rate,
                "momentum": drawn.momentum,
                "input_noise": drawn.noise,
                "clip_norm": None,
            },
            "budget": {
                "steps": EPOCH * epochs,
                "batch": BATCH,
                "evaluate_every": EPOCH,
                "patience": PATIENCE,
            },
            "seed": drawn.number,
            "study": "odyssey",
        }
    )


def cell(variant: str) -> dict[str, Any]:
    """Return the settings of a variant, its weights started as in the paper: N(0, 0.1²), no forget bias."""
    row = catalogue.settings("cell", f"greff/{variant}")
    forgets = {"forget_bias": 0.0} if row.get("forget_gate", True) else {}
    return row | {"kernel": "normal", "recurrent": "normal"} | forgets


@cache
def names() -> dict[str, str]:
    """Return the variants by the digest of their resolved cell."""
    first = draw(0)
    return {digest(spec(each, first).resolved()["cell"]): each for each in VARIANTS}


def point(variant: str, drawn: Draw) -> dict[str, Any]:
    """Return a trial as a point of `space`."""
    friction = min(max(1 - drawn.momentum, FRICTION[0]), FRICTION[1])
    rate = min(max(drawn.rate, RATE[0]), RATE[1])
    return {
        "rate": rate,
        "hidden size": drawn.hidden,
        "input noise": drawn.noise,
        "momentum": friction,
        "variant": variant,
    }


def space() -> dict[str, Any]:
    """Return what was drawn, and the variant, as distributions of Optuna."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    return {
        "rate": FloatDistribution(*RATE, log=True),
        "hidden size": CategoricalDistribution(SIZES),
        "input noise": FloatDistribution(*NOISE),
        "momentum": FloatDistribution(*FRICTION, log=True),
        "variant": CategoricalDistribution(list(VARIANTS)),
    }
