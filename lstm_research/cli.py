"""The command line: the rim where a command is found, and a mistake is one line."""

import gc
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from lstm_research import ahead
from lstm_research.commands import FAILED, INTERRUPTED, MISTAKE
from lstm_research.spelling import nearest

COMMANDS = (
    "quickstart",
    "run",
    "search",
    "table",
    "report",
    "inspect",
    "runs",
    "show",
    "cells",
    "tasks",
    "sync",
    "export",
    "check",
)  # files of `commands/`


def main(arguments: Sequence[str] | None = None, loaded: Callable[[], None] = lambda: None) -> int:
    """Run one command and return its exit code; loaded: called once its packages are there."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if given[0] not in COMMANDS:
        close = nearest(given[0], COMMANDS)
        hint = f" Did you mean {close!r}?" if close else ""
        return say(f"{given[0]!r} is no command.{hint} Commands: {', '.join(COMMANDS)}.", MISTAKE)

    def called() -> int:
        work = command(given[0])
        loaded()
        return work(given[1:])

    return answered(called)


def answered(work: Callable[[], int]) -> int:
    """Return the exit code of some work; a mistake of its user's is one line."""
    try:
        return work()
    except KeyboardInterrupt:
        return say(
            "interrupted; finished runs are kept, and the same line goes on from here", INTERRUPTED
        )
    except Exception as error:
        if (code := meant(error)) is None:
            raise
        return say(str(error), code)


def meant(error: Exception) -> int | None:
    """Return the exit code of an error whose message says all, None for a fault of this package."""
    from lstm_research.catalogue import UnknownName
    from lstm_research.config import ConfigError
    from lstm_research.disk import StoreError
    from lstm_research.start import BadJaxlib
    from lstm_research.tasks.data import DataError

    if isinstance(error, ConfigError | UnknownName):
        return MISTAKE
    return FAILED if isinstance(error, StoreError | DataError | BadJaxlib) else None


def command(name: str) -> Callable[[list[str]], int]:
    """Return the function of a command; only its own packages are loaded."""
    return import_module(f"lstm_research.commands.{name}").main


def entry() -> None:
    """Run the command of this process; an interrupt ends it at once, for the store bears any death.

    Packages are loaded without the collector, which would walk what they hold over and over and find
    nothing: a quarter of the time that they take.
    """
    gc.disable()
    os.environ.setdefault("LSTM_RESEARCH_PROGRAMS", "kept")  # `kept_program.py`
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA: faults are exceptions, logs are pages
    if sys.argv[1:2] == ["run"]:
        ahead.begin(sys.argv[2:])
    code = main(loaded=settled)
    sys.stdout.flush()
    os._exit(code) if code == INTERRUPTED else sys.exit(code)


def settled() -> None:
    """Leave what is loaded out of all collections to come, and let these begin."""
    gc.freeze()
    gc.enable()


def say(message: str, code: int) -> int:
    """Print a message to standard error and return the code."""
    print(message, file=sys.stderr)
    return code


def usage() -> str:
    """Return the commands, a line each."""
    lines = [f"  {name:<12}{(command(name).__doc__ or '').splitlines()[0]}" for name in COMMANDS]
    return (
        "lstm-research COMMAND [...]\n\n"
        + "\n".join(lines)
        + "\n\nlstm-research COMMAND --help tells more."
    )
