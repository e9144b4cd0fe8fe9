"""From the overrides of a command line to the specs of its jobs, before anything is written.

Every job is built, so that a fault in the hundredth is seen before the first has started.
"""

from collections.abc import Sequence
from typing import Any

from lstm_research import catalogue
from lstm_research.config import ConfigError, RunSpec, build
from lstm_research.line import RIM, SEED, seedless

Composed = tuple[list[list[str]], dict[tuple[str, ...], dict[str, Any] | str]]  # of `compose.every`


def composed(overrides: Sequence[str], sweep: bool = False) -> Composed:
    """Return what `compose.every` does; Hydra is imported here, for not every launch needs it."""
    from lstm_research import compose

    return compose.every(overrides, sweep)


def built(data: dict[str, Any]) -> RunSpec:
    """Return the spec of a composed job, without the settings of the launch."""
    return build({key: value for key, value in data.items() if key not in RIM})


def specs(
    overrides: Sequence[str], sweep: bool = False, known: Composed | None = None
) -> list[RunSpec]:
    """Return the spec of every job; raise ConfigError with every fault of every job, once each.

    known: what `compose.every` made of these overrides, where that is done.
    """
    jobs, whole = composed(overrides, sweep) if known is None else known
    found, faults = list[RunSpec](), list[str]()
    for job in jobs:
        seeds = [int(word.partition("=")[2]) for word in job if SEED.fullmatch(word)]
        data = whole[seedless(job)]
        try:
            if isinstance(data, str):
                raise ConfigError(data)
            found.append(built(data | ({"seed": seeds[-1]} if seeds else {})))
        except ConfigError as error:
            faults += [line for line in str(error).splitlines() if line not in faults]
    if faults:
        raise ConfigError("\n".join(faults))
    return found


def study(name: str) -> list[RunSpec]:
    """Return every run of a study: a YAML of `conf/studies` that lists command lines."""
    lines: list[list[str]] = catalogue.document("studies", name)
    return [spec for line in lines for spec in specs([*line, f"study={name}"], sweep=True)]
