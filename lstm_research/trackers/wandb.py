"""W&B as a mirror of the store: `python -m lstm_research.trackers.wandb <folder> <project> <mode>`.

The one decision: a run of the store is one run of W&B, in a pack too, and its id is made of its study
and spec, so that a replay replaces its run and never doubles it.

    group    study;  name `<variant>-s<seed>`;  job_type `train`
    config   resolved spec, variant, commit, versions;  no host, no argument vector, no git remote
    history  `train/loss`, `valid/mse`, ... against `step`
    summary  `test/mse`, `valid/mse` of the network that was kept, `status`, `parameters`, ...
    media    `inspect/<name>` from the pictures of the run;  the table of a study is a run of its own

A killed parent loses nothing: at the end of stdin the child replays what the folders hold. Runs
without a result end as crashed there.
"""

import contextlib
import netrc
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lstm_research.plain import digest
from lstm_research.trackers.child import Child
from lstm_research.trackers.content import Told, clean
from lstm_research.trackers.mirror import serve
from lstm_research.trackers.sent import Place

SERVER = "https://api.wandb.ai"
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
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or SERVER).hostname
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


# ------------------------------------------------------------------ in the child, or in a replay

SETTINGS = {
    **{"x_disable_meta": True, "disable_git": True, "disable_code": True, "console": "off"},
    **{"x_disable_stats": True, "x_disable_machine_info": True, "x_save_requirements": False},
    **{"silent": True, "show_info": False, "show_warnings": False, "host": ""},
    **{"init_timeout": 30.0},  # seconds
}


class Wandb:
    """A project of W&B, online or offline."""

    def __init__(self, folder: str | Path, project: str, mode: str) -> None:
        self.folder, self.project, self.mode = Path(folder), project, mode
        self.folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("WANDB_SILENT", "true")  # what it says before it has its settings
        server = (os.environ.get("WANDB_BASE_URL") or SERVER).rstrip("/")
        owner = os.environ.get("WANDB_ENTITY") or ""
        target = f"online {server}/{owner}/{project}" if mode == "online" else f"offline {project}"
        self.place = Place("wandb", clean(target))

    def open(self, run: Told) -> "Page":
        """Start the W&B run of a run."""
        return Page(self.init(run.id, run.group, "train", run.name, run.config))

    def table(self, study: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Log the table of a study as a run of its own, of job_type `table`."""
        import wandb

        run = self.init(digest({"table": study}), study, "table", f"{study} table", {})
        run.log({"table": wandb.Table(columns=list(columns), data=[list(row) for row in rows])})
        run.finish(exit_code=0)

    def init(self, id: str, group: str, job: str, name: str, config: Mapping) -> Any:
        """Start a W&B run; an offline one of the same id, which is older, is removed."""
        import wandb

        for old in (self.folder / "wandb").glob(f"offline-run-*-{id}"):
            shutil.rmtree(old)
        return wandb.init(
            project=self.project,
            dir=str(self.folder),
            mode="online" if self.mode == "online" else "offline",
            reinit="create_new",  # a pack has many runs open at once
            id=id,
            group=group,
            job_type=job,
            name=name,
            config=dict(config),
            settings=wandb.Settings(**SETTINGS),
        )


class Page:
    """One W&B run."""

    def __init__(self, run: Any) -> None:
        self.run = run
        run.define_metric("step")
        run.define_metric("*", step_metric="step")

    def log(self, row: Mapping[str, Any]) -> None:
        """Add a row of history."""
        self.run.log(row)

    def finish(self, run: Told) -> None:
        """Add pictures and final numbers, and end the W&B run."""
        import wandb

        if run.pictures:
            self.run.log({f"inspect/{file.stem}": wandb.Image(str(file)) for file in run.pictures})
        self.run.summary.update(run.summary)
        self.run.finish(exit_code=1 if run.failed else 0)


if __name__ == "__main__":
    sys.exit(serve(Wandb(*sys.argv[1:4])))
