"""`lstm-research tasks`: the catalogue, and one example of a task."""

import argparse
import json
import sys
from pathlib import Path

import yaml

from lstm_research import catalogue, figure, terminal
from lstm_research.catalogue import UnknownName
from lstm_research.commands import FAILED, MISTAKE
from lstm_research.example import example, text
from lstm_research.face import task
from lstm_research.task_listing import drawing, entry
from lstm_research.tasks.task import Task


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
    return given(task(names[0]), out, seed)


def show(arguments: list[str]) -> int:
    """Print or draw one example of a task at settings of its own: task=copying task.delay=10."""
    parser = argparse.ArgumentParser("lstm-research show", description=show.__doc__)
    parser.add_argument("words", nargs="+", metavar="KEY=VALUE", help="task=NAME, task.KEY=VALUE")
    parser.add_argument("--out", default="-", help="file that ends in .svg or .png (default: text)")
    parser.add_argument("--seed", type=int, default=0, help="of the example (default: 0)")
    options = parser.parse_args(arguments)
    try:
        pairs = {key: yaml.safe_load(value) for key, value in map(split, options.words)}
        built = task(str(pairs.pop("task")), **{key[5:]: pairs[key] for key in pairs})
    except (UnknownName, ValueError) as error:
        print(error, file=sys.stderr)
        return MISTAKE
    return given(built, options.out, options.seed)


def split(word: str) -> tuple[str, str]:
    """Return (key, value) of task=NAME or task.KEY=VALUE; raise ValueError for another word."""
    key, equals, value = word.partition("=")
    if not equals or (key != "task" and not key.startswith("task.")):
        raise ValueError(f"{word!r} is not task=NAME or task.KEY=VALUE")
    return key, value


def given(built: Task, out: str, seed: int) -> int:
    """Print one example of a task, or draw it to a file."""
    if out == "-":
        print(text(built, seed), end="")
        return 0
    try:
        print(figure.save(example(built, seed), Path(out)))
    except (figure.MissingPackage, ValueError) as error:
        print(error, file=sys.stderr)
        return FAILED if isinstance(error, figure.MissingPackage) else MISTAKE
    return 0
