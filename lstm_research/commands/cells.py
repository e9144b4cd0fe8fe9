"""`lstm-research cells`: the catalogue."""

import argparse
import json

from lstm_research import catalogue, terminal
from lstm_research.listing import drawing, one


def main(arguments: list[str]) -> int:
    """List the cells: equations, source, parameters, what kind of recurrence, which engine."""
    parser = argparse.ArgumentParser("lstm-research cells", description=main.__doc__)
    parser.add_argument("names", nargs="*", help="only these (default: all)")
    parser.add_argument("--features", type=int, default=64, help="width of the input (default: 64)")
    parser.add_argument("--hidden", type=int, default=128, help="units (default: 128)")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    options = parser.parse_args(arguments)
    sizes = options.features, options.hidden
    found = [one(name, *sizes) for name in options.names or catalogue.names("cell")]
    if options.json:
        print("\n".join(json.dumps(each._asdict()) for each in found))
    else:
        terminal.console().print(drawing(found, *sizes))
    return 0
