"""The runs of an experiment as lines of JSON: from the store, committed, and never run a second time."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from race.machine import load, processor

from lstm_research import store, sweep
from lstm_research.config import RunSpec
from lstm_research.plain import decode, encode

Line = dict[str, Any]  # row, setting, spec, environment, result, processor and its load when kept
ENDED = ("finished", "solved", "diverged")


def key(spec: RunSpec) -> str:
    """Return the name of a run, that of its folder."""
    return store.spec_hash(spec.resolved())


def specs(settings: Mapping[str, Any], study: str, seeds: int) -> list[RunSpec]:
    """Return the runs of a setting, a seed each."""
    words = [f"{name}={value}" for name, value in settings.items()]
    return sweep.specs([*words, f"study={study}", f"seed=range({seeds})"], sweep=True)


def read(path: Path) -> list[Line]:
    """Return the lines of a file; none where there is no file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [decode(each) for each in text.splitlines()]


def write(path: Path, lines: Iterable[Line]) -> None:
    """Write lines to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(encode(each) + "\n" for each in lines)
    path.write_text(text, encoding="utf-8")


def known(path: Path | None, root: Path, study: str) -> dict[str, Line]:
    """Return the runs of a file and those that ended in the store, by name; the file's come first."""
    found = {store.spec_hash(each["spec"]): each for each in (read(path) if path else [])}
    for record in store.load_runs(root / study) if (root / study).is_dir() else []:
        if record.status in ENDED:
            fields = {name: getattr(record, name) for name in ("spec", "environment", "result")}
            place = {"processor": processor(), "load": load()}
            found.setdefault(store.spec_hash(record.spec), fields | place)
    return found
