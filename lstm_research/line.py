"""The words of a command line: which keys there are, its flags, and its seeds."""

import re
from collections.abc import Sequence

GROUPS = ("cell", "task", "optimizer", "budget", "wrap")
OPTIONAL = ("wrap",)  # null: none of the group
RIM = (
    "tracker",
    "runs",
    "workers",
    "pack",
    "force",
    "take",
)  # settings of the launch, not of the run
PLAIN = ("seed", "study", *RIM)
SEED = re.compile(r"seed=\d+")
MANY = ("-m", "--multirun")
VALUED = ("--cfg", "-c", "--package", "-p", "--info", "-i")  # flags of Hydra that take a value


def flags_and_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the flags, each with its value if it takes one, from the overrides."""
    flags, overrides, words = [], [], iter(arguments)
    for word in words:
        if not word.startswith("-"):
            overrides.append(word)
            continue
        flags.append(word)
        if word in VALUED and (value := next(words, None)) is not None:
            flags.append(value)
    return flags, overrides


def seedless(job: Sequence[str]) -> tuple[str, ...]:
    """Return the overrides of a job without its seeds: jobs that share them are composed once."""
    return tuple(word for word in job if not SEED.fullmatch(word))
