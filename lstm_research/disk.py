"""Writing so that a kill at any moment leaves the old file or the new one, never half of one.

The one decision: a lock is `flock` on a file that is never removed. The kernel lets go when the
holder dies, so there is no stale lock to break, and two processes can never hold two files of one
name.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


class StoreError(OSError):
    """A folder of the store cannot be used; the message names the path and the way out."""


class RunBusy(StoreError):
    """Another process is writing this run."""


def take(folder: Path, name: str = "lock", what: str = "writing this run") -> int:
    """Lock a file of a folder and return the descriptor that holds it, or raise RunBusy."""
    lock = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise RunBusy(f"{folder}: process {holder} is {what}. Wait for it, or stop it.") from None
    except OSError:
        os.close(lock)
        raise
    os.truncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def wipe(folder: Path) -> None:
    """Empty the folder but for the lock; the result goes first, so no kill leaves it alone."""
    (folder / "result.json").unlink(missing_ok=True)
    for item in folder.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        elif item.name != "lock":
            item.unlink()


def write(path: Path, content: str | bytes) -> None:
    """Replace `path` as a whole: readers see the old file or the new one, after a crash too."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(draft, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Have the kernel put a file or a folder on the disk; what does not exist needs nothing."""
    if path.exists():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[Path]:
    """Turn an OSError into a StoreError that says where it was and what to do."""
    try:
        yield path
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"{path.absolute()}: cannot write ({error.strerror or error}"
            f"{f': {error.filename}' if error.filename else ''}). "
            "Make room and permission there, or choose another folder with runs=<folder>."
        ) from error
