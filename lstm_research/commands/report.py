"""`lstm-research report`: one self-contained HTML page."""

import argparse
import sys
from pathlib import Path

from lstm_research import figure
from lstm_research.commands import FAILED, MISTAKE


def main(arguments: list[str]) -> int:
    """Write one HTML page that compares the runs: table, tests, curves, gates, settings."""
    parser = argparse.ArgumentParser("lstm-research report", description=main.__doc__)
    parser.add_argument(
        "runs", nargs="?", default="runs", help="folder of the store (default: runs)"
    )
    parser.add_argument("--study", help="only this study")
    parser.add_argument("--baseline", help="row that the others are tested against at first")
    parser.add_argument("--out", default="report.html", help="the page (default: report.html)")
    parser.add_argument(
        "--watch", action="store_true", help="write it again as runs go on, until interrupted"
    )
    parser.add_argument("--every", type=float, default=10, help="seconds between two looks")
    options = parser.parse_args(arguments)
    if not options.every > 0:
        print(f"--every: {options.every:g} must be more than 0 seconds", file=sys.stderr)
        return MISTAKE
    try:
        figure.required()
    except figure.MissingPackage as error:
        print(error, file=sys.stderr)
        return FAILED
    from lstm_research.report.write import Wanted, Written, watch, write  # a second to import

    wanted = Wanted(Path(options.runs), Path(options.out), options.study, options.baseline)

    def tell(written: Written) -> None:
        print(f"{wanted.out}: {written.runs} runs, {written.size / 1e6:.2f} MB", flush=True)

    try:
        watch(wanted, options.every, tell) if options.watch else tell(write(wanted))
    except ValueError as error:  # a baseline that is no row
        print(error, file=sys.stderr)
        return MISTAKE
    return 0
