"""Selective memory: symbols stand anywhere among noise; recite them in order.

A network that keeps everything it hears keeps noise, and one whose clock does not depend on what it
hears does not know when the next symbol comes: the task asks for gates that hear their input.
"""

from dataclasses import dataclass
from math import log
from typing import Literal

import jax
import jax.numpy as jnp

from lstm_research.axes import Seed
from lstm_research.initial import fold
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.task import Batch, Success, Task, drawn_once, even

FORMS = {
    "denoise": "Jing et al. 2017, arXiv:1706.02761",
    "mamba": "Gu & Dao 2023, arXiv:2312.00752",
}
NOISE = 0


@dataclass(frozen=True)
class Selective:
    """K symbols at random places among noise; after a cue, the symbols in their order.

    With K = 2, 4 slots, noise 0, symbols 1..3 and cue 4::

        denoise  inputs 0 3 0 1 4 0 0     targets 0 0 0 0 0 3 1     loss over all steps
        mamba    inputs 0 3 0 1 4 4       targets         3 1       loss over the recital

    form      denoise: one cue, then noise (Jing et al. 2017, arXiv:1706.02761; T = 200 are 209
              slots); mamba: a cue for each symbol (Gu & Dao 2023, arXiv:2312.00752)
    slots     steps among which the symbols stand
    symbols   K, how many are to be remembered
    alphabet  how many symbols there are to choose from
    held_out  sequences of each held-out split

    Accuracy is that of the recital, told by lag, the steps from a symbol to its recital. Departure:
    the program of Jing et al. draws places that may coincide, ours are all different. Solved at
    an accuracy of 0.99, which is ours.
    """

    kind: Literal["selective"] = "selective"
    form: Literal["denoise", "mamba"] = "mamba"
    slots: int = 200
    symbols: int = 16
    alphabet: int = 14
    held_out: int = 1000

    def __post_init__(self) -> None:
        """Raise ValueError where no such sequence exists."""
        one_of("form", self.form, FORMS)
        whole("symbols", self.symbols, 1, "symbols to remember")
        whole("slots", self.slots, self.symbols, "a place for each symbol")
        whole("alphabet", self.alphabet, 2, "one symbol alone would be no choice")
        whole("held_out", self.held_out, 1, "sequences of a held-out split")

    def build(self) -> Task:
        """Return the task."""
        draw = lambda data, key, size: _draw(self, key, size)
        denoise = self.form == "denoise"
        return Task(
            name="denoise" if denoise else "selective_copying",
            readout="step",
            loss="cross_entropy",
            outputs=self.alphabet + 1,
            vocabulary=self.alphabet + 2,
            draw=draw,
            held_out=drawn_once(draw, self.held_out),
            metric="nll" if denoise else "accuracy",
            goal="min" if denoise else "max",
            chance=_chance(self),
            success=Success("accuracy", at_least=0.99),
            slices=even("lag", self.symbols + denoise, self.slots + denoise),
            ceiling={"nll": 0.0, "accuracy": 1.0, "sequence_accuracy": 1.0},
            source=FORMS[self.form],
        )


def _draw(spec: Selective, key: Seed, size: int) -> Batch:
    many, cue, denoise = spec.symbols, spec.alphabet + 1, spec.form == "denoise"
    odds = jax.random.uniform(fold(key, "places"), (size, spec.slots))
    places = jnp.sort(jax.lax.top_k(odds, many)[1], axis=1)
    symbols = jax.random.randint(fold(key, "symbols"), (size, many), 1, cue)
    noise = jnp.full((size, spec.slots), NOISE, symbols.dtype)
    heard = noise.at[jnp.arange(size)[:, None], places].set(symbols)
    fill = lambda steps, token: jnp.full((size, steps), token, symbols.dtype)
    cues = [fill(1, cue), fill(many, NOISE)] if denoise else [fill(many, cue)]
    first = spec.slots + denoise
    targets = jnp.concatenate([fill(first, NOISE), symbols], axis=1)
    recital = jnp.ones((size, 1)) * (jnp.arange(first + many) >= first)
    extent = jnp.pad(first + jnp.arange(many) - places, ((0, 0), (first, 0)))
    inputs, mask = jnp.concatenate([heard, *cues], axis=1), jnp.ones_like(recital)
    return Batch(inputs, targets, mask if denoise else recital, scored=recital, extent=extent)


def _chance(spec: Selective) -> dict[str, float]:
    """Return what one reaches who knows when to recite, but not what."""
    steps = spec.slots + 1 + spec.symbols if spec.form == "denoise" else spec.symbols
    return {
        "nll": spec.symbols * log(spec.alphabet) / steps,
        "accuracy": 1 / spec.alphabet,
        "sequence_accuracy": spec.alphabet**-spec.symbols,
    }
