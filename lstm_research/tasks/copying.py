"""Copying memory: read some symbols, wait, recite them.

The loss is averaged over all steps, the blank ones too, because published losses are; accuracy is
scored on the recited symbols alone, because blanks would drown it.
"""

from dataclasses import dataclass, field
from math import log
from typing import Literal

import jax
import jax.numpy as jnp

from lstm_research.axes import Seed
from lstm_research.initial import fold
from lstm_research.tasks.limits import one_of, whole
from lstm_research.tasks.task import Batch, Slices, Success, Task, drawn_once, even

FORMS = {
    "arjovsky": "Arjovsky, Shah & Bengio 2016, arXiv:1511.06464",
    "tcn": "Bai, Kolter & Koltun 2018, arXiv:1803.01271",
}
BLANK = 0


@dataclass(frozen=True)
class Copying:
    """K symbols, T - 1 blanks, a cue; the target is blank, and in the last K steps the symbols.

    arjovsky  the cue is one token, K blanks follow
              (Arjovsky, Shah & Bengio 2016, arXiv:1511.06464)
    tcn       the cue fills the last K + 1 steps (Bai, Kolter & Koltun 2018, arXiv:1803.01271)

    With K = 2, T = 3, blank 0, symbols 1..8 and cue 9::

        arjovsky  inputs 4 7 0 0 9 0 0      targets 0 0 0 0 0 4 7
        tcn       inputs 4 7 0 0 9 9 9      targets 0 0 0 0 0 4 7

    delay     T, in steps; a sequence has T + 2 K of them
    symbols   K, how many are to be remembered
    alphabet  how many symbols there are to choose from
    held_out  sequences of each held-out split
    variable  the delay of each sequence is uniform in 1..T (Henaff, Szlam & LeCun 2016,
              arXiv:1602.06662); it ends with its recital, and accuracy is told by lag, the steps
              from a symbol to its recital

    Where the delay is fixed every symbol is recalled after the same lag; `accuracy@place` is then that
    of the first, the second...
    Departures: inputs are tokens, where Bai et al. feed the number of the token as one real input;
    solved at an accuracy of 0.99, for which no paper sets a criterion.
    """

    kind: Literal["copying"] = "copying"
    delay: int = 100
    form: Literal["arjovsky", "tcn"] = "arjovsky"
    symbols: int = 10
    alphabet: int = 8
    held_out: int = 1000
    variable: bool = field(default=False, metadata={"later": True})

    def __post_init__(self) -> None:
        """Raise ValueError where no such sequence exists."""
        one_of("form", self.form, FORMS)
        whole("delay", self.delay, 1, "steps from the last symbol to the cue")
        whole("symbols", self.symbols, 1, "symbols to remember")
        whole("alphabet", self.alphabet, 2, "one symbol alone would be no choice")
        whole("held_out", self.held_out, 1, "sequences of a held-out split")
        one_of("variable", self.variable, (False, True))

    def build(self) -> Task:
        """Return the task."""
        drawn = _draw_variable if self.variable else _draw
        draw = lambda data, key, size: drawn(self, key, size)
        return Task(
            name=("copying_variable" if self.variable else "copying")
            + ("" if self.form == "arjovsky" else "_tcn"),
            readout="step",
            loss="cross_entropy",
            outputs=self.alphabet + 1,
            vocabulary=self.alphabet + 2,
            symbols=("-", *map(str, range(1, self.alphabet + 1)), ":"),
            draw=draw,
            held_out=drawn_once(draw, self.held_out),
            metric="nll",
            goal="min",
            chance=_chance(self),
            success=Success("accuracy", at_least=0.99),
            slices=_slices(self),
            ceiling={"nll": 0.0, "accuracy": 1.0, "sequence_accuracy": 1.0},
            source=FORMS[self.form],
        )


def _draw(spec: Copying, key: Seed, size: int) -> Batch:
    recalled, cue = spec.symbols, spec.alphabet + 1
    symbols = jax.random.randint(fold(key, "symbols"), (size, recalled), 1, cue)
    fill = lambda steps, token: jnp.full((size, steps), token, symbols.dtype)
    after = BLANK if spec.form == "arjovsky" else cue
    inputs = [symbols, fill(spec.delay - 1, BLANK), fill(1, cue), fill(recalled, after)]
    targets = jnp.concatenate([fill(spec.delay + recalled, BLANK), symbols], axis=1)
    place = jnp.arange(targets.shape[1]) - spec.delay - recalled + 1  # 1 for the first symbol
    mask = jnp.ones(targets.shape)
    return Batch(
        jnp.concatenate(inputs, axis=1),
        targets,
        mask,
        scored=mask * (place > 0),
        extent=jnp.broadcast_to(place, targets.shape),
    )


def _draw_variable(spec: Copying, key: Seed, size: int) -> Batch:
    recalled, cue = spec.symbols, spec.alphabet + 1
    symbols = jax.random.randint(fold(key, "symbols"), (size, recalled), 1, cue)
    delay = jax.random.randint(fold(key, "delays"), (size, 1), 1, spec.delay + 1)
    steps, shape = jnp.arange(spec.delay + 2 * recalled), (size, spec.delay + 2 * recalled)
    lengths, cued = delay + 2 * recalled, steps - (delay + recalled - 1)
    put = lambda place: jnp.take_along_axis(symbols, jnp.clip(place, 0, recalled - 1), axis=1)
    recital = (cued > 0) & (steps < lengths)
    cues = cued == 0 if spec.form == "arjovsky" else (cued >= 0) & (steps < lengths)
    every = jnp.broadcast_to(steps, shape)
    inputs = jnp.where(steps < recalled, put(every), jnp.where(cues, cue, BLANK))
    targets = jnp.where(recital, put(cued - 1), BLANK)
    mask, extent = 1.0 * (steps < lengths), jnp.broadcast_to(delay + recalled, shape)
    return Batch(inputs, targets, mask, lengths[:, 0], scored=1.0 * recital, extent=extent)


def _slices(spec: Copying) -> Slices:
    """Return bins of the lag where it varies, else of the place among the symbols."""
    lag = spec.symbols
    return (
        even("lag", lag + 1, lag + spec.delay) if spec.variable else even("place", 1, spec.symbols)
    )


def _chance(spec: Copying) -> dict[str, float]:
    """Return what one reaches who knows when to recite, but not what: K ln A / (T + 2 K) nats.

    T is the mean delay where it varies.
    """
    steps = ((1 + spec.delay) / 2 if spec.variable else spec.delay) + 2 * spec.symbols
    return {
        "nll": spec.symbols * log(spec.alphabet) / steps,
        "accuracy": 1 / spec.alphabet,
        "sequence_accuracy": spec.alphabet**-spec.symbols,
    }
