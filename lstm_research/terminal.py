"""A Table in a terminal: as wide as it is allowed to be, coloured only where somebody looks.

The one decision: nothing is ever cut off. A table that is too wide first moves its intervals under
the means, then breaks into blocks of columns one below the other.
"""

import io
import os
import sys
from dataclasses import replace
from typing import TextIO

from rich import box
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table as Drawing
from rich.text import Text

from lstm_research.grid import Cell, agreed, grid
from lstm_research.table import Row, Table

STYLES = {"head": "bold", "best": "bold", "bad": "red", "quiet": "dim"}
ASCII = str.maketrans({"·": "-", "Δ": "d", "—": "-", "↓": "(min)", "↑": "(max)", "─": "-"})
ENDLESS = 10_000


def terminal(table: Table, *, width: int | None = None, color: bool = False) -> str:
    """Draw a table, its notes below.

    width: columns of the terminal, None for as many as it takes. color: ANSI styles (bold, red for
    what diverged or failed, dim); without them the text is plain
    and a star marks what would be bold.
    """
    star = "" if color else " *"
    text = io.StringIO()
    out = _console(ENDLESS, color, text)  # a drawing that fits needs no squeezing, none is cut
    for drawing in _fitting(table, width or ENDLESS, star, agreed(table)):
        out.print(drawing)
        out.print()
    below = _console(width or ENDLESS, color, text)
    for note in table.notes:
        below.print(Text(note, style="dim"), soft_wrap=width is None)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def show(table: Table, file: TextIO | None = None) -> None:
    """Print a table: fitted and coloured in a terminal, plain and unbroken in a pipe or a file.

    $NO_COLOR is obeyed. Marks that the file's encoding lacks are written in ASCII.
    """
    out: TextIO = file or sys.stdout
    live = out.isatty()
    width = Console(file=out).width if live else None
    text = terminal(table, width=width, color=live and not os.environ.get("NO_COLOR"))
    try:
        text.encode(out.encoding or "utf-8")
    except UnicodeEncodeError:
        text = text.translate(ASCII).encode("ascii", "replace").decode()
    out.write(text)
    out.flush()


def console() -> Console:
    """Return a console on standard output: as wide as the terminal, 120 columns in a pipe."""
    live = sys.stdout.isatty()
    return _console(
        Console().width if live else 120, live and not os.environ.get("NO_COLOR"), sys.stdout
    )


def put(drawing: RenderableType) -> None:
    """Print a drawing of rich: fitted and coloured in a terminal, plain and unbroken in a pipe."""
    if sys.stdout.isatty():
        console().print(drawing)
        return
    text = io.StringIO()
    _console(ENDLESS, False, text).print(drawing)
    print("\n".join(line.rstrip() for line in text.getvalue().splitlines()))


def writes(marks: str) -> bool:
    """Say whether standard output has these marks."""
    try:
        marks.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _console(width: int, color: bool, file: TextIO) -> Console:
    return Console(
        file=file,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


def _fitting(table: Table, width: int, star: str, apart: bool) -> list[Drawing]:
    """Return the widest layout that fits, in as few blocks of columns as that takes."""
    drawing = _draw(grid(table, apart=apart), star)
    if _width(drawing) <= width:
        return [drawing]
    drawing = _draw(grid(table, apart=apart, stacked=True), star)
    half = len(table.columns) // 2
    if _width(drawing) <= width or half == 0:
        return [drawing]
    halves = (_block(table, slice(None, half)), _block(table, slice(half, None)))
    return [part for block in halves for part in _fitting(block, width, star, apart)]


def _block(table: Table, columns: slice) -> Table:
    rows = tuple(Row(row.label, row.entries[columns]) for row in table.rows)
    return replace(table, columns=table.columns[columns], rows=rows)


def _width(drawing: Drawing) -> int:
    console = _console(ENDLESS, False, io.StringIO())
    return Measurement.get(console, console.options, drawing).maximum


def _draw(rows: list[list[Cell]], star: str) -> Drawing:
    head, *body = rows
    drawing = Drawing(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="")
    for cell in head:
        drawing.add_column(_text(cell, star), no_wrap=True)
    for number, row in enumerate(body):
        drawing.add_row(*[_text(cell, star) for cell in row])
        if number + 1 < len(body):
            drawing.add_row()  # cells are several lines tall
    return drawing


def _text(cell: Cell, star: str) -> Text:
    lines = [Text(line.text, style=STYLES.get(line.tone, "")) for line in cell]
    if star and cell[0].tone == "best":
        lines[0].append(star)
    return Text("\n").join(lines)
