"""A command line composed by a process of its own, while this one imports JAX.

Hydra takes a second for the nine cells of an ablation, and half of one for a single run, which is as long
as half of what has to be imported. The other process is forked before this one has imported anything or
started a thread. Whatever goes wrong there is left to this one, which then composes for itself.
"""

import os
import pickle
from collections.abc import Sequence
from typing import Any, BinaryIO

from lstm_research.cores import usable
from lstm_research.line import MANY, flags_and_overrides

PENDING = list[tuple[list[str], int, BinaryIO]]()  # (arguments, process, what it will say), or none


def begin(arguments: Sequence[str]) -> None:
    """Have a line of `lstm-research run` composed, where there is a second core to do it."""
    if not hasattr(os, "fork") or usable() < 2:
        return
    theirs, ours = os.pipe()
    process = os.fork()
    if process:
        os.close(ours)
        PENDING.append(([*arguments], process, os.fdopen(theirs, "rb")))
        return
    try:
        os.close(theirs)
        said = pickle.dumps(composed(arguments))
        with os.fdopen(ours, "wb") as pipe:
            pipe.write(said)
    finally:
        os._exit(0)


def composed(arguments: Sequence[str]) -> Any:
    """Return what a line is composed to; raises as `compose.every`."""
    from lstm_research import compose

    flags, overrides = flags_and_overrides(arguments)
    return compose.every(overrides, bool({*flags} & {*MANY}))


def found(arguments: Sequence[str]) -> Any:
    """Return what the other process made of this line, None where there is none or it could not."""
    if not PENDING:
        return None
    given, process, pipe = PENDING.pop()
    with pipe:
        said = pipe.read()
    os.waitpid(process, 0)
    return pickle.loads(said) if said and given == [*arguments] else None
