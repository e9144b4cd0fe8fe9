"""Compose, build and shape-check every YAML, without training: what `lstm-research check` prints."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lstm_research import catalogue, sweep
from lstm_research.config import RunSpec
from lstm_research.line import GROUPS
from lstm_research.program import Program
from lstm_research.signature import member, program, signature
from lstm_research.tasks.data import DataError


class Finding(NamedTuple):
    """One YAML: sound, faulty, or not to be built here (its data are not at hand)."""

    name: str
    verdict: str  # "ok" | "no data" | "fault"
    detail: str


def check() -> Iterator[Finding]:
    """Yield a finding for every YAML: the training step of each is traced, no number is computed."""
    for group in GROUPS:
        for name in catalogue.names(group):
            yield examine(f"{group}/{name}", [f"{group}={name}"])
    for name in catalogue.names("studies"):
        yield study(name)


def examine(name: str, overrides: list[str]) -> Finding:
    """Build one spec and trace its training step."""
    try:
        (spec,) = sweep.specs(overrides)
        made = shapes(spec)
    except DataError as error:
        return Finding(name, "no data", str(error).splitlines()[0])
    except Exception as error:  # whatever it is, it belongs beside the name of the file
        return Finding(name, "fault", f"{type(error).__name__}: {error}")
    return Finding(name, "ok", f"{made.parameters} parameters")


def study(name: str) -> Finding:
    """Build every spec of a study."""
    try:
        count = len(sweep.study(name))
    except Exception as error:
        return Finding(f"studies/{name}", "fault", f"{type(error).__name__}: {error}")
    return Finding(f"studies/{name}", "ok", f"{count} runs")


def shapes(spec: RunSpec) -> Program:
    """Trace one training step and one evaluation of a spec."""
    made = program(signature(spec))
    state = jax.eval_shape(lambda: made.begin(member(spec)))
    after, _, _ = jax.eval_shape(made.steps, state, made.task.data, jnp.int32(0), jnp.int32(1))
    if jax.tree.map(jnp.shape, after) != jax.tree.map(jnp.shape, state):
        raise ValueError("a training step changes the shapes of its state")
    return made
