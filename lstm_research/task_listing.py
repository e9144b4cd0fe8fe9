"""The catalogue of tasks: what `lstm-research tasks` prints of each, read from its YAML and its build."""

from typing import Any, NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from lstm_research import catalogue
from lstm_research.tasks import TASKS
from lstm_research.tasks.data import DataError
from lstm_research.tasks.task import Success, Task


class Entry(NamedTuple):
    """One named task at its settings; what needs data that are absent is None, and `missing` says why."""

    name: str
    caption: str
    what: str  # first sentence of the docstring of its kind
    settings: dict[str, Any]
    inputs: str | None = None
    outputs: str | None = None
    metric: str | None = None
    goal: str | None = None
    chance: dict[str, float] | None = None
    ceiling: dict[str, float] | None = None
    success: str | None = None
    source: str | None = None
    missing: str | None = None


def entry(name: str) -> Entry:
    """Return the entry of one name; raise `UnknownName` with the nearest spelling."""
    spec = catalogue.spec(TASKS, "task", name, {})
    what = " ".join((type(spec).__doc__ or "").split("\n\n")[0].split())
    settings = {key: value for key, value in vars(spec).items() if key != "kind"}
    known = Entry(name, catalogue.caption("task", name), what, settings)
    try:
        task = spec.build()
    except DataError as error:
        return known._replace(missing=str(error))
    return known._replace(
        inputs=taken(task),
        outputs=given(task),
        metric=task.metric,
        goal=task.goal,
        chance=dict(task.chance),
        ceiling=dict(task.ceiling),
        success=None if task.success is None else criterion(task.success),
        source=task.source,
    )


def taken(task: Task) -> str:
    """Return what enters at a step."""
    if task.vocabulary is not None:
        return f"a token of {task.vocabulary}"
    return f"{task.features} float{'s' if task.features != 1 else ''}"


def given(task: Task) -> str:
    """Return what is asked, and when."""
    when = "at each step" if task.readout == "step" else "at the end"
    many = f"{task.outputs} number{'s' if task.outputs != 1 else ''}"
    kinds = {
        "cross_entropy": f"a class of {task.outputs}",
        "bernoulli": f"{task.outputs} yes or no",
        "squared_error": many,
        "quantile": f"{task.outputs} quantiles",
    }
    return f"{kinds[task.loss]}, {when}"


def criterion(success: Success) -> str:
    """Return when a task is solved."""
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in ((">=", success.at_least), ("<=", success.at_most))
        if bound is not None
    ]
    return f"{success.metric} {' and '.join(bounds)}"


HEADS = ("task", "input; what is asked", "metric", "chance", "ceiling", "solved at", "what it is")


def drawing(entries: list[Entry]) -> Table:
    """Return the catalogue as a table of rich, the source under what each task is."""
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, caption_justify="left",
        caption=f"{len(entries)} tasks. chance: the best answer without memory; ceiling: the best "
        "there is, where it is known.",
    )  # fmt: skip
    for head in HEADS:
        table.add_column(head, no_wrap=head == "task")
    for each in entries:
        what = Text(each.caption)
        if each.missing:
            what.append(f"\n{each.missing}", style="dim")
        table.add_row(
            each.name,
            "" if each.inputs is None else f"{each.inputs}; {each.outputs}",
            "" if each.metric is None else f"{each.metric} ({each.goal})",
            number(each.chance, each.metric),
            number(each.ceiling, each.metric),
            each.success or "",
            what,
            end_section=True,
        )
    return table


def number(known: dict[str, float] | None, metric: str | None) -> str:
    """Return the number of the metric by which a task is compared, where there is one."""
    return "" if not known or metric not in known else f"{known[metric]:.4g}"
