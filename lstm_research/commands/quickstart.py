"""`lstm-research quickstart`: a gate ablation in about two minutes."""

import argparse
from pathlib import Path

from lstm_research import local, sweep
from lstm_research.commands import table
from lstm_research.commands.run import launch


def main(arguments: list[str]) -> int:
    """Compare five cells on three tasks over three seeds, in about two minutes, and show the table."""
    parser = argparse.ArgumentParser("lstm-research quickstart", description=main.__doc__)
    parser.add_argument("--runs", default="runs", help="folder of the store (default: runs)")
    options = parser.parse_args(arguments)
    apart = local.Settings(
        Path(options.runs), choice="rows"
    )  # a superset has no step time of a row
    line = ["quickstart", "--runs", options.runs]
    code = launch(sweep.study("quickstart"), apart, "auto", line)
    return table.main([options.runs, "--study", "quickstart"]) or code
