"""`lstm-research inspect`: what the gates of a trained run do, in numbers and pictures."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from lstm_research import figure, inspect_pictures, store, terminal
from lstm_research.commands import FAILED
from lstm_research.config import RunSpec, build, named
from lstm_research.disk import explained, write
from lstm_research.inspection import Inspection, Layer, inspect, numbers
from lstm_research.label import label, variant
from lstm_research.lookup import find_run, load_network
from lstm_research.plain import encode
from lstm_research.signature import task
from lstm_research.tasks.task import SPLITS


def main(arguments: list[str]) -> int:
    """Inspect a trained run: gates, timescales, gradient flow, spectrum; numbers and pictures."""
    parser = argparse.ArgumentParser("lstm-research inspect", description=main.__doc__)
    parser.add_argument("run", help="folder of a run, the start of its hash, or study/hash")
    parser.add_argument("--split", choices=SPLITS, default="valid")
    parser.add_argument("--examples", type=positive, default=64, help="sequences (default: 64)")
    parser.add_argument("--out", type=Path, help="folder (default: inspect/ in that of the run)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    parser.add_argument("--runs", default="runs", help="folder of the store (default: runs)")
    options = parser.parse_args(arguments)
    run = find_run(options.run, options.runs)
    network, spec = load_network(run), build(store.load_run(run).spec)
    built = task(spec.task)
    found = inspect(network, built, options.split, options.examples)
    told = numbers(found)
    out = run / "inspect" if options.out is None else options.out
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
        write(out / "numbers.json", encode(told) + "\n")
    if options.json:
        print(json.dumps(told))
    else:
        show(found)
    try:
        for name, chart in inspect_pictures.pictures(found, built, title(spec)).items():
            for ending in (".svg", ".png"):
                figure.save(chart, out / f"{name}{ending}")
    except figure.MissingPackage as error:
        print(error, file=sys.stderr)
        return FAILED
    print(f"numbers and pictures in {out}", file=sys.stderr)
    return 0


def title(spec: RunSpec) -> str:
    """Return what a run is called: its cell and its task."""
    known = spec.resolved()
    cell = variant(known, named("cell"), named("wrap"))
    return f"{cell} on {label(known['task'], named('task'))}, seed {spec.seed}"


def positive(text: str) -> int:
    """Return a whole number from 1 on; argparse says what is wrong with another."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def show(found: Inspection) -> None:
    """Print what an inspection found: a table of the gates and a few lines for each layer."""
    out = terminal.console()
    out.print(f"{found.examples} sequences of {found.split}, {found.parameters:,} parameters")
    for layer in found.layers:
        out.print()
        if layer.gates:
            out.print(gates(layer))
        else:
            out.print(layer.name)
        for line in lines(layer):
            out.print(line)


def gates(layer: Layer) -> Table:
    """Return the gates of a layer as a table of rich."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(layer.name)
    for head in ("mean", "under 0.1", "over 0.9"):
        table.add_column(head, justify="right")
    for name, one in layer.gates.items():
        ends = ["" if side is None else f"{side.mean():.0%}" for side in (one.left, one.right)]
        table.add_row(inspect_pictures.label(name), f"{one.mean.mean():.3f}", *ends)
    return table


def lines(layer: Layer) -> list[str]:
    """Return what else there is to say of a layer."""
    said = []
    if layer.timescales is not None:
        low, middle, high = np.quantile(layer.timescales, (0, 0.5, 1), method="nearest")
        said.append(f"timescales    {low:.3g} to {high:.3g} steps, median {middle:.3g}")
    for name, bands in layer.flow.items():
        medians = [band[1] for band in bands]
        far = len(medians) - 1
        said.append(
            f"gradient      dL/d{name}: {medians[0]:.2g} at the prediction, "
            f"{medians[far // 2]:.2g} {far // 2} steps before, {medians[far]:.2g} {far} before"
        )
    if layer.carried is not None:
        s = layer.memory
        said.append(
            f"memory        |d{s}_T/d{s}_t| is {layer.carried[-1]:.2g} over "
            f"{len(layer.carried) - 1} steps"
        )
    if layer.spectrum is not None:
        radius = np.abs(layer.spectrum.eigenvalues)[:, 0]
        said.append(
            f"spectrum      radius {radius.mean():.3f} on average, {radius.max():.3f} at most; "
            f"largest singular value {layer.spectrum.singular[:, 0].max():.3g}"
        )
    cost = layer.cost
    counted = "" if cost.flops is None else f" of {cost.flops:,.0f} operations"
    said.append(
        f"cost          {cost.parameters:,} parameters; a step: {cost.products:,}{counted} in "
        f"products, {cost.kept_bytes:,} bytes kept"
    )
    return said + [f"note          {note}" for note in layer.notes]
