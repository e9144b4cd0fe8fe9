"""Trackers: listeners that replay the store's events into somebody's dashboard.

The one decision: a tracker lives in a process of its own and reads the store. The training process
never imports it, never waits for it, and cannot be stopped by it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lstm_research.spelling import unknown

KINDS = ("auto", "wandb", "none")


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
