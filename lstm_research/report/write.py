"""The page on disk: written whole or not at all, and again whenever the store has changed."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from lstm_research import store
from lstm_research.config import named
from lstm_research.disk import StoreError, explained
from lstm_research.disk import write as replace
from lstm_research.report.data import data
from lstm_research.report.page import page


class Wanted(NamedTuple):
    """What a page is made of: a store, one study of it or all, the baseline, and where it goes."""

    root: Path
    out: Path
    study: str | None = None
    baseline: str | None = None


class Written(NamedTuple):
    """A page that was written: its size in bytes, and how many runs it shows."""

    size: int
    runs: int


def write(wanted: Wanted, refresh: float | None = None) -> Written:
    """Write the page; refresh: seconds after which it loads itself again.

    Raises StoreError where there is no run or no place to write to, ValueError for a baseline that is
    no row.
    """
    records = store.load_runs(wanted.root)
    if wanted.study is not None:
        records = [record for record in records if record.study == wanted.study]
    if not any(record.spec for record in records):
        of = f" of study {wanted.study!r}" if wanted.study else ""
        raise StoreError(f"no runs{of} in {wanted.root}; lstm-research quickstart makes some")
    names = named("cell"), named("task"), named("wrap")
    found = data(records, *names, baseline=wanted.baseline)
    made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
    studies = wanted.study or ", ".join(sorted({record.study for record in records}))
    around = {"made": made, "root": str(wanted.root), "refresh": refresh}
    text = page({**found, **around}, f"lstm-research: {studies}").encode()
    with explained(wanted.out):
        wanted.out.parent.mkdir(parents=True, exist_ok=True)
        replace(wanted.out, text)
    return Written(len(text), len(found["runs"]))


def watch(
    wanted: Wanted,
    every: float,
    tell: Callable[[Written], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Write the page whenever the store has changed, looking every so many seconds, until interrupted.

    A store that is still empty is waited for. The last page, after the interrupt, loads itself no more.
    """
    seen = None
    try:
        while True:
            now = fingerprint(wanted.root)
            if now and now != seen:
                tell(write(wanted, every))
                seen = now
            sleep(every)
    except KeyboardInterrupt:
        if seen is not None:
            tell(write(wanted))


def fingerprint(root: Path) -> frozenset[tuple[str, int, int]]:
    """Return what changes when a run of a store does: its files that a page reads, with time and size."""
    found = set()
    for mark in ("spec.yaml", "metrics.jsonl", "result.json", "inspect/*"):
        for depth in ("", "*/", "*/*/"):
            for file in root.glob(f"{depth}{mark}"):
                try:
                    known = file.stat()
                except FileNotFoundError:  # wiped between the look and this
                    continue
                found.add((str(file), known.st_mtime_ns, known.st_size))
    return frozenset(found)
