"""`lstm-research sync`: the store, replayed into a dashboard."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from lstm_research import label, store, trackers
from lstm_research.commands import FAILED
from lstm_research.config import named
from lstm_research.render import COLUMNS, flat
from lstm_research.store import Record
from lstm_research.table import table
from lstm_research.trackers.mirror import Sent, replay, tabled

PATIENCE = 2  # runs in a row that may fail before we give up: the dashboard is down
SAID = {"there": "there already (--again sends them again)", "busy": "being sent by another"}
LOOK = {
    "wandb": "offline files: wandb sync {root}/wandb/offline-run-*",
    "trackio": "look at them: trackio show --project {project}",
    "tensorboard": "look at them: tensorboard --logdir {root}/tensorboard",
}


def main(arguments: list[str]) -> int:
    """Send runs that have ended to W&B, Trackio or TensorBoard; what is there is not sent twice."""
    options = parsed(arguments)
    records = store.load_runs(options.runs)
    if options.study is not None:
        records = [record for record in records if record.study == options.study]
    ended = [record for record in records if record.result is not None]
    if not ended:
        return failed(
            f"no run that has ended in {options.runs}; lstm-research quickstart makes some"
        )
    root = ended[0].path.absolute().parents[1]
    try:
        dashboard = trackers.dashboard(options.to, root, options.project)
    except ImportError as error:
        hint = f"pip install 'lstm-research[{options.to}]'"
        return failed(f"{options.to} cannot be used ({error}): {hint}")
    done = send(ended, dashboard, options.again)
    faults = [each for each in done if each.fault is not None]
    for each in faults:
        print(f"fault: {each.record.path}: {oneline(each.fault)}", file=sys.stderr)
    print(report(records, done, len(ended)))
    if len(faults) < len(done):
        offline = options.to != "wandb" or dashboard.mode == "offline"
        if offline:
            print(LOOK[options.to].format(root=root, project=options.project))
    if options.workspace and not faults:
        return arranged(dashboard, ended)
    return FAILED if faults else 0


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("lstm-research sync", description=main.__doc__)
    parser.add_argument("runs", nargs="?", default="runs", help="a store, a study or a run in it")
    parser.add_argument("--to", choices=trackers.TARGETS, default="wandb")
    parser.add_argument("--study", help="only this study")
    parser.add_argument("--project", default="lstm_research", help="of W&B or Trackio")
    parser.add_argument("--again", action="store_true", help="send also what has been sent")
    parser.add_argument(
        "--workspace",
        action="store_true",
        help="W&B: save a view for ablations, a new one each time",
    )
    return parser.parse_args(arguments)


def send(records: Sequence[Record], dashboard: Any, again: bool) -> list[Sent]:
    """Send runs, and the tables of their studies; stop where the dashboard is down."""
    cells, tasks, wraps = named("cell"), named("task"), named("wrap")
    variant = lambda spec: label.variant(spec, cells, wraps)
    done, row = [], 0
    for each in replay(records, dashboard, variant, again):
        done.append(each)
        row = row + 1 if each.fault is not None else 0
        if row == PATIENCE:
            return done
    for folder in sorted({record.path.absolute().parent for record in records}):
        whole = store.load_runs(folder)  # whichever of its runs were asked for
        try:
            rows = flat(table(whole, cells, tasks, wraps))
            tabled(folder, dashboard, COLUMNS, rows, again)
        except Exception as error:
            done.append(Sent(whole[0]._replace(path=folder), "table", error))
    return done


def report(records: Sequence[Record], done: Sequence[Sent], ended: int) -> str:
    """Say what became of the runs."""
    counts = Counter(each.verdict for each in done if each.verdict not in ("fault", "table"))
    left = ended - sum(counts.values())
    said = [f"{count} {SAID.get(verdict, verdict)}" for verdict, count in counts.items()]
    said += [f"{left} not sent; the same line goes on from here"] if left else []
    said += [f"{len(records) - ended} unfinished, left out"] if len(records) > ended else []
    return f"{len(records)} runs: {', '.join(said)}"


def arranged(dashboard: Any, records: Sequence[Record]) -> int:
    """Save a view for ablations in the W&B project, and print its address."""
    if getattr(dashboard, "mode", None) != "online":
        return failed("--workspace: needs --to wandb and a login; nothing was saved")
    try:
        workspace = import_module("lstm_research.trackers.workspace")
        view = workspace.ablations(workspace.owner(), dashboard.project, records)
        print(view.save().url)
    except ImportError:
        return failed("--workspace: pip install 'lstm-research[workspace]'")
    except Exception as error:
        return failed(f"--workspace: {oneline(error)}")
    return 0


def failed(message: str) -> int:
    """Print a message to standard error and return the exit code."""
    print(message, file=sys.stderr)
    return FAILED


def oneline(error: Exception | None) -> str:
    """Return an error as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
