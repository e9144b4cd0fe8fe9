"""Anomaly: a heart beats on; where the forecast of the next sample fails, a beat is altered.

Training knows healthy beats alone. The squared error of the forecast is the score of each sample, and
AUROC says how well it ranks altered samples above healthy ones: the share of pairs of one altered and
one healthy sample in which the altered has the larger error, ties counted half.
"""

from dataclasses import dataclass
from math import pi
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research.axes import Array, Bool, Float, Int, Seed
from lstm_research.initial import fold
from lstm_research.tasks.limits import whole
from lstm_research.tasks.memoryless import line
from lstm_research.tasks.task import SPLITS, Batch, Slices, Success, Task, drawn_once

BELLS = np.array(  # P, Q, R, S, T: place in the beat in radians, width, height (McSharry, table 1)
    [
        (-pi / 3, 0.25, 1.2 * 0.25**2),
        (-pi / 12, 0.1, -5 * 0.1**2),
        (0, 0.1, 30 * 0.1**2),
        (pi / 12, 0.1, -7.5 * 0.1**2),
        (pi / 2, 0.4, 0.75 * 0.4**2),
    ]
)
HEALTHY = (1.0, 1.0, 1.0, 1.0, 1.0)
ALTERED = (  # factors of the five heights
    (0.0, 1.0, 1.0, 1.0, 1.0),  # no P wave
    (1.0, 1.0, 0.5, 1.0, 1.0),  # half an R peak
    (1.0, 1.0, 1.0, 1.0, -1.0),  # T wave upside down
)
SHORTEST, LONGEST = 64, 96  # samples of a beat
FAR = 0.1  # a sample counts as altered where the beat is so far from the healthy one


@dataclass(frozen=True)
class Anomaly:
    """Samples x_1..x_t of an electrocardiogram; what is x_{t+1}?

    length    samples of a sequence
    rate      share of beats that are altered in validation and test: no P wave, half an R peak, or
              the T wave upside down, equally often; none in training
    noise     standard deviation of each sample's noise; the R peak is 1 high
    held_out  sequences of each held-out split

    A beat lasts 64 to 96 samples, uniformly, and a sequence starts anywhere in one. The first 96
    samples are not scored. `mse@altered=0` and `mse@altered=1` are the errors on both kinds.
    Heights, widths and places are those of McSharry et al. 2003 (IEEE Trans. Biomed. Eng. 50);
    departures: the five bells are added, where they integrate a differential equation, and scaled to
    R = 1. Solved at an AUROC of 0.9 in validation, which is ours.
    """

    kind: Literal["anomaly"] = "anomaly"
    length: int = 400
    rate: float = 0.1
    noise: float = 0.02
    held_out: int = 200

    def __post_init__(self) -> None:
        """Raise ValueError where no such sequence exists."""
        whole("length", self.length, LONGEST + 1, "longer than the beat that is not scored")
        whole("held_out", self.held_out, 1, "sequences of a held-out split")
        if not 0 < self.rate < 1:
            raise ValueError(f"rate={self.rate}: a share, between 0 and 1")
        if not self.noise >= 0:
            raise ValueError(f"noise={self.noise}: a standard deviation, at least 0")

    def build(self) -> Task:
        """Return the task. ValueError: held_out is so small that no beat of a split is altered."""
        ill = lambda data, key, size: draw(self, key, size, self.rate)
        held_out = drawn_once(ill, self.held_out)
        drawn = {split: held_out(None, split)[0] for split in SPLITS}
        for split, batch in drawn.items():
            assert batch.extent is not None
            if not bool((batch.extent * batch.mask).any()):
                raise ValueError(
                    f"held_out={self.held_out}: no beat of {split} is altered; take more sequences"
                )
        healthy = lambda data, key, size: draw(self, key, size, 0.0)
        train = jax.jit(healthy, static_argnums=2)(None, jax.random.key(0), self.held_out)
        return Task(
            name="anomaly",
            readout="step",
            loss="squared_error",
            outputs=1,
            features=1,
            draw=healthy,
            held_out=held_out,
            metric="auroc",
            goal="max",
            chance=_chance(train, drawn["test"]),
            success=Success("auroc", at_least=0.9),
            score=score,
            slices=Slices("altered", ((0, 0), (1, 1))),
            source="McSharry, Clifford, Tarassenko & Smith 2003",
        )


def draw(spec: Anomaly, key: Seed, size: int, rate: Float[Array, ""] | float) -> Batch:
    """Return sequences in which that share of beats is altered; `extent` is 1 on altered samples."""
    samples = spec.length + 1
    beats = samples // SHORTEST + 2
    lasts = jax.random.uniform(fold(key, "lasts"), (size, beats), None, SHORTEST, LONGEST)
    into = jax.random.uniform(fold(key, "into"), (size, 1)) * lasts[:, :1]
    starts = jnp.cumsum(lasts, axis=1) - lasts - into
    factors = jnp.asarray((HEALTHY, *ALTERED))
    kinds = jax.random.randint(fold(key, "kinds"), (size, beats), 1, len(factors))
    kinds = kinds * jax.random.bernoulli(fold(key, "altered"), rate, (size, beats))
    beat = (jnp.arange(samples)[:, None] >= starts[:, None]).sum(axis=2) - 1
    of = lambda values: jnp.take_along_axis(values, beat, axis=1)
    angle = 2 * pi * (jnp.arange(samples) - of(starts)) / of(lasts) - pi
    places, widths, heights = jnp.asarray(BELLS / [1, 1, BELLS[2, 2]], angle.dtype).T
    bells = heights * jnp.exp(-(((angle[..., None] - places) / widths) ** 2) / 2)
    clean, healthy = (bells * factors[of(kinds)]).sum(axis=-1), bells.sum(axis=-1)
    x = clean + spec.noise * jax.random.normal(fold(key, "noise"), clean.shape, clean.dtype)
    altered = (jnp.abs(clean - healthy) > FAR).astype(jnp.int32)
    mask = jnp.broadcast_to(1.0 * (jnp.arange(spec.length) >= LONGEST), (size, spec.length))
    return Batch(x[:, :-1, None], x[:, 1:, None], mask, extent=altered[:, 1:])


def score(outputs: Array, batch: Batch) -> dict[str, tuple[Array, Array]]:
    """Return auroc of the squared error, with the number of pairs as its weight."""
    assert batch.extent is not None
    error = ((outputs - batch.targets) ** 2).sum(-1)
    scored = batch.mask > 0
    return {"auroc": ranked(error, scored & (batch.extent == 1), scored & (batch.extent == 0))}


def ranked(
    values: Float[Array, "*scored"], one: Bool[Array, "*scored"], other: Bool[Array, "*scored"]
) -> tuple[Array, Array]:
    """Return (pairs in which the value of `one` is the larger, all pairs); a tie is half a pair."""
    values, one, other = (each.ravel() for each in (values, one, other))
    below: Int[Array, "scored"] = jnp.sort(jnp.where(other, values, jnp.inf))
    less, most = (jnp.searchsorted(below, values, side=side) for side in ("left", "right"))
    won = jnp.where(one, (less + most) / 2, 0).sum()
    return won, one.sum(dtype=values.dtype) * other.sum(dtype=values.dtype)


def _chance(train: Batch, test: Batch) -> dict[str, float]:
    """Return what the straight line from the present sample reaches."""
    flat = lambda leaf: np.asarray(leaf, float).reshape(-1, 1)
    fitted = line(flat(train.inputs), flat(train.targets))
    forecast = jnp.asarray(fitted(flat(test.inputs)).reshape(test.targets.shape), float)
    won, pairs = jax.jit(score)(forecast, test)["auroc"]
    gap = np.asarray(forecast - test.targets)[np.asarray(test.mask) > 0]
    return {"auroc": float(won / pairs), "mse": float((gap**2).mean())}
