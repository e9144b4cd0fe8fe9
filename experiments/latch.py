"""How does an LSTM hold on to the order of two symbols? Its memory over one example of each order.

    python experiments/latch.py     train the network if the store lacks it, draw results/latch.png

Temporal order 6a (Hochreiter & Schmidhuber 1997): X or Y early, X or Y in the middle, distractors a to
d elsewhere; at the end the order is asked for. One LSTM of a few units, trained on after it has solved
the task so that its memory settles. Units stand in the order of what their memory at the end tells over
the validation set: those of the first symbol above, those of the second below, by the squared
correlation with either. The seed is the first one, none was chosen.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from lstm_research import figure
from lstm_research.analysis.recorded import Record, heard, record
from lstm_research.config import RunSpec, build
from lstm_research.example import heading
from lstm_research.heatmap import Panel, column
from lstm_research.lookup import load_network
from lstm_research.run import run
from lstm_research.signature import task
from lstm_research.store import done, find
from lstm_research.tasks.task import Batch, Task

PICTURE = Path(__file__).parent / "results" / "latch.png"
SIZE = 1.0  # pixels of the picture a unit of the drawing


def spec() -> RunSpec:
    """Return the one run."""
    return build(
        {
            "cell": {"kind": "gated"},
            "task": {"kind": "temporal_order", "length": 30, "held_out": 500},
            "network": {"hidden": 6},
            "optimizer": {"name": "adam", "rate": 0.01},
            "budget": {"steps": 4000, "evaluate_every": 500, "stop_when_solved": False},
            "study": "latch",
        }
    )


def told(memory: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Return what each unit tells of the first and the second symbol, `2 units` squared correlations.

    memory: `row unit`; answers: the class of each row, XX XY YX YY.
    """
    symbols = np.stack([answers // 2, answers % 2]) * 2.0 - 1.0
    both = np.corrcoef(symbols, memory.T)
    return both[:2, 2:] ** 2


def ordered(found: Record, batch: Batch) -> np.ndarray:
    """Return the units, those that tell the first symbol above those that tell the second."""
    rows = np.arange(batch.inputs.shape[0])
    ends = np.asarray(found.carry.c)[np.asarray(batch.lengths) - 1, rows]
    first, second = told(ends, np.asarray(batch.targets))
    return np.argsort(second - first, kind="stable")


def drawing(built: Task, batch: Batch, found: Record) -> Any:
    """Return one example of each order side by side: gates and memory of every unit."""
    order, classes = ordered(found, batch), np.asarray(batch.targets)
    memory = np.asarray(found.carry.c)
    bound = float(np.ceil(np.quantile(np.abs(memory[np.asarray(found.valid)]), 0.99)))
    columns = []
    for number, name in enumerate(built.answers):
        row = int(np.flatnonzero(classes == number)[0])
        steps = int(np.asarray(batch.lengths)[row])
        panels = [
            Panel(title, np.asarray(values)[:steps, row][:, order], signed, top)
            for title, values, signed, top in (
                ("input gate i", found.gates["i"], False, 1.0),
                ("forget gate f", found.gates["f"], False, 1.0),
                ("memory c", found.carry.c, True, bound),
            )
        ]
        head = {"text": f"{name[0]} before {name[1]}", "anchor": "start", "fontSize": 13}
        columns.append(column(panels, heading(built, batch, row)).properties(title=head))
    grid = figure.vega().concat(*columns, columns=2, spacing=28)
    said = "a row a unit: above those whose last memory tells the first symbol, below the second"
    return figure.styled(grid, "How an LSTM remembers the order of two symbols", said)


def main() -> None:
    """Train what is missing and draw the picture."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--runs", default="runs", help="folder of the store (default: runs)")
    root, wanted = Path(parser.parse_args().runs), spec()
    if not done(root, wanted.resolved()):
        run(wanted, root)
    network, built = load_network(find(root, wanted.resolved())), task(wanted.task)
    batch = built.held_out(built.data, "valid")[0]
    found = record(heard(network, batch)[0], batch)
    print(figure.save(drawing(built, batch, found), PICTURE, SIZE))


if __name__ == "__main__":
    main()
