"""`lstm-research show`: one run."""

import argparse

from lstm_research import store, terminal
from lstm_research.config import named
from lstm_research.detail import drawing, parts
from lstm_research.label import label, variant
from lstm_research.lookup import find_run
from lstm_research.plain import encode
from lstm_research.report.curves import series
from lstm_research.sparkline import ASCII, BARS


def main(arguments: list[str]) -> int:
    """Show one run: how it ended, its curves, its settings, its versions."""
    parser = argparse.ArgumentParser("lstm-research show", description=main.__doc__)
    parser.add_argument("run", help="a folder, study/hash, or the start of a hash")
    parser.add_argument("--runs", default="runs", help="folder of the store (default: runs)")
    parser.add_argument("--json", action="store_true", help="one JSON object, the curve in it")
    options = parser.parse_args(arguments)
    path = find_run(options.run, options.runs)
    record = store.load_run(path)
    try:
        curves = series(path)
    except ValueError as error:
        raise store.StoreError(str(error)) from None
    if options.json:
        told = record._asdict() | {"path": str(path), "curve": store.curve(path)}
        print(encode(told))
        return 0
    spec = record.spec
    names = ["?"]
    if "cell" in spec and "task" in spec:
        names = [variant(spec, named("cell"), named("wrap")), label(spec["task"], named("task"))]
    run = f"{record.study}/{path.absolute().name}"
    marks, dot = (BARS, " · ") if terminal.writes(BARS) else (ASCII, ", ")
    title = dot.join([run, *names, f"seed {spec.get('seed')}"])
    terminal.put(drawing(list(parts(record, curves, title, marks))))
    return 0
