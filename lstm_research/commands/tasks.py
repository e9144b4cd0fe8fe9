"""`lstm-research tasks`: the catalogue, and one example of a task."""

import argparse
import json
import sys
from pathlib import Path

from lstm_research import catalogue, figure, terminal
from lstm_research.commands import FAILED, MISTAKE
from lstm_research.example import example, text
from lstm_research.face import task
from lstm_research.task_listing import drawing, entry


def main(arguments: list[str]) -> int:
    """List the tasks: what goes in, what is asked, metric, chance, ceiling, criterion, source."""
    parser = argparse.ArgumentParser("lstm-research tasks", description=main.__doc__)
    parser.add_argument("names", nargs="*", help="only these (default: all)")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    parser.add_argument(
        "--example",
        nargs="?",
        const="-",
        metavar="FILE",
        help="print one example of one task, or draw it to a file that ends in .svg or .png",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the example (default: 0)")
    options = parser.parse_args(arguments)
    if options.example is not None:
        return one_example(options.names, options.example, options.seed)
    found = [entry(name) for name in options.names or catalogue.names("task")]
    if options.json:
        print("\n".join(json.dumps(each._asdict()) for each in found))
    else:
        terminal.console().print(drawing(found))
    return 0


def one_example(names: list[str], out: str, seed: int) -> int:
    """Print one example of the one task that is named, or draw it."""
    if len(names) != 1:
        print(f"--example needs the name of one task; got {len(names)}", file=sys.stderr)
        return MISTAKE
    built = task(names[0])
    if out == "-":
        print(text(built, seed), end="")
        return 0
    try:
        print(figure.save(example(built, seed), Path(out)))
    except (figure.MissingPackage, ValueError) as error:
        print(error, file=sys.stderr)
        return FAILED if isinstance(error, figure.MissingPackage) else MISTAKE
    return 0
