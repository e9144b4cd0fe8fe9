"""The Python face by name: `lr.cell("cifg", peephole="io")`, `lr.task("adding", length=100)`."""

from typing import Any

from lstm_research import catalogue
from lstm_research.cell import Cell
from lstm_research.cells import CELLS
from lstm_research.tasks import TASKS
from lstm_research.tasks.task import Task


def cell(name: str, **changes: Any) -> Cell:
    """Return a named cell or kind, with changes; raise ValueError with the nearest spelling."""
    return catalogue.spec(CELLS, "cell", name, changes).build()


def task(name: str, **changes: Any) -> Task:
    """Return a named task or kind, with changes; raise ValueError with the nearest spelling."""
    return catalogue.spec(TASKS, "task", name, changes).build()
