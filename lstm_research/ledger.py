"""Which sweeps were asked for: `<runs>/sweeps.jsonl`, a line a launch, so that what is missing has a name.

The store knows the runs that were begun. A sweep that was stopped early has others, and the line that goes
on with it; both are written down before the first run starts. A sweep of another Hydra launcher is not.
"""

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from lstm_research import store
from lstm_research.config import RunSpec
from lstm_research.disk import explained

FILE = "sweeps.jsonl"


class Sweep(NamedTuple):
    """A sweep: the command line that runs what is missing, when it was last asked for, its runs."""

    line: str
    started: str
    runs: tuple[str, ...]


def note(root: Path, words: Sequence[str], specs: Sequence[RunSpec]) -> None:
    """Write down a sweep: the words behind `lstm-research` that ask for it, and its runs."""
    runs = [store.find(root, spec.resolved()).relative_to(root).as_posix() for spec in specs]
    started = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps(
        {"line": shlex.join(["lstm-research", *words]), "started": started, "runs": runs}
    )
    with explained(root / FILE) as path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")  # in one piece: two sweeps may share a store


def sweeps(root: str | Path) -> list[Sweep]:
    """Return the sweeps of a store, the latest of each line; a line that is damaged is none."""
    path, found = Path(root) / FILE, {}
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    for line in text.splitlines():
        try:
            told = json.loads(line)
            sweep = Sweep(told["line"], told["started"], tuple(told["runs"]))
        except (ValueError, KeyError, TypeError):
            continue
        found.pop(sweep.line, None)
        found[sweep.line] = sweep
    return list(found.values())


def missing(root: str | Path, sweep: Sweep) -> Counter[str]:
    """Count the runs of a sweep that its line would run: those failed, unfinished, or not begun."""
    found = Counter(store.status(Path(root) / run) for run in sweep.runs)
    names = {"failed": "failed", "unfinished": "unfinished", "absent": "not begun"}
    return Counter({name: found[status] for status, name in names.items() if found[status]})
