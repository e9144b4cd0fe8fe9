"""Characters: text read from files, cut in three, and numbered."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstm_research.axes import Int
from lstm_research.tasks.data import DataError
from lstm_research.tasks.task import SPLITS

PARTS = ("train", *SPLITS)
ALL = "all"  # the vocabulary of all parts


class Text(NamedTuple):
    """Three parts of a text as numbers: places in the alphabet, in order of code points."""

    alphabet: str
    train: Int[np.ndarray, "_"]
    valid: Int[np.ndarray, "_"]
    test: Int[np.ndarray, "_"]


def siblings(path: Path) -> dict[str, Path] | None:
    """Return the files of the parts where `path` is one of three, else None.

    That is where its name holds "train" and two others have "valid" and "test" in its place, as in
    ptb.char.train.txt.
    """
    if "train" not in path.name:
        return None
    head, tail = path.name.rsplit("train", 1)
    found = {part: path.with_name(head + part + tail) for part in PARTS}
    return found if all(each.is_file() for each in found.values()) else None


def changed(path: Path) -> tuple[int, ...]:
    """Return when each file of a text was written, in nanoseconds."""
    files = siblings(path)
    return tuple(f.stat().st_mtime_ns for f in ([path] if files is None else files.values()))


@lru_cache(maxsize=4)
def read(
    path: Path, written: tuple[int, ...], shares: tuple[float, float], spaced: bool, vocabulary: str
) -> Text:
    """Return a text; `written` is `changed(path)`.

    shares: of validation and test, at the end of one file; spaced: as `task.spaced`. DataError: a
    part is empty, is no UTF-8, or holds a character that training lacks (names where).
    """
    files = siblings(path)
    if files is None:
        whole = opened(path, spaced)
        valid, test = (int(len(whole) * share) for share in shares)
        ends = (0, len(whole) - valid - test, len(whole) - test, len(whole))
        texts = {p: whole[a:b] for p, a, b in zip(PARTS, ends, ends[1:], strict=False)}
    else:
        texts = {part: opened(file, spaced) for part, file in files.items()}
    for part, text in texts.items():
        if len(text) < 2:
            raise DataError(
                f"{path}: {part} has {len(text)} characters; at least two are needed",
                file=str(path),
            )
    return numbered(str(path), texts, vocabulary)


def opened(path: Path, spaced: bool) -> str:
    """Return the text of a file. DataError: no UTF-8, or not spaced where that was said."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is no UTF-8", file=str(path)) from None
    if not spaced:
        return text
    for number, line in enumerate(text.split("\n"), 1):
        if long := [word for word in line.split() if len(word) > 1]:
            raise DataError(
                f"{path}: line {number}: {long[0]!r} is longer than a character; task.spaced=true "
                "means files that write each character as a word, like ptb.char.train.txt",
                file=str(path),
            )
    return text.replace(" ", "")


def numbered(path: str, texts: dict[str, str], vocabulary: str) -> Text:
    """Return the parts as numbers. DataError: one holds a character that has none; says where."""
    codes = {part: np.frombuffer(text.encode("utf-32-le"), "<u4") for part, text in texts.items()}
    named = list(codes.values()) if vocabulary == ALL else [codes["train"]]
    known = np.unique(np.concatenate(named))
    parts = {}
    for part, code in codes.items():
        place = np.minimum(np.searchsorted(known, code), len(known) - 1)
        if (unknown := known[place] != code).any():
            at = int(unknown.argmax())
            before = texts[part][:at]
            raise DataError(
                f"{path}: {part}, line {before.count(chr(10)) + 1}, column "
                f"{at - before.rfind(chr(10))}: {texts[part][at]!r} does not occur in training; "
                f"task.vocabulary={ALL} numbers the characters of all parts",
                file=path,
            )
        parts[part] = place.astype(np.uint8 if len(known) <= 256 else np.int32)
    return Text("".join(map(chr, known)), **parts)
