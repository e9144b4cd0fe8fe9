"""In which setting does an LSTM solve each task on two cores, and after how many sequences?

    python experiments/solve.py                   run what is missing, write results/solve.md and .jsonl
    python experiments/solve.py --only reber adding          these rows
    python experiments/solve.py --subset --seeds 2           the fast rows, the first two seeds
    python experiments/solve.py --check [--subset]           run what was solved again, write nothing;
                                                             exit 1 and name the rows no longer solved
    python experiments/solve.py --render                     write solve.md again, run nothing

Runs that are in solve.jsonl or in the store are not run again, so it may be stopped at any moment;
`--check` starts from an empty store. A row is a task of `conf/task`, or one in a smaller size; its setting
is a line of `experiments/solve.yaml`, beside the `base` of all, and the words after
`lstm-research run task=ROW`.

Solved: the task's own success, met on validation, or, where a task sets none, a test metric better than
chance. A row is solved where more than half of its seeds are. Steps, sequences and seconds are those of
the seeds that solved it, up to the validation that said so: median, and the range in brackets. Seconds
are those of training on one core; two runs share the two cores; compiling and validating come on top. A
load average well above 2 says that others used the cores too and that the seconds are too many.
Reached is the test metric of every seed, chance what is reached without memory. Below the table: what
was tried where a row is not solved, or is smaller than its task. `solve.yaml` names the tasks that are
left out, and why.
"""

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ledger import lines, told
from ledger.lines import Line

from lstm_research.cli import answered
from lstm_research.commands.run import launch
from lstm_research.local import Settings

RESULTS = Path(__file__).parent / "results"
LINES = RESULTS / "solve.jsonl"
SEEDS = 5
PLAN: dict[str, Any] = yaml.safe_load(
    Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
)
BASE: str = PLAN["base"]
SETTINGS: dict[str, str] = PLAN["rows"]
LEFT_OUT: dict[str, str] = PLAN["left_out"]
NOTES: dict[str, str] = PLAN["notes"]
SUBSET: list[str] = PLAN["fast"]


def setting(row: str) -> dict[str, Any]:
    """Return what a row sets, by key: the base, the task, and its own line."""
    words = f"task={row} {BASE} {SETTINGS[row]}".split()
    return dict(word.split("=", 1) for word in words)


def won(line: Line) -> bool:
    """Say whether a run met its task's success; of a task without one, whether it beats chance."""
    result = line["result"]
    if result["status"] not in ("solved", "finished"):
        return False
    if result["success"] is not None:
        return result["status"] == "solved"
    name = result["metric"]
    reached, chance = result["metrics"]["test"][name], result["chance"][name]
    return reached < chance if result["goal"] == "min" else reached > chance


def rows(found: Iterable[Line]) -> dict[str, list[Line]]:
    """Return lines by their row, in their order."""
    return {
        name: list(group) for name, group in itertools.groupby(found, key=lambda line: line["row"])
    }


def solved(group: Sequence[Line]) -> bool:
    """Say whether more than half of the runs of a row solved it."""
    return 2 * sum(map(won, group)) > len(group)


def lost(before: Iterable[Line], now: Iterable[Line], asked: Iterable[str]) -> list[str]:
    """Return a line for each row asked for that was solved before and is no longer."""
    old, new = rows(before), rows(now)
    count = lambda group: f"{sum(map(won, group))} of {len(group)} seeds"
    return [
        f"no longer solved: {row}: {count(new.get(row, []))}, {count(old[row])} in {LINES.name}"
        for row in asked
        if row in old and solved(old[row]) and not solved(new.get(row, []))
    ]


def gathered(wanted: Mapping[str, Sequence[Any]], known: Mapping[str, Line]) -> list[Line]:
    """Return the lines of the wanted runs that have ended, row by row."""
    return [
        {"row": row, "setting": SETTINGS[row], **known[lines.key(spec)]}
        for row, specs in wanted.items()
        for spec in specs
        if lines.key(spec) in known
    ]


def rendered(path: Path) -> str:
    """Return the Markdown of the runs in a file."""
    found = lines.read(path)
    text = (__doc__ or "").split("\n\n")
    cost = sum(line["result"]["train_s"] + line["result"]["compile_s"] for line in found) / 60
    head = [
        f"# {text[0]}",
        text[-1].strip(),
        f"Every setting begins with `{BASE}`. {len(found)} runs, {cost:.0f} core-minutes of training "
        f"and compiling; {told.origin(found)}.",
    ]
    table = [
        "| task | setting | weights | solved | steps | sequences | seconds | reached | chance |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
        *(row(name, group) for name, group in rows(found).items()),
    ]
    notes = [f"- {name}: {NOTES[name]}" for name in rows(found) if name in NOTES]
    return "\n\n".join([*head, "\n".join(table), *(["\n".join(notes)] if notes else [])]) + "\n"


def row(name: str, group: Sequence[Line]) -> str:
    """Return one line of the table."""
    results = [line["result"] for line in group]
    first, batch = results[0], group[0]["spec"]["budget"]["batch"]
    steps = [line["result"]["solved_at"] or line["result"]["steps"] for line in group if won(line)]
    seconds = [line["result"]["train_s"] for line in group if won(line)]
    metric = first["metric"]
    ends = [each["metrics"]["test"][metric] for each in results if each["metrics"]]
    beats = "" if first["success"] is not None else " beat chance"
    chance = first["chance"].get(metric)
    return (
        f"| {name} | `{group[0]['setting']}` | {first['parameters']:,} "
        f"| {sum(map(won, group))} of {len(group)}{beats} | {told.spread(steps)} "
        f"| {told.spread([each * batch for each in steps])} | {told.spread(seconds, 2)} "
        f"| {metric} {told.spread(ends)} | {'' if chance is None else told.short(chance)} |"
    )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="ROW", help="only these rows")
    parser.add_argument("--subset", action="store_true", help="only the fast rows")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many (default: {SEEDS})")
    parser.add_argument(
        "--check", action="store_true", help="run again, exit 1 where a row is lost"
    )
    parser.add_argument("--render", action="store_true", help="write the table again, run nothing")
    parser.add_argument("--runs", default="runs", help="folder of the store (default: runs)")
    options = parser.parse_args()
    for name in options.only or ():
        if name not in SETTINGS:
            parser.error(f"--only: {name!r} is not one of {', '.join(SETTINGS)}")
    if options.seeds < 1:
        parser.error(f"--seeds: {options.seeds} must be at least 1")
    options.asked = options.only or (SUBSET if options.subset else tuple(SETTINGS))
    return options


def check(options: argparse.Namespace) -> int:
    """Run what was solved before in an empty store, say what was lost, and return the exit code."""
    before = lines.read(LINES)
    held = [name for name, group in rows(before).items() if solved(group)]
    asked = [name for name in options.asked if name in held]
    if not asked:
        print(f"{LINES.name} has no solved row of those asked for", file=sys.stderr)
        return 1
    wanted = {name: lines.specs(setting(name), "solve", options.seeds) for name in asked}
    with tempfile.TemporaryDirectory() as place:
        code = launch([*itertools.chain(*wanted.values())], Settings(Path(place)), "none")
        now = gathered(wanted, lines.known(None, Path(place), "solve"))
    gone = lost(before, now, asked)
    print("".join(f"{each}\n" for each in gone), end="", file=sys.stderr)
    print(f"{len(asked) - len(gone)} of the {len(asked)} rows that were solved before are solved")
    return 1 if gone else code


def main() -> int:
    """Run what is missing, save, draw; or check."""
    options = arguments()
    if options.check:
        return check(options)
    code = 0
    if not options.render:
        root = Path(options.runs)
        wanted = {name: lines.specs(setting(name), "solve", SEEDS) for name in SETTINGS}
        asked = [spec for name in options.asked for spec in wanted[name][: options.seeds]]
        known = lines.known(LINES, root, "solve")
        if missing := [spec for spec in asked if lines.key(spec) not in known]:
            code = launch(missing, Settings(root), "none")
        lines.write(LINES, gathered(wanted, lines.known(LINES, root, "solve")))
    LINES.with_suffix(".md").write_text(rendered(LINES), encoding="utf-8")
    print(LINES.with_suffix(".md").read_text(encoding="utf-8"))
    return code


if __name__ == "__main__":
    sys.exit(answered(main))
