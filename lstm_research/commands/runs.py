"""`lstm-research runs`: what is in a store, and what is missing of its sweeps."""

import argparse
import json
import sys
from collections import Counter

from lstm_research import ledger, store, terminal
from lstm_research.config import named
from lstm_research.inventory import chosen, drawing, inventory
from lstm_research.plain import encode


def main(arguments: list[str]) -> int:
    """List the runs of a store, and the line that goes on with a sweep that is unfinished."""
    parser = argparse.ArgumentParser("lstm-research runs", description=main.__doc__)
    parser.add_argument(
        "runs", nargs="?", default="runs", help="folder of the store (default: runs)"
    )
    for field in ("study", "cell", "task"):
        parser.add_argument(f"--{field}", help=f"only this {field}, as the list names it")
    parser.add_argument("--status", choices=(*store.ENDED, "unfinished"), help="only these")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    options = parser.parse_args(arguments)
    items = inventory(store.load_runs(options.runs), named("cell"), named("task"), named("wrap"))
    items = chosen(items, study=options.study, cell=options.cell, task=options.task)
    items = [each for each in items if options.status in (None, each.status)]
    unfinished = [
        (sweep, left)
        for sweep in ledger.sweeps(options.runs)
        if (left := ledger.missing(options.runs, sweep))
    ]
    if options.json:
        for each in items:
            print(encode(each._asdict()))
        for sweep, left in unfinished:
            told = {"runs": len(sweep.runs), "missing": dict(left), "resume": sweep.line}
            print(json.dumps({"sweep": told}), file=sys.stderr)
        return 0
    terminal.put(drawing(items))
    counts = Counter(each.status for each in items)
    print(f"\n{len(items)} runs" + "".join(f", {k} {name}" for name, k in counts.items()))
    for sweep, left in unfinished:
        what = ", ".join(f"{count} {name}" for name, count in left.items())
        print(f"\n{left.total()} of {len(sweep.runs)} runs of a sweep are missing ({what}):")
        print(f"  {sweep.line}")
    return 0
