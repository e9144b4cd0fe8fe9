"""`lstm-research search`: settings drawn, run and ranked."""

import contextlib
import json
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from lstm_research import start, terminal
from lstm_research.commands import FAILED
from lstm_research.compose import parse
from lstm_research.config import ConfigError
from lstm_research.line import GROUPS, PLAIN
from lstm_research.spelling import unknown

if TYPE_CHECKING:
    from lstm_research.trials import Found, Tried

SHOWN = 10  # trials that the table lists
HELP = """lstm-research search [--json] KEY=RANGE ... KEY=VALUE ...

  optimizer.rate='tag(log,interval(1e-4,1e-2))'   uniform in the logarithm; without tag uniform
  network.hidden='int(interval(20,200))'          whole numbers; range(20,101,20) in steps
  network.hidden='choice(20,40,80)' cell=lstm,gru cell='glob(greff/*)'      one of a list
  seed=0,1,2                                      is not searched: a trial is the mean over its seeds
  trials=32                                       drawn in all; more on the same line go on from there
  take=8                                          drawn, and packed, at a time
  sampler=tpe|random sampler_seed=0
  study=default tracker=auto|wandb|none runs=runs workers=null pack=auto|superset|rows    as in `run`
  --json                                          an object instead of tables

Trials are ranked by validation, one that diverged last. The draws are in <runs>/<study>/search.jsonl, a
journal of Optuna; the runs are ordinary runs of the study. The same line goes on after a kill."""


def main(arguments: list[str]) -> int:
    """Search settings, by TPE or at random: what was best, and which setting mattered (fANOVA)."""
    if set(arguments) & {"-h", "--help"}:
        print(HELP)
        return 0
    flags = [word for word in arguments if word.startswith("-")]
    if wrong := [flag for flag in flags if flag != "--json"]:
        raise ConfigError(unknown("command line", wrong[0], ("--json", "--help"), "flag of search"))
    try:
        from lstm_research.search import search
    except ImportError as error:
        print(error, file=sys.stderr)
        return FAILED
    start.cores()
    overrides, settings = parted([word for word in arguments if word not in flags])
    with contextlib.redirect_stdout(sys.stderr) if flags else contextlib.nullcontext():
        found = search(overrides, settings, tell=print)
    show(found, as_json=bool(flags))
    bad = [each for each in found.trials if each.error and each.status != "refused"]
    for each in bad:
        print(f"{each.status}: trial {each.number}: {each.error}", file=sys.stderr)
    return FAILED if bad else 0


def parted(words: Sequence[str]) -> tuple[list[str], Any]:
    """Return the overrides of the runs, and the settings of the search; raise ConfigError by name."""
    from lstm_research.search import Settings

    known = (*GROUPS, *PLAIN, *Settings._fields, "network")
    rest, own = [], {}
    for override in parse(words):
        key = override.key_or_group
        if key in Settings._fields:
            own[key] = override.value()
        elif "." not in key and key not in known:
            raise ConfigError(unknown(key, key, known, "setting of a search"))
        else:
            rest.append(override.input_line or "")
    return rest, Settings(**own)


def show(found: "Found", as_json: bool) -> None:
    """Print what was found."""
    if as_json:
        print(json.dumps(found._asdict() | {"trials": [t._asdict() for t in found.trials]}))
        return
    out = terminal.console()
    counts = Counter(each.status for each in found.trials)
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    out.print(ranking(found))
    out.print(f"{len(found.trials)} trials: {told}. Ranked by validation.\n")
    if found.importance is None:
        out.print("importance: too few trials with a number, or all are equal")
        return
    rest = max(1 - sum(found.importance.values()), 0)
    out.print(shares(found.importance))
    out.print(
        "Share of the variance of the validation that a setting explains alone (fANOVA); "
        f"{rest:.0%} is interactions."
    )


def ranking(found: "Found") -> Table:
    """Return the best trials as a table of rich."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    arrow = "↓" if found.goal == "min" else "↑"
    keys = list(found.trials[0].params) if found.trials else []
    for head in ("trial", f"valid {found.metric} {arrow}", "test", *keys, "status", "run"):
        table.add_column(head, overflow="fold")
    for each in found.trials[:SHOWN]:
        table.add_row(*row(each, keys))
    return table


def row(each: "Tried", keys: Sequence[str]) -> list[str]:
    """Return one line of the ranking."""
    drawn = [brief(each.params[key]) for key in keys]
    runs = each.runs[0].rpartition("/")[2] if each.runs else ""
    more = f" +{len(each.runs) - 1}" if len(each.runs) > 1 else ""
    return [str(each.number), brief(each.valid), brief(each.test), *drawn, each.status, runs + more]


def brief(value: Any) -> str:
    """Return a value with four digits at most."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "—"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shares(importance: Mapping[str, float]) -> Table:
    """Return the importance of each setting as a table of rich."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("setting")
    table.add_column("importance", justify="right")
    for key, share in importance.items():
        table.add_row(key, f"{share:.1%}")
    return table
