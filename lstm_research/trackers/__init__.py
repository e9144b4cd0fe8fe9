"""Trackers: listeners that replay the store's events into somebody's dashboard.

The one decision: a tracker lives in a process of its own and reads the store. The training process
never imports it, never waits for it, and cannot be stopped by it. What it could not send, or was never
asked to, `lstm-research sync` sends later from the same store.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lstm_research.spelling import unknown

KINDS = ("auto", "wandb", "none")  # while runs go on
TARGETS = ("wandb", "trackio", "tensorboard")  # afterwards


def start(
    kind: str,
    folder: str | Path,
    project: str = "lstm_research",
    label: Callable[[Mapping], str] | None = None,
) -> tuple[Any, ...]:
    """Return the listeners that `kind` asks for: for `store.open_run`, and to close at the end.

    auto: W&B online where a login exists, else nothing. wandb: online with a login, else offline.
    none: nothing. folder: where W&B may put its own files. label: from a resolved spec to the name
    of its variant, as tables print it. Raises ValueError on any other kind.
    """
    if kind not in KINDS:
        raise ValueError(unknown("tracker", kind, KINDS, "tracker"))
    from lstm_research.trackers import wandb  # not above: `python -m` runs that file by itself

    mode = wandb.mode(kind)
    return () if mode is None else (wandb.tracker(folder, project, mode, label),)


def dashboard(target: str, root: str | Path, project: str) -> Any:
    """Return the dashboard (`mirror.Dashboard`) that runs of the store at `root` are sent to.

    wandb: online with a login, else offline files in `<root>/wandb`. trackio: a local project.
    tensorboard: event files in `<root>/tensorboard`. Raises ImportError where its package is not
    installed, ValueError on any other target.
    """
    if target not in TARGETS:
        raise ValueError(unknown("to", target, TARGETS, "dashboard"))
    from lstm_research.trackers import tensorboard, trackio, wandb

    if target == "tensorboard":
        return tensorboard.TensorBoard(Path(root) / "tensorboard")
    if target == "trackio":
        return trackio.Trackio(project)
    return wandb.Wandb(root, project, wandb.mode("wandb") or "offline")
