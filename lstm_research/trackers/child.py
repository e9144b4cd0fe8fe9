"""A listener that feeds a child process, one line an event, and never waits for it.

The one decision: whatever becomes of the child costs the run one warning on stderr, and no time.
Lines go down a pipe that does not block; what does not fit is kept until it does, up to a bound. Only
`close` waits, while the child shows signs of life, and for so long in all. What a child has not sent
by then is in the store.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from lstm_research.store import load_run

PARENT = Path(__file__).resolve().parents[2]  # where `python -m` finds this package
GRACE = 3.0  # seconds between asking a child to end and ending it
KEPT = 2**20  # bytes of lines that wait for a child that does not read; runs beyond are not told


class Running(NamedTuple):
    """A process and our ends of its pipes."""

    process: subprocess.Popen
    stdin: IO[bytes]
    stdout: IO[bytes]


class Child:
    """A store listener (`started`, `finished`) in front of `python -m <module> <arguments>`.

    The child reads `started <path>` and `finished <path>` on stdin, where the path may be a JSON
    object `{"path": ..., "label": ...}`; anything it writes to stdout is a sign of life; the last
    line of its stderr is what the warning quotes.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        *,
        label: Callable[[Mapping], str] | None = None,
        hint: str = "",
    ) -> None:
        self.name, self.hint, self.label = name, hint, label
        self.warned = False
        self._waiting = b""
        self._turn = threading.Lock()  # runs on several devices are threads of one process
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (has no name, and goes with us)
        self._running: Running | None = None
        try:
            self._running = _start([sys.executable, "-m", module, *arguments], self._errors)
        except OSError as error:
            self._errors.close()
            self._warn(f"did not start ({error})")

    def started(self, path: str | Path, label: str | None = None) -> None:
        """Say that a run folder has its spec and will get a curve."""
        if label is None and self.label is not None:
            label = self.label(load_run(path).spec)
        where = str(Path(path).absolute())
        self._send(
            "started", where if label is None else json.dumps({"path": where, "label": label})
        )

    def finished(self, path: str | Path) -> None:
        """Say that a run folder has its result."""
        self._send("finished", str(Path(path).absolute()))

    def close(self, timeout: float = 20, limit: float = 120) -> None:
        """Let the child finish what it was told; a second call does nothing.

        timeout: seconds without a sign of life after which the child is asked to end, then killed.
        limit: seconds after which it is, signs of life or not.
        """
        with self._turn:
            running, self._running = self._running, None
        if running is None:
            return
        process = running.process
        if late := self._late(running, timeout, limit):
            self._warn(f"{late} and is ended; the store has everything", True)
            process.terminate()
            if not _ends(process, min(GRACE, max(timeout, 0.1))):
                process.kill()
        if process.wait() != 0:
            self._warn(f"ended with exit code {process.returncode}", True)
        for pipe in (running.stdin, running.stdout, self._errors):
            pipe.close()

    def _send(self, event: str, path: str) -> None:
        with self._turn:
            if self._running is None:
                return
            self._push(self._running)
            if len(self._waiting) < KEPT:
                self._waiting += f"{event} {path}\n".encode()
                self._push(self._running)
            else:
                self._warn("does not keep up")
            if self._running.process.poll() is not None:
                self._warn(f"ended with exit code {self._running.process.returncode}", True)

    def _push(self, running: Running) -> None:
        try:
            while self._waiting:
                self._waiting = self._waiting[os.write(running.stdin.fileno(), self._waiting) :]
        except BlockingIOError:
            pass  # the pipe is full; the rest goes with the next event, or at the end
        except OSError:
            self._waiting = b""  # the child is gone, and poll() says so

    def _late(self, running: Running, timeout: float, limit: float) -> str:
        """Hand over the rest and wait for the end; return what is wrong where it does not come."""
        end = time.monotonic() + limit
        deadline = time.monotonic() + timeout
        while (left := min(end, deadline) - time.monotonic()) > 0:
            self._push(running)
            if not self._waiting:
                running.stdin.close()  # a second close does nothing
            if select.select([running.stdout], [], [], min(left, 0.1))[0]:
                if not os.read(running.stdout.fileno(), 4096):  # its end: only the exit can follow
                    return "" if _ends(running.process, left) else f"did not end in {left:.0f} s"
                deadline = time.monotonic() + timeout
        return (
            f"had not caught up after {limit:g} s"
            if time.monotonic() >= end
            else f"was silent for {timeout:g} s"
        )

    def _warn(self, what: str, quote: bool = False) -> None:
        if self.warned:
            return
        self.warned = True
        said = self._said() if quote else ""
        text = f"{self.name} {what}{f': {said}' if said else ''}. The run goes on. {self.hint}"
        print(f"warning: {text.strip()}", file=sys.stderr, flush=True)

    def _said(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip().rstrip(".") if lines else ""


def _start(command: Sequence[str], errors: IO[bytes]) -> Running:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        bufsize=0,
        env=_environment(),
        start_new_session=True,  # an interrupt of the run is not one of the child
    )
    assert process.stdin is not None and process.stdout is not None  # both are pipes
    os.set_blocking(process.stdin.fileno(), False)
    return Running(process, process.stdin, process.stdout)


def _ends(process: subprocess.Popen, timeout: float) -> bool:
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        return False
    return True


def _environment() -> dict[str, str]:
    paths = [path for path in (os.environ.get("PYTHONPATH"), str(PARENT)) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
