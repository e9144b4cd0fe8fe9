"""A Table as text: terminal, Markdown, LaTeX, CSV, HTML, JSON; each a pure function of the table.

The one decision: what a cell says is decided once, as lines of plain text (`grid`); a renderer
only escapes and joins them. CSV and JSON carry the numbers themselves, unrounded.
"""

import csv as csv_file
import dataclasses
import html as html_text
import io
import json as json_text
import re
from collections.abc import Callable

from lstm_research.entry import Entry, Versus
from lstm_research.grid import Cell, Line, grid
from lstm_research.table import Column, Row, Table
from lstm_research.terminal import terminal


def markdown(table: Table) -> str:
    """Write a GitHub table with the notes below."""
    escape = lambda text: re.sub(r"([\\|*_`~])", r"\\\1", html_text.escape(text, quote=False))
    bold = lambda line: (
        f"**{escape(line.text)}**" if line.tone in ("head", "best") else escape(line.text)
    )
    rows = [["<br>".join(map(bold, cell)) for cell in row] for row in grid(table)]
    rules = ["---", *["---:"] * (len(rows[0]) - 1)]
    lines = [f"| {' | '.join(row)} |" for row in [rows[0], rules, *rows[1:]]]
    return "\n".join([*lines, "", *(f"{escape(note)}  " for note in table.notes)]) + "\n"


def latex(table: Table) -> str:
    """Write a tabular with the notes below; the preamble needs `\\usepackage{booktabs}`."""
    rows = [[_latex_cell(cell) for cell in row] for row in grid(table)]
    lines = [f"{' & '.join(row)} \\\\" for row in rows]
    notes = "\\\\\n".join(map(_latex, table.notes))
    return "\n".join(
        [
            f"\\begin{{tabular}}{{@{{}}{'l' * len(rows[0])}@{{}}}}",
            *("\\toprule", lines[0], "\\midrule", *lines[1:], "\\bottomrule", "\\end{tabular}"),
            *("", f"\\par\\medskip\\noindent{{\\footnotesize {notes}\\par}}", ""),
        ]
    )


NUMBERS = (
    *("mean", "low", "high", "n", "solved", "diverged", "failed"),
    *("parameters", "step_ms", "sequences"),
)
COLUMNS = (
    *("variant", "task", "metric", "goal"),
    *(*NUMBERS, "best", "delta", "p", "pairs", "values"),
)


def flat(table: Table) -> list[list]:
    """Return a row of `COLUMNS` an entry, all numbers as they are, the seeds' values as `seed:value`."""
    rows = []
    for row in table.rows:
        for column, each in zip(table.columns, row.entries, strict=True):
            if each:
                versus = dataclasses.astuple(each.versus) if each.versus else (None,) * 3
                values = " ".join(f"{seed}:{value!r}" for seed, value in each.values)
                numbers = [getattr(each, field) for field in NUMBERS]
                task = (column.label, column.metric, column.goal)
                rows.append([row.label, *task, *numbers, int(each.best), *versus, values])
    return rows


def csv(table: Table) -> str:
    """Write one line an entry."""
    out = io.StringIO()
    csv_file.writer(out, lineterminator="\n").writerows([COLUMNS, *flat(table)])
    return out.getvalue()


def html(table: Table) -> str:
    """Write one `<table>` element in pure ASCII, notes in its foot; a page brings the style."""
    head, *body = [["<br>".join(map(_html_line, cell)) for cell in row] for row in grid(table)]
    lines = ['<table class="lstm-research">', "<thead><tr>"]
    lines += [*(f'<th scope="col">{cell}</th>' for cell in head), "</tr></thead>", "<tbody>"]
    for first, *rest in body:
        cells = "".join(f"<td>{cell}</td>" for cell in rest)
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    notes = "<br>".join(map(html_text.escape, table.notes))
    lines += ["</tbody>", f'<tfoot><tr><td colspan="{len(head)}">{notes}</td></tr></tfoot>']
    text = "\n".join([*lines, "</table>", ""])
    return text.encode("ascii", "xmlcharrefreplace").decode()


def json(table: Table) -> str:
    """Write the whole table; `parse` reads it back equal."""
    return json_text.dumps(dataclasses.asdict(table), indent=1, allow_nan=False) + "\n"


def parse(text: str) -> Table:
    """Read what `json` wrote."""
    data = json_text.loads(text)
    columns = tuple(Column(**each) for each in data["columns"])
    rows = tuple(Row(row["label"], tuple(map(_entry, row["entries"]))) for row in data["rows"])
    return Table(columns, rows, tuple(data["notes"]), data["baseline"])


def _entry(data: dict | None) -> Entry | None:
    if data is None:
        return None
    values = tuple((seed, value) for seed, value in data["values"])
    return Entry(**data | {"values": values, "versus": data["versus"] and Versus(**data["versus"])})


# ------------------------------------------------------------------ escapes

TEX = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": "$<$", ">": "$>$", "|": "$|$", "·": r"$\cdot$", "Δ": r"$\Delta$", "—": "---"},
    **{"↓": r"$\downarrow$", "↑": r"$\uparrow$", '"': "''", "[": "{[}", "]": "{]}"},
}


def _latex(text: str) -> str:
    return "".join(TEX.get(mark, mark) for mark in text)


def _latex_cell(cell: Cell) -> str:
    bold = [
        rf"\textbf{{{_latex(x.text)}}}" if x.tone in ("head", "best") else _latex(x.text)
        for x in cell
    ]
    if len(bold) == 1:
        return bold[0]
    lines = r" \\ ".join(bold)
    return rf"\begin{{tabular}}[t]{{@{{}}l@{{}}}}{lines}\end{{tabular}}"


def _html_line(line: Line) -> str:
    text = html_text.escape(line.text)
    if line.tone in ("head", "best"):
        return f"<strong>{text}</strong>"
    return f'<small class="{line.tone}">{text}</small>' if line.tone else text


FORMATS: dict[str, Callable[[Table], str]] = {
    **{"terminal": terminal, "markdown": markdown, "latex": latex},
    **{"csv": csv, "html": html, "json": json},
}
