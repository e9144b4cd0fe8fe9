"""`lstm-research table`: cells x tasks."""

import argparse
import sys

from lstm_research import store, terminal
from lstm_research.commands import FAILED, MISTAKE
from lstm_research.config import named
from lstm_research.render import FORMATS
from lstm_research.table import table


def main(arguments: list[str]) -> int:
    """Print the table of a store: cells x tasks with intervals over seeds, and what each costs."""
    parser = argparse.ArgumentParser("lstm-research table", description=main.__doc__)
    parser.add_argument(
        "runs", nargs="?", default="runs", help="folder of the store (default: runs)"
    )
    parser.add_argument("--study", help="only this study")
    parser.add_argument("--baseline", help="row that the others are tested against, seed by seed")
    parser.add_argument("--format", choices=sorted(FORMATS), default="terminal")
    options = parser.parse_args(arguments)
    records = store.load_runs(options.runs)
    if options.study is not None:
        records = [record for record in records if record.study == options.study]
    if not records:
        print(f"no runs in {options.runs}; lstm-research quickstart makes some", file=sys.stderr)
        return FAILED
    cells, tasks, wraps = map(named, ("cell", "task", "wrap"))
    try:
        found = table(records, cells, tasks, wraps, baseline=options.baseline)
    except ValueError as error:  # a baseline that is no row, or a column of two metrics
        print(error, file=sys.stderr)
        return MISTAKE
    terminal.show(found) if options.format == "terminal" else print(
        FORMATS[options.format](found), end=""
    )
    return 0
