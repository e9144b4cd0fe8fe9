"""The catalogue of cells: what `lstm-research cells` prints of each, read from its YAML and its build.

The one decision: nothing here is written by hand twice. Caption, source, equations and the formula
of the parameters come from the comments of the YAML (which the tests hold to the cell); the class
and the engine come from what the built cell declares.

Class of a recurrence, by what its Jacobian over one step looks like:
A linear in the state, all steps at once exactly; B element-wise, all steps at once by iteration;
C a matrix a head; D a dense matrix, one step after the other.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

import jax
from rich import box
from rich.table import Table
from rich.text import Text

from lstm_research import catalogue, newton
from lstm_research.cell import Cell, Weights
from lstm_research.cells import CELLS

Class = Literal["A", "B", "C", "D"]


class Listed(NamedTuple):
    """One named cell, at a width of inputs and a number of units."""

    name: str
    caption: str
    year: int  # of the first paper that the source names
    source: str
    equations: str
    formula: str  # trained numbers in D features and H units
    parameters: int  # the same, counted
    parallel: Class
    products: int  # matrix products a step, one after the other
    engine: str  # "parallel", or "loop": the fastest there is on this machine


def listed(features: int = 64, hidden: int = 128) -> Iterator[Listed]:
    """Yield every named cell, in the order of the names."""
    for name in catalogue.names("cell"):
        yield one(name, features, hidden)


def one(name: str, features: int, hidden: int) -> Listed:
    """Return the entry of one name; raise `UnknownName` with the nearest spelling."""
    cell = catalogue.spec(CELLS, "cell", name, {}).build()
    told = catalogue.header("cell", name)
    weights = jax.eval_shape(lambda: cell.init(jax.random.key(0), features, hidden))
    return Listed(
        name,
        told["caption"],
        int(re.findall(r"\b(?:19|20)\d\d\b", told["source"])[0]),
        told["source"],
        told["equations"],
        told["parameters"],
        sum(leaf.size for leaf in jax.tree.leaves(weights._replace(row=None))),
        parallel_class(cell, weights),
        sum(stage.read is not None for stage in cell.stages) if cell.linear is None else 0,
        "loop" if cell.linear is None else "parallel",
    )


def parallel_class(cell: Cell, weights: Weights) -> Class:
    """Return the class of a cell; the module's docstring says what the letters mean."""
    if cell.linear is not None:
        return "A"
    if newton.serves(cell):
        return "B"
    read = [
        r for stage, r in zip(cell.stages, weights.r, strict=True) if stage.read and r is not None
    ]
    return "C" if all(r.ndim == 4 for r in read) else "D"


HEADS = ("cell", "year", "parameters", "class", "products", "engine", "what it is")


def drawing(entries: list[Listed], features: int, hidden: int) -> Table:
    """Return the catalogue as a table of rich, equations under each caption."""
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        caption_justify="left",
        caption=f"{len(entries)} cells; parameters at {features} features and {hidden} units. "
        "class: A linear in its state, B element-wise, C a matrix a head, D a dense matrix.",
    )
    for head in HEADS:
        table.add_column(head, justify="right" if head in ("parameters", "products") else "left")
    for each in entries:
        what = Text(f"{each.caption}\n{each.equations}\n")
        what.append(f"{each.formula} · {each.source}", style="dim")
        table.add_row(
            each.name, str(each.year), f"{each.parameters:,}", each.parallel, str(each.products),
            each.engine, what, end_section=True,
        )  # fmt: skip
    return table
