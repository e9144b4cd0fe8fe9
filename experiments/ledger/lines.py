"""The runs of an experiment as lines of JSON: from the store, committed, and never run a second time."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from race.machine import load, processor

from lstm_research import store, sweep
from lstm_research.config import RunSpec
from lstm_research.plain import decode, encode

Line = dict[str, Any]  # row, setting, spec, environment, result, processor and its load when kept


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
    for name, record in ended(root, study):
        found.setdefault(name, kept(record) | {"processor": processor(), "load": load()})
    return found


def ended(root: Path, study: str) -> Iterator[tuple[str, store.Record]]:
    """Return the runs of a study that are not run again, each with its name."""
    for record in store.load_runs(root / study) if (root / study).is_dir() else []:
        if record.status in store.DONE:
            yield store.spec_hash(record.spec), record


def kept(record: store.Record) -> Line:
    """Return what every experiment keeps of a run."""
    return {name: getattr(record, name) for name in ("spec", "environment", "result")}
