"""Runs of the store as pages of a dashboard: followed while they go on, or replayed afterwards.

The one decision: nothing reaches a dashboard that is not in the store first, so a replay tells what
following told, and the order of deaths does not matter. `serve` is the life of a child process that
follows (see `child.py`); `replay` is what `lstm-research sync` does.
"""

import contextlib
import hashlib
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from lstm_research.plain import decode, encode
from lstm_research.store import Record, load_run
from lstm_research.trackers.content import Told, clean, history, told
from lstm_research.trackers.sent import Busy, Claim, Place, fingerprint, there

TICK = 0.5  # seconds between two looks at the curves
OPEN = 64  # pages open at once; of a wider pack the others wait their turn


class Page(Protocol):
    """One run in a dashboard."""

    def log(self, row: Mapping[str, Any]) -> None:
        """Add a row of history."""
        ...

    def finish(self, run: Told) -> None:
        """Add the final numbers and the pictures, and close the page."""
        ...


class Dashboard(Protocol):
    """Somewhere that runs are sent to."""

    place: Place

    def open(self, run: Told) -> Page:
        """Start the page of a run; one of the same id that is there already is replaced."""
        ...

    def table(self, study: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Show the table of a study in place of an earlier one."""
        ...


class Mirror:
    """A page and how far the curve has been read into it."""

    def __init__(self, dashboard: Dashboard, path: Path, variant: str | None = None) -> None:
        record = load_run(path)
        if not record.spec:
            raise ValueError(f"{path}: no spec.yaml that can be read")
        self.path, self.variant, self.read = path, variant, 0
        self.claim = Claim(path, dashboard.place)
        try:
            self.page = dashboard.open(told(record, variant))
        except BaseException:
            self.claim.release()
            raise

    def follow(self) -> None:
        """Log the lines that have come since the last look."""
        with (
            contextlib.suppress(FileNotFoundError),
            open(self.path / "metrics.jsonl", "rb") as file,
        ):
            file.seek(self.read)
            whole, newline, _ = file.read().rpartition(b"\n")
            for line in whole.splitlines() if newline else ():
                self.page.log(history(decode(line.decode())))
            self.read += len(whole) + len(newline)

    def finish(self) -> None:
        """Log the rest and the final numbers, close the page, and remember a run that has ended."""
        try:
            stands = fingerprint(self.path)
            self.follow()
        except BaseException:
            self.claim.release()
            raise
        self.close(stands)

    def close(self, stands: str | None = None) -> None:
        """Close the page; stands: the fingerprint of what it shows, remembered if the run has ended."""
        of = None
        try:
            record = load_run(self.path)
            self.page.finish(told(record, self.variant))
            of = stands if record.result else None
        finally:
            self.claim.release(of)


# ------------------------------------------------------------------ afterwards


class Sent(NamedTuple):
    """What became of a run in a replay: "sent", "there" already, "busy" or "fault"."""

    record: Record
    verdict: str
    fault: Exception | None = None


def replay(
    records: Iterable[Record],
    dashboard: Dashboard,
    variant: Callable[[Mapping], str | None] = lambda spec: None,
    again: bool = False,
) -> Iterator[Sent]:
    """Send runs that a dashboard does not have, and yield each as it is done.

    variant: from a resolved spec to its name in tables. again: send also what is there.
    """
    for record in records:
        if not again and there(record.path, dashboard.place):
            yield Sent(record, "there")
            continue
        try:
            Mirror(dashboard, record.path, variant(record.spec)).finish()
            yield Sent(record, "sent")
        except Busy:
            yield Sent(record, "busy")
        except Exception as error:
            yield Sent(record, "fault", error)


def tabled(
    folder: Path,
    dashboard: Dashboard,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    again: bool = False,
) -> bool:
    """Send the table of the study in `folder` if it is news; say whether it was."""
    of = hashlib.sha256(encode([columns, rows]).encode()).hexdigest()
    if not again and there(folder, dashboard.place, of):
        return False
    claim, arrived = Claim(folder, dashboard.place), None
    try:
        dashboard.table(folder.name, columns, clean(rows))
        arrived = of
    finally:
        claim.release(arrived)
    return True


# ------------------------------------------------------------------ meanwhile, in a child


class Mirrors:
    """The runs that a child follows, by folder; one that fails costs the others nothing."""

    def __init__(self, dashboard: Dashboard, alive: int) -> None:
        self.dashboard, self.alive = dashboard, alive
        self.open: dict[Path, Mirror] = {}
        self.waiting: dict[Path, str | None] = {}  # started, and not yet open: their names
        self.faults = 0

    def take(self, event: str, path: Path, variant: str | None = None) -> None:
        """Do what an event asks for: "started", "finished", or "tick" for a look at every curve."""
        if event == "tick":
            for each in list(self.open):
                self.do(each, self.open[each].follow)
        elif event == "started":
            if path in self.open:  # an earlier attempt, whose curve is gone
                self.do(path, self.open.pop(path).close)
            self.waiting[path] = variant
        else:
            self.end(path)
        while self.waiting and len(self.open) < OPEN:
            self.begin(next(iter(self.waiting)))

    def begin(self, path: Path) -> None:
        """Open the page of a run that waits."""
        variant = self.waiting.pop(path)

        def work() -> None:
            self.open[path] = Mirror(self.dashboard, path, variant)

        self.do(path, work)

    def end(self, path: Path) -> None:
        """Close the page of a run, opening it first where it has waited till now."""
        if path in self.waiting:
            self.begin(path)
        if path in self.open:
            self.do(path, self.open.pop(path).finish)

    def do(self, path: Path, work: Callable[[], None]) -> None:
        """Do a piece of work on one run, and show a sign of life."""
        try:
            work()
        except Exception:
            self.faults += 1
            if mirror := self.open.pop(path, None):
                mirror.claim.release()
            traceback.print_exc()
        with contextlib.suppress(OSError):
            os.write(self.alive, b".")

    def close(self) -> None:
        """End what is open or waits, with what its folder holds now."""
        for path in [*self.open, *self.waiting]:
            self.end(path)


def serve(dashboard: Dashboard) -> int:
    """Mirror the folders that stdin names until it ends; return 1 when one of them failed."""
    alive = os.dup(1)  # what is written here tells the parent that we are not stuck
    os.set_blocking(alive, False)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.closing(Mirrors(dashboard, alive)) as mirrors:
        for event in events():
            mirrors.take(*event)
    return 1 if mirrors.faults else 0


def events() -> Iterator[tuple[str, Path, str | None]]:
    """Yield ("started" or "finished", folder, label) as stdin tells, and a "tick" now and then."""
    waiting, looked = b"", time.monotonic()
    while True:
        ready = select.select([0], [], [], TICK)[0]
        block = os.read(0, 65536) if ready else b""
        *lines, waiting = (waiting + block).split(b"\n")
        for line in lines:
            event, _, rest = line.decode().partition(" ")
            said = decode(rest) if rest.startswith("{") else {"path": rest}
            yield event, Path(said["path"]), said.get("label")
        if ready and not block:
            return
        if time.monotonic() - looked >= TICK:
            yield "tick", Path(), None
            looked = time.monotonic()
