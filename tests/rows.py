"""Every legal row of switches, found by asking `GateSpec` for all combinations."""

import itertools
from functools import cache

import jax
import numpy as np

from lstm_research.gated import GateSpec, Switches, switches

BITS = (
    "input_gate",
    "forget_gate",
    "output_gate",
    "reset_gate",
    "reset_bias",
    "coupled",
    "squash_input",
    "squash_output",
    "half_slope",
)
EYES = ("", "i", "f", "o", "if", "io", "fo", "ifo")


@cache
def legal() -> tuple[GateSpec, ...]:
    """Return every spec that GateSpec does not refuse, shift in {0, 1}."""
    found = []
    for bits in itertools.product((False, True), repeat=len(BITS)):
        for peephole, shift in itertools.product(EYES, (0.0, 1.0)):
            try:
                found.append(
                    GateSpec(**dict(zip(BITS, bits, strict=True)), peephole=peephole, shift=shift)
                )
            except ValueError:
                continue
    return tuple(found)


def table(specs, dtype) -> Switches:
    """Return rows stacked into arrays, one axis in front."""
    stacked = jax.tree.map(lambda *column: np.array(column), *(switches(spec) for spec in specs))
    return stacked._replace(shift=stacked.shift.astype(dtype))
