"""The runs of a store as a list: what each is called, how far it came, and which of them are meant."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from lstm_research import digits
from lstm_research.catalogue import UnknownName
from lstm_research.label import label, variant
from lstm_research.plain import canonical, decode
from lstm_research.spelling import unknown
from lstm_research.store import Record

Names = Mapping[str, Mapping]
COLOURS = {"solved": "green", "diverged": "yellow", "failed": "red", "unfinished": "dim"}
HEADS = ("run", "cell", "task", "seed", "status", "steps", "metric", "test", "started")


class Item(NamedTuple):
    """One run in the list; None where it is not known."""

    run: str
    path: str
    study: str
    cell: str
    task: str
    seed: int | None
    status: str
    steps: int | None
    metric: str | None
    test: float | None
    started: str | None
    error: str | None


def inventory(records: Iterable[Record], cells: Names, tasks: Names, wraps: Names) -> list[Item]:
    """Return the list of runs, in their order."""

    @cache  # the names of equal parts are looked up once
    def called(kind: str, text: str) -> str:
        part = decode(text)
        return label(part, tasks) if kind == "task" else variant(part, cells, wraps)

    return [item(record, called) for record in records]


def item(record: Record, called: Callable[[str, str], str]) -> Item:
    """Return one run of the list."""
    spec, result = record.spec, record.result or {}
    metric = result.get("metric")
    test: Any = (result.get("metrics") or {}).get("test") or {}
    named = {"cell": spec.get("cell"), "wrap": spec.get("wrap")}
    return Item(
        run=f"{record.study}/{record.path.absolute().name}",
        path=str(record.path),
        study=record.study,
        cell=called("cell", canonical(named)) if named["cell"] else "?",
        task=called("task", canonical(spec["task"])) if spec.get("task") else "?",
        seed=spec.get("seed"),
        status=record.status,
        steps=result.get("steps"),
        metric=metric,
        test=test.get(metric) if metric else None,
        started=record.environment.get("started"),
        error=result.get("error"),
    )


def chosen(items: Sequence[Item], **wanted: str | None) -> list[Item]:
    """Return the runs whose fields are as wanted; None: any.

    `cell="lstm"` takes `lstm(forget_bias=2)` and `lstm + zoneout` too. Raises UnknownName with the nearest
    spelling where no run has such a field.
    """
    for field, value in wanted.items():
        if value is None:
            continue
        names = {str(getattr(each, field)) for each in items}
        if items and not any(is_of(name, value) for name in names):
            raise UnknownName(unknown(f"--{field}", value, names, f"{field} of these runs"))
        items = [each for each in items if is_of(str(getattr(each, field)), value)]
    return list(items)


def is_of(name: str, wanted: str) -> bool:
    """Say whether a name is the wanted one, or that one with changes or a wrapper."""
    return name == wanted or name.startswith((f"{wanted}(", f"{wanted} + "))


def drawing(items: Sequence[Item]) -> Table:
    """Return the list as a table of rich; the status of a run has its colour."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for head in HEADS:
        table.add_column(head, justify="right" if head in ("seed", "steps", "test") else "left")
    for each in items:
        number = "" if each.test is None else digits.interval(each.test)[0]
        status = Text(each.status, style=COLOURS.get(each.status, ""))
        table.add_row(
            each.run, each.cell, each.task, text(each.seed), status, text(each.steps),
            each.metric or "", number, (each.started or "")[:16].replace("T", " "),
        )  # fmt: skip
    return table


def text(value: object) -> str:
    """Return a value as text, nothing for None."""
    return "" if value is None else str(value)
