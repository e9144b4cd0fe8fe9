"""What has been sent where, remembered beside the run in `sent-<tracker>.json`.

The one decision: the memory lies in the run's own folder, so that a run which is run again forgets it
with all the rest. The file is also the lock by which two senders of one run stay apart; the kernel
lets go of it when its holder dies.

    to   where the run went: mode, server and project
    of   SHA-256 of the curve, the result and the pictures: what is new is sent again

The table of a study is remembered in the folder of the study in the same way.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple


class Busy(Exception):
    """Another process is sending this run."""


class Place(NamedTuple):
    """Where runs are sent: the name of the tracker, and what tells one target from another."""

    tracker: str
    where: str


class Claim:
    """The right to send one run to one tracker, held until `release`; Busy where another has it."""

    def __init__(self, run: Path, place: Place) -> None:
        self.run, self.place = run, place
        self.file = os.open(memory(run, place), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.file)
            raise Busy(f"{run}: another process is sending this run") from None

    def release(self, of: str | None = None) -> None:
        """Let go; of: the fingerprint of what has arrived whole, to be remembered. Once is enough."""
        if self.file < 0:
            return
        os.ftruncate(self.file, 0)  # a kill between here and the end costs one more sending
        if of is not None:
            os.pwrite(self.file, json.dumps({"to": self.place.where, "of": of}).encode(), 0)
        os.close(self.file)
        self.file = -1


def memory(run: Path, place: Place) -> Path:
    """Return the file that remembers what of a run a tracker has."""
    return run / f"sent-{place.tracker}.json"


def there(run: Path, place: Place, of: str | None = None) -> bool:
    """Say whether a run has been sent to a place as it stands now; of: its fingerprint if known."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(memory(run, place).read_text())
        return found == {"to": place.where, "of": of or fingerprint(run)}
    return False


def fingerprint(run: Path) -> str:
    """Return the SHA-256 of what is sent of a run."""
    found = hashlib.sha256()
    for file in [run / "metrics.jsonl", run / "result.json", *sorted(run.glob("inspect/*.png"))]:
        if file.exists():
            content = file.read_bytes()
            found.update(f"{file.name} {len(content)}\n".encode() + content)
    return found.hexdigest()
