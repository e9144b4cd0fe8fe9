"""Files that tasks read, each held to its SHA-256 before anybody opens it.

The folder in LSTM_RESEARCH_DATA comes first, then the cache (LSTM_RESEARCH_CACHE, or the user's
cache folder), then the address. A file found in the folder is never replaced by a download: when it
is damaged its owner is told so.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = "LSTM_RESEARCH_DATA"
CACHE = "LSTM_RESEARCH_CACHE"
TIMEOUT = 30  # seconds without an answer


class Source(NamedTuple):
    """One file: its name, subfolders in which it may lie, its address and its checksum."""

    name: str
    under: tuple[str, ...]
    url: str | None  # None: it was derived from others and is nowhere to be downloaded
    sha256: str | None  # None: this package knows none, the user must give one


class DataError(ValueError):
    """A file is absent, damaged, or another than the one asked for."""

    def __init__(
        self, message: str, *, file: str, expected: str | None = None, found: str | None = None
    ) -> None:
        """Keep file and both checksums beside the message."""
        super().__init__(message)
        self.file, self.expected, self.found = file, expected, found


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(source: Source, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of a file whose checksum has just been verified; download it if need be.

    DataError: the file is damaged (names both checksums), cannot be had (names the address and the
    variable to set), or has no known checksum (says how to give one).
    """
    local = in_folder(source, environ.get(FOLDER))
    if source.sha256 is None:
        raise DataError(_unpinned(source, local), file=str(local or source.name))
    if local is not None:
        verify(local, source, f"Delete it to have it downloaded, or set {FOLDER} elsewhere")
        return local
    if source.url is None:
        raise DataError(_nowhere(source), file=source.name, expected=source.sha256)
    return _download(source, source.url, _cache_folder(environ))


def own(path: str | None, checksum: str | None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the user's own file, looked for from here and then in the folder LSTM_RESEARCH_DATA.

    DataError: no path is given, no such file, or not the one whose checksum is given.
    """
    if path is None:
        raise DataError("task.path is null: give the path of a file", file="task.path")
    places = [Path(path).expanduser()]
    if environ.get(FOLDER):
        places.append(Path(environ[FOLDER]).expanduser() / path)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        tried = " and ".join(str(place.absolute()) for place in places)
        raise DataError(f"task.path={path}: no such file; tried {tried}", file=path)
    if checksum is not None:
        source = Source(found.name, (), None, checksum)
        verify(found, source, "Give the checksum of the file that you mean as task.sha256")
    return found


def in_folder(source: Source, folder: str | None) -> Path | None:
    """Return where the file lies in the user's folder or a known subfolder of it, if it does."""
    if not folder:
        return None
    root = Path(folder).expanduser()
    places = [root / source.name, *(root / part / source.name for part in source.under)]
    return next((place for place in places if place.is_file()), None)


def verify(path: Path, source: Source, remedy: str, called: str | None = None) -> None:
    """Raise DataError unless the file has the checksum of its source."""
    found = sha256(path)
    if found != source.sha256:
        raise DataError(
            f"{called or path} is damaged or another version, and was not used:\n"
            f"  SHA-256 expected {source.sha256}\n  SHA-256 found    {found}\n{remedy}.",
            file=str(called or path),
            expected=source.sha256,
            found=found,
        )


def _cache_folder(environ: Mapping[str, str]) -> Path:
    import pooch  # here, for it brings an HTTP client along that most runs never need

    chosen = environ.get(CACHE)
    return Path(chosen).expanduser() if chosen else Path(pooch.os_cache("lstm_research"))


def _download(source: Source, url: str, folder: Path) -> Path:
    import pooch

    def checked(url: str, output_file: str, owner: None) -> None:
        pooch.HTTPDownloader(timeout=TIMEOUT)(url, output_file, owner)
        verify(Path(output_file), source, "Nothing was kept; try again later", called=url)

    downloader: Any = checked  # pooch's type names the arguments otherwise than its manual does
    known = f"sha256:{source.sha256}"
    try:
        kept = pooch.retrieve(url, known, source.name, folder, downloader=downloader)
    except OSError as error:
        raise DataError(_unreachable(source, folder, error), file=source.name) from error
    return Path(kept)


def _unreachable(source: Source, folder: Path, error: OSError) -> str:
    return (
        f"{source.name} could not be downloaded from {source.url} to {folder}:\n  {error}\n"
        f"Without a network, put the file (SHA-256 {source.sha256}) into a folder and set {FOLDER} "
        f"to it; {CACHE} chooses where downloads are kept."
    )


def _nowhere(source: Source) -> str:
    return (
        f"{source.name} has no public address, for it was derived from other files. Put it (SHA-256 "
        f"{source.sha256}) into a folder and set {FOLDER} to that."
    )


def _unpinned(source: Source, local: Path | None) -> str:
    if local is None:
        return (
            f"{source.name}: this package pins no checksum for it. Put the file (its usual address "
            f"is {source.url}) into the folder that {FOLDER} names and give its SHA-256 as "
            "task.sha256."
        )
    return (
        f"{local}: this package pins no checksum for it. If you trust the file, add "
        f"task.sha256={sha256(local)} so that your runs name exactly these data."
    )
