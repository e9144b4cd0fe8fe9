# pyright: reportMissingImports=false, reportArgumentType=false
"""A view of a W&B project for ablations: curves as mean and spread over the seeds of a variant.

W&B's own table of runs shows group means only (wandb issue 5634), so the view plots the spread, and the
table with intervals and tests is ours (`Wandb.table`). Building a view needs no login, saving it does.
A W&B report is not made: `wandb_workspaces.reports` asks for a login to build one, so that no test
could hold it.
"""

from collections.abc import Sequence
from typing import Any

from lstm_research.store import Record
from lstm_research.trackers.content import told


def ablations(entity: str, project: str, records: Sequence[Record]) -> Any:
    """Return the view (`wandb_workspaces.workspaces.Workspace`); `.save()` puts it there.

    Runs are grouped by task and variant; a section for the curves, one for the final numbers, one for
    cost and pictures. The metrics are those of the runs.
    """
    import wandb_workspaces.reports.v2 as panels
    import wandb_workspaces.workspaces as views

    metrics = sorted({record.result["metric"] for record in records if record.result} - {None, ""})
    group = {"groupby": "config.variant", "groupby_aggfunc": "mean"}
    curve = lambda name: panels.LinePlot(x="step", y=[name], groupby_rangefunc="stddev", **group)
    bar = lambda name: panels.BarPlot(metrics=[name], groupby_rangefunc="stddev", **group)
    curves = [curve(name) for name in ("train/loss", *(f"valid/{each}" for each in metrics))]
    final = [bar(f"test/{each}") for each in metrics]
    cost = [bar(name) for name in ("parameters", "step_ms", "steps")]
    pictures = {f"inspect/{file.stem}" for each in records for file in told(each).pictures}
    media = [panels.MediaBrowser(media_keys=[name]) for name in sorted(pictures)]
    shown = [panels.WeavePanelSummaryTable(table_name="table"), *media]
    keys = [views.Config(name) for name in ("task.kind", "variant")]
    return views.Workspace(
        entity=entity,
        project=project,
        name="ablations",
        sections=[
            views.Section(name="curves", panels=curves, is_open=True),
            views.Section(name="test, at the best validation", panels=final, is_open=True),
            views.Section(name="cost", panels=cost),
            views.Section(name="tables and pictures", panels=shown),
        ],
        runset_settings=views.RunsetSettings(groupby=keys),
    )


def owner() -> str:
    """Return the entity that runs of this login belong to."""
    import wandb

    entity = wandb.Api().default_entity
    if not entity:
        raise ValueError("this login has no default entity; set $WANDB_ENTITY")
    return entity
