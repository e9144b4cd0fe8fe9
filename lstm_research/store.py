"""What happened, on disk: one folder a run, `runs/<study>/<hash>/`, and the only source of truth.

    spec.yaml         the resolved spec (study, cell, task, network, optimizer, budget, seed)
    environment.json  commit, versions, device (see `environment.py`)
    metrics.jsonl     the curve, one JSON object a line, only ever appended to
    weights.safetensors  the network at its best validation; whole or not at all, before the result
    result.json       how it ended; appears whole or not at all
    sent-*.json       what a tracker has of the run (see `trackers/sent.py`)
    lock              held by the process that writes; the kernel lets go when that process dies

The one decision: a run has ended when its `result.json` is there, parses and holds every key.
Anything else is "unfinished", is never trusted, and is wiped by the next process that opens the
folder.
"""

import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lstm_research.disk import RunBusy as RunBusy
from lstm_research.disk import StoreError, explained, sync, take, wipe, write
from lstm_research.environment import environment
from lstm_research.plain import decode, digest, encode, flatten, plain

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where it is there
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
WEIGHTS = "weights.safetensors"
DONE = ("finished", "solved", "diverged")  # and is not run again
ENDED = (*DONE, "failed")
RESULT_KEYS = (
    *("status", "steps", "solved_at", "diverged_at", "best_step", "metric", "goal", "chance"),
    *("metrics", "parameters", "recurrent_parameters", "step_ms", "compile_s", "train_s", "error"),
)


class RunDone(StoreError):
    """This run has ended already and `force` was not given."""


class Record(NamedTuple):
    """One run as it stands on disk; `result` is None where `status` is "unfinished" or "absent"."""

    path: Path
    study: str
    spec: dict
    environment: dict
    result: dict | None
    status: str


def spec_hash(spec: Mapping) -> str:
    """Return the name of a spec: 12 hex digits of SHA-256 of its canonical JSON, less `study`.

    The order of keys does not matter, nor does 1 against 1.0. Raises TypeError or ValueError,
    with the path of the key, where a value is no plain data or is not finite.
    """
    return digest({key: value for key, value in spec.items() if key != "study"})


def find(root: str | Path, spec: Mapping) -> Path:
    """Return the folder of a spec, `<root>/<study>/<hash>`, whether it exists or not."""
    study = spec.get("study")
    if not isinstance(study, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", study):
        raise ValueError(
            f"spec.study: {study!r} cannot name a folder; "
            "allowed are letters, digits, '_', '-' and '.', the first no '-' or '.'"
        )
    return Path(root) / study / spec_hash(spec)


def status(path: str | Path) -> str:
    """Return how a run ended, one of `ENDED`; else "unfinished", or "absent" without a folder."""
    if not Path(path).is_dir():
        return "absent"
    result = _result(Path(path))
    return "unfinished" if result is None else result["status"]


def done(root: str | Path, spec: Mapping) -> bool:
    """Say whether a spec needs no run: it has ended as one of `DONE`."""
    return status(find(root, spec)) in DONE


def failure(fault: BaseException | str, **known: Any) -> dict:
    """Return the result of a run that a fault ended: what is `known`, the other keys None."""
    text = fault if isinstance(fault, str) else f"{type(fault).__name__}: {fault}"
    blank = dict.fromkeys(RESULT_KEYS) | {"steps": 0, "chance": {}, "metrics": {}}
    return blank | known | {"status": "failed", "error": text}


def open_run(
    root: str | Path, spec: Mapping, *, force: bool = False, listeners: Iterable[Any] = ()
) -> "RunFolder":
    """Take the folder of `spec` for this process alone and start it anew, leftovers wiped.

    listeners: objects with `.started(path)` and `.finished(path)`; one that raises costs a
    RuntimeWarning and nothing else.

    Raises RunBusy when another process holds the folder, RunDone when the run has ended (unless
    `force`; a failed one is run again), and StoreError when the folder cannot be written.
    """
    folder = find(root, spec)
    resolved, around = plain(spec, "spec"), plain(environment(), "environment")
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = take(folder)
    try:
        if not force and status(folder) in DONE:
            raise RunDone(
                f"{folder}: this run has ended as {status(folder)!r}; force=true runs it again."
            )
        with explained(folder):
            wipe(folder)
            write(folder / "environment.json", json.dumps(around, indent=2) + "\n")
            write(folder / "spec.yaml", yaml.dump(resolved, Dumper=DUMPER, sort_keys=False))
    except BaseException:
        os.close(lock)
        raise
    run = RunFolder(folder, lock, tuple(listeners))
    run.tell("started")
    return run


class RunFolder:
    """The writing end of one run, held until `finish` or `close`, or the end of a `with`.

    Closing without `finish` (an interrupt, a kill) leaves the run unfinished.
    """

    def __init__(self, path: Path, lock: int, listeners: tuple[Any, ...]) -> None:
        self.path = path
        self.listeners = listeners
        self._lock: int | None = lock

    def log(self, record: Mapping) -> None:
        """Append one line to the curve, e.g. `{"step": 100, "split": "valid", "mse": 0.1}`.

        The line has left this process when `log` returns: a kill afterwards does not lose it.
        """
        self._held("log")
        with (
            explained(self.path / "metrics.jsonl") as metrics,
            open(metrics, "a", encoding="utf-8") as file,
        ):
            file.write(encode(record) + "\n")

    def keep(self, name: str, content: bytes) -> None:
        """Write a file of the run in one step; it counts once the run has finished."""
        self._held("keep")
        with explained(self.path):
            write(self.path / name, content)

    def finish(self, result: Mapping) -> None:
        """Write `result.json` in one step, tell the listeners, and let go of the folder.

        result: every key of `RESULT_KEYS`, more are kept; `status` one of `ENDED`. A failed run
        may leave out what it does not know. Raises ValueError otherwise.
        """
        self._held("finish")
        if result.get("status") == "failed":
            result = failure(result.get("error") or "unknown", **result)
        missing = [key for key in RESULT_KEYS if key not in result]
        if missing:
            raise ValueError(f"{self.path}: the result lacks {', '.join(missing)}")
        if result["status"] not in ENDED:
            raise ValueError(
                f"{self.path}: result.status {result['status']!r} is none of {', '.join(ENDED)}"
            )
        with explained(self.path):
            sync(self.path / "metrics.jsonl")
            write(self.path / "result.json", encode(result) + "\n")
        self.tell("finished")
        self.close()

    def close(self) -> None:
        """Let go of the folder; a second call does nothing."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def tell(self, event: str) -> None:
        """Call `event` ("started", "finished") on every listener."""
        for listener in self.listeners:
            try:
                getattr(listener, event)(self.path)
            except Exception as error:
                warnings.warn(
                    f"{self.path}: {type(listener).__name__}.{event} raised {error!r}; "
                    "the run goes on",
                    RuntimeWarning,
                    stacklevel=3,
                )

    def _held(self, call: str) -> None:
        if self._lock is None:
            raise StoreError(f"{self.path}: {call} after the folder was closed. Open it again.")

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def load_runs(root: str | Path = "runs") -> list[Record]:
    """Read every run under `root` (the store, one study, or one run), sorted by path.

    Raises StoreError where there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise StoreError(f"{root.absolute()}: no such folder, so no runs. Pass runs=<folder>.")
    folders = {
        mark.parent
        for depth in ("", "*/", "*/*/")
        for name in ("spec.yaml", "lock")
        for mark in root.glob(f"{depth}{name}")
    }
    return [load_run(folder) for folder in sorted(folders)]


def load_run(path: str | Path) -> Record:
    """Read one run; "absent" without a folder, "unfinished" where its spec cannot be read."""
    path = Path(path)
    spec = _mapping(path / "spec.yaml", lambda text: yaml.load(text, LOADER))
    around = _mapping(path / "environment.json", json.loads)
    result = _result(path) if spec else None
    study = spec.get("study") or path.absolute().parent.name
    state = "unfinished" if path.is_dir() else "absent"
    return Record(path, study, spec, around, result, result["status"] if result else state)


def curve(path: str | Path) -> list[dict]:
    """Read `metrics.jsonl` of a run folder; without a file the curve is empty.

    A last line without its newline, as a kill may leave it, is left out.

    Raises ValueError that names file and line when an earlier line is damaged.
    """
    metrics = Path(path) / "metrics.jsonl"
    if not metrics.exists():
        return []
    *lines, _cut = metrics.read_bytes().split(b"\n")  # what no newline ends is no line
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(decode(line.decode()))
        except ValueError as error:
            raise ValueError(f"{metrics.absolute()}:{number}: not a JSON line ({error})") from error
    return records


def rows(root: str | Path = "runs") -> list[dict]:
    """Return one flat dict a run: path, study, status, spec, result, environment.

    Keys: `cell.kind`, `optimizer.rate`, `metrics.test.mse`, `parameters`, `environment.commit`,
    ...
    """
    return [
        {"path": str(record.path), "study": record.study, "status": record.status}
        | flatten({key: value for key, value in record.spec.items() if key != "study"})
        | flatten({key: value for key, value in (record.result or {}).items() if key != "status"})
        | flatten(record.environment, prefix="environment.")
        for record in load_runs(root)
    ]


def frame(root: str | Path = "runs") -> Any:
    """Return `rows` as a pandas.DataFrame, for notebooks."""
    try:
        import pandas  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError("frame needs pandas: pip install 'lstm-research[frames]'") from error
    return pandas.DataFrame(rows(root))


def _result(path: Path) -> dict | None:
    result = _mapping(path / "result.json", decode)
    whole = all(key in result for key in RESULT_KEYS) and result["status"] in ENDED
    return result if whole and isinstance(result["metrics"], dict) else None


def _mapping(path: Path, parse: Any) -> dict:
    """Read a file that holds one mapping; whatever is wrong with it, answer with an empty one."""
    try:
        value = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return value if isinstance(value, dict) else {}
