"""W&B as a mirror of the store: `python -m lstm_research.trackers.wandb <folder> <project> <mode>`.

The one decision: nothing is logged to W&B that is not in the store first. The child reads run
folders on stdin, follows their curves, and makes one W&B run of each:

    id       hash of the spec, so that a replay overwrites its run and never doubles it
    group    study;  name `<variant>-s<seed>`;  job_type `train`
    config   resolved spec, commit, versions;  no host, no argument vector, no git remote
    history  `train/loss`, `valid/mse`, ... against `step`
    summary  `test/mse`, `valid/mse` of the network that was kept, `status`, `parameters`, ...

A killed parent loses nothing: at the end of stdin the child replays what the folders hold. Runs
without a result end as crashed there.
"""

import contextlib
import netrc
import os
import re
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lstm_research.plain import decode, flatten
from lstm_research.store import Record, load_run, spec_hash
from lstm_research.trackers.child import Child

TICK = 0.5  # seconds between two looks at the curves
SECRET = re.compile(r"(^|_)(api_?key|token|secret|password)$", re.IGNORECASE)
HINT = "`lstm-research sync` replays the store into W&B later."


# ------------------------------------------------------------------ in the training process


def mode(kind: str) -> str | None:
    """Return "online", "offline" or None for nothing: what a kind of tracker comes to here.

    kind: "auto", "wandb" or "none". $WANDB_MODE is obeyed where it says offline or disabled.
    """
    wish = os.environ.get("WANDB_MODE", "").lower()
    if kind == "none" or wish in ("disabled", "dryrun"):
        return None
    if kind == "auto":
        return (wish if wish == "offline" else "online") if login() else None
    return "online" if login() and wish != "offline" else "offline"


def login() -> bool:
    """Say whether W&B would find a login: $WANDB_API_KEY, or the API host in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname
    named = os.environ.get("NETRC")
    for file in [named] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        with contextlib.suppress(OSError, netrc.NetrcParseError, UnicodeDecodeError):
            if host in netrc.netrc(file).hosts:
                return True
    return False


def tracker(
    folder: str | Path, project: str, mode: str, label: Callable[[Mapping], str] | None = None
) -> Child:
    """Start the child and return the listener in front of it; close it at the end.

    folder: W&B puts its files in `<folder>/wandb`. mode: "online" or "offline".
    """
    arguments = [str(Path(folder).absolute()), project, mode]
    return Child("W&B", "lstm_research.trackers.wandb", arguments, label=label, hint=HINT)


def replay(paths: Iterable[str | Path], child: Child) -> None:
    """Send runs of the store, ended or not, through a tracker; `child.close()` waits for them."""
    for path in paths:
        child.started(path)
        child.finished(path)


# ------------------------------------------------------------------ in the child


class Mirror:
    """One W&B run and how far the curve has been read into it."""

    def __init__(self, folder: str, project: str, mode: str, path: Path, label: str | None) -> None:
        import wandb

        record = load_run(path)
        if not record.spec:
            raise ValueError(f"{path}: no spec.yaml that can be read")
        self.path, self.read = path, 0
        self.run = wandb.init(
            project=project,
            dir=folder,
            mode="online" if mode == "online" else "offline",
            reinit="create_new",  # a pack has many runs open at once
            id=spec_hash(record.spec),
            group=record.study,
            job_type="train",
            name=name(record, label),
            config=config(record),
            settings=wandb.Settings(**SETTINGS),
        )
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")

    def follow(self) -> None:
        """Log the lines that have come since the last look."""
        with (
            contextlib.suppress(FileNotFoundError),
            open(self.path / "metrics.jsonl", "rb") as file,
        ):
            file.seek(self.read)
            whole, newline, _ = file.read().rpartition(b"\n")
            for line in whole.splitlines() if newline else ():
                self.run.log(history(decode(line.decode())))
            self.read += len(whole) + len(newline)

    def finish(self) -> None:
        """Log the rest, write the final numbers into the summary, and end the W&B run."""
        self.follow()
        record = load_run(self.path)
        self.run.summary.update(summary(record))
        self.run.finish(exit_code=1 if record.status in ("unfinished", "failed") else 0)


SETTINGS = {
    **{"x_disable_meta": True, "disable_git": True, "disable_code": True, "console": "off"},
    **{"x_disable_stats": True, "x_disable_machine_info": True, "x_save_requirements": False},
    **{"silent": True, "show_info": False, "show_warnings": False, "host": ""},
}


def name(record: Record, label: str | None) -> str:
    """Return `<variant>-s<seed>`; without a label the variant is the kind of the cell."""
    cell = record.spec.get("cell")
    kind = cell.get("kind") if isinstance(cell, Mapping) else None
    return f"{label or kind or 'run'}-s{record.spec.get('seed', 0)}"


def config(record: Record) -> dict[str, Any]:
    """Return the resolved spec, nested as W&B wants it, with commit and versions beside it.

    The text of a key that is called like a secret is left out.
    """
    around = {key: record.environment.get(key) for key in ("commit", "dirty", "versions", "device")}
    return redacted({**record.spec, "study": record.study, **around})


def redacted(settings: Mapping) -> dict[str, Any]:
    """Copy settings; text under `api_key`, `token`, `secret` or `password` becomes [redacted]."""
    kept: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            kept[key] = redacted(value)
        else:
            kept[key] = "[redacted]" if isinstance(value, str) and SECRET.search(key) else value
    return kept


def history(line: Mapping) -> dict[str, Any]:
    """Turn a line of the curve into a row of history: `{"step": 1, "train/loss": 0.5}`."""
    split = line.get("split")
    prefix = f"{split}/" if split else ""
    rest = {key: value for key, value in line.items() if key not in ("step", "split")}
    step = {"step": line["step"]} if "step" in line else {}
    return step | flatten(rest, "/", prefix)


def summary(record: Record) -> dict[str, Any]:
    """Return the final numbers: metrics as `test/mse`, the other keys of the result as they are."""
    rest = dict(record.result or {})
    metrics = rest.pop("metrics", {})
    return {"status": record.status, **flatten(rest, "/"), **flatten(metrics, "/")}


class Mirrors:
    """The runs that are open in this child, by folder; one that fails costs the others nothing."""

    def __init__(self, folder: str, project: str, mode: str, alive: int) -> None:
        self.place, self.alive = (folder, project, mode), alive
        self.open: dict[Path, Mirror] = {}
        self.faults = 0

    def take(self, event: str, path: Path, label: str | None = None) -> None:
        """Do what an event asks for: "started", "finished", or "tick" for a look at every curve."""
        for each in list(self.open) if event == "tick" else [path]:
            try:
                if event == "tick":
                    self.open[each].follow()
                elif each in self.open:
                    self.open.pop(each).finish()
                if event == "started":
                    self.open[each] = Mirror(*self.place, each, label)
            except Exception:
                self.faults += 1
                self.open.pop(each, None)
                traceback.print_exc()
            with contextlib.suppress(OSError):
                os.write(self.alive, b".")

    def close(self) -> None:
        """End what is open, with what its folder holds now."""
        for path in list(self.open):
            self.take("finished", path)


def main(folder: str, project: str, mode: str) -> int:
    """Mirror the folders that stdin names until it ends; return 1 when one of them failed."""
    alive = os.dup(1)  # what is written here tells the parent that we are not stuck
    os.set_blocking(alive, False)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    Path(folder).mkdir(parents=True, exist_ok=True)
    with contextlib.closing(Mirrors(folder, project, mode, alive)) as mirrors:
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


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
