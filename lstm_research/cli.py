"""The command line: the rim where Hydra composes, runs are launched, and a mistake is one line.

Exit codes: 0 all well; 1 a run failed, or the world did (disk, data); 2 a mistake of the user's,
and then nothing was written; 130 interrupted.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra

from lstm_research import catalogue, launcher, local, start, store, sweep, terminal, trackers
from lstm_research.check import Finding
from lstm_research.check import check as check_all
from lstm_research.config import ConfigError, RunSpec, named
from lstm_research.explain import explain
from lstm_research.export import export
from lstm_research.listing import drawing, one
from lstm_research.plan import Choice
from lstm_research.render import FORMATS
from lstm_research.run import run as run_one
from lstm_research.signature import signature
from lstm_research.spelling import nearest
from lstm_research.start import BadJaxlib
from lstm_research.table import table
from lstm_research.tasks.data import DataError

FAILED, MISTAKE, INTERRUPTED = 1, 2, 130
VALUED = ("--cfg", "-c", "--package", "-p", "--info", "-i")  # flags of Hydra that take a value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if given[0] not in COMMANDS:
        close = nearest(given[0], COMMANDS)
        hint = f" Did you mean {close!r}?" if close else ""
        return say(f"{given[0]!r} is no command.{hint} Commands: {', '.join(COMMANDS)}.", MISTAKE)
    try:
        return COMMANDS[given[0]](given[1:])
    except (ConfigError, catalogue.UnknownName) as error:
        return say(str(error), MISTAKE)
    except (store.StoreError, DataError, BadJaxlib) as error:
        return say(str(error), FAILED)
    except KeyboardInterrupt:
        return say(
            "interrupted; finished runs are kept, and the same line goes on from here", INTERRUPTED
        )


def entry() -> None:
    """Run the command of this process; an interrupt ends it at once, for the store bears any death."""
    code = main()
    sys.stdout.flush()
    os._exit(code) if code == INTERRUPTED else sys.exit(code)


def say(message: str, code: int) -> int:
    """Print a message to standard error and return the code."""
    print(message, file=sys.stderr)
    return code


def usage() -> str:
    """Return the commands, a line each."""
    lines = [
        f"  {name:<12}{(command.__doc__ or '').splitlines()[0]}"
        for name, command in COMMANDS.items()
    ]
    return (
        "lstm-research COMMAND [...]\n\n"
        + "\n".join(lines)
        + "\n\nlstm-research COMMAND --help tells more."
    )


def run(arguments: list[str]) -> int:
    """Run one spec, or with -m a sweep: lstm-research run -m cell=lstm,gru task=adding
    seed='range(5)'.
    """
    if set(arguments) & {"-h", "--help"}:
        print(RUN_HELP)
        return 0
    flags, overrides = flags_and_overrides(arguments)
    many = bool(set(flags) & {"-m", "--multirun"})
    rim = sweep.composed(sweep.jobs(overrides, many)[0])
    start.cores(counted(rim["workers"]))  # before anything asks JAX for its devices
    specs = sweep.specs(overrides, many)
    if "--explain" in flags:
        return told(specs)
    theirs = set(flags) - {"-m", "--multirun", "--force"}
    if theirs or any(word.startswith("hydra/launcher=") for word in overrides):
        words = [*map(sweep.widen, sweep.parse(sweep.without_nulls(overrides)))]
        ended = hydra_main([*(flag for flag in flags if flag != "--force"), *words])
        return ended if theirs else report(specs, Path(rim["runs"])) or ended
    way = rim["workers"], rim["pack"]
    return launch(specs, Path(rim["runs"]), rim["tracker"], "--force" in flags, *way)


def counted(workers: Any) -> int | None:
    """Return how many cores to use; raise ConfigError where that is no number of them."""
    if workers is None or (type(workers) is int and workers >= 1):
        return workers
    raise ConfigError(f"workers: {workers!r} must be a whole number of at least 1, or null for all")


def told(specs: Sequence[RunSpec]) -> int:
    """Print what is chosen for each program of these runs, and run nothing."""
    for spec in {signature(spec): spec for spec in specs}.values():
        print(launcher.title(spec), *explain(spec), sep="\n  ")
    return 0


def flags_and_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the flags, each with its value if it takes one, from the overrides."""
    flags, overrides, words = [], [], iter(arguments)
    for word in words:
        if not word.startswith("-"):
            overrides.append(word)
            continue
        flags.append(word)
        if word in VALUED and (value := next(words, None)) is not None:
            flags.append(value)
    return flags, overrides


def hydra_main(arguments: list[str]) -> int:
    """Hand the command line to Hydra: its own questions (--cfg job), or a launcher that the user
    named; return its exit code. Hydra tells the first failure only.
    """
    before, sys.argv = sys.argv, ["lstm-research", *arguments]
    launcher.register()
    try:
        hydra.main(version_base="1.3", config_path=str(catalogue.folder()), config_name="run")(
            job
        )()
        return 0
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else FAILED
    finally:
        sys.argv = before


def job(config: Any) -> float | None:
    """Run one job that a Hydra launcher composed, wherever it put it; return its validation metric."""
    data = sweep.plain(config)
    spec, root = sweep.built(data), Path(data["runs"])
    listeners = trackers.start(data["tracker"], root, label=launcher.variant)
    run_one(spec, root, listeners=listeners)
    for listener in listeners:
        listener.close()
    return launcher.answer(spec, root)


def launch(
    specs: Sequence[RunSpec],
    root: Path,
    tracked: str,
    force: bool = False,
    workers: int | None = None,
    choice: Choice = "auto",
) -> int:
    """Run specs, many of them packed; show how far they are, say what became of them."""
    told = launcher.launch(specs, local.Settings(root, force, workers, choice), tracked)
    return report(specs, root, sum(outcome is not None and not outcome.ran for outcome in told))


def report(specs: Sequence[RunSpec], root: Path, before: int = 0) -> int:
    """Say what became of the runs, every failure by name; return the exit code."""
    records = [(spec, store.load_run(store.find(root, spec.resolved()))) for spec in specs]
    counts = Counter(record.status for _, record in records)
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    there = f" ({before} were there before)" if before else ""
    print(f"{len(specs)} runs in {root}: {told}{there}")
    bad = [
        (spec, record)
        for spec, record in records
        if record.status in ("failed", "unfinished", "absent")
    ]
    for spec, record in bad:
        why = (record.result or {}).get("error") or record.status
        print(f"{record.status}: {launcher.title(spec)}: {why} ({record.path})", file=sys.stderr)
    return FAILED if bad else 0


def quickstart(arguments: list[str]) -> int:
    """Compare five cells on three tasks over three seeds, in about a minute, and show the table."""
    parser = argparse.ArgumentParser("lstm-research quickstart", description=quickstart.__doc__)
    parser.add_argument("--runs", default="runs", help="folder of the store (default: runs)")
    options = parser.parse_args(arguments)
    specs = sweep.study("quickstart")
    code = launch(
        specs, Path(options.runs), "auto", choice="rows"
    )  # a superset has no step time of a row
    return show([options.runs, "--study", "quickstart"]) or code


def show(arguments: list[str]) -> int:
    """Print the table of a store: cells x tasks with intervals over seeds, and what each costs."""
    parser = argparse.ArgumentParser("lstm-research table", description=show.__doc__)
    parser.add_argument(
        "runs", nargs="?", default="runs", help="folder of the store (default: runs)"
    )
    parser.add_argument("--study", help="only this study")
    parser.add_argument("--baseline", help="row that the others are tested against, seed by seed")
    parser.add_argument("--format", choices=sorted(FORMATS), default="terminal")
    options = parser.parse_args(arguments)
    records = store.load_runs(options.runs)
    if options.study is not None:
        records = [record for record in records if record.study == options.study]
    if not records:
        return say(f"no runs in {options.runs}; lstm-research quickstart makes some", FAILED)
    found = table(records, named("cell"), named("task"), named("wrap"), baseline=options.baseline)
    terminal.show(found) if options.format == "terminal" else print(
        FORMATS[options.format](found), end=""
    )
    return 0


def cells(arguments: list[str]) -> int:
    """List the cells: equations, source, parameters, what kind of recurrence, which engine."""
    parser = argparse.ArgumentParser("lstm-research cells", description=cells.__doc__)
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


def check(arguments: list[str]) -> int:
    """Compose, build and shape-check every YAML and study."""
    argparse.ArgumentParser("lstm-research check", description=check.__doc__).parse_args(arguments)
    findings: list[Finding] = []
    for finding in check_all():
        findings.append(finding)
        print(f"{finding.verdict:<8} {finding.name:<28} {finding.detail}")
    counts = Counter(finding.verdict for finding in findings)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return FAILED if counts["fault"] else 0


RUN_HELP = """lstm-research run [-m] [--force] KEY=VALUE ...

  cell=NAME task=NAME optimizer=NAME budget=NAME     a YAML of conf/; `lstm-research check` lists them
  wrap=NAME wrap.KEY=VALUE                           noise or a norm around the cell; null: bare
  cell.KEY task.KEY network.KEY optimizer.KEY budget.KEY=VALUE    any field of the spec
  seed=0 study=default tracker=auto|wandb|none runs=runs
  workers=null pack=auto|superset|rows               cores in use; rows as one program, or each its own
  -m                  sweep: cell=lstm,gru seed='range(5)' runs every combination
  --force             run again what is there already
  --explain           which devices, engine and memory each program would have, and why; runs nothing
  --cfg job           show the composed config, run nothing (Hydra's)"""

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "quickstart": quickstart,
    "run": run,
    "table": show,
    "cells": cells,
    "export": export,
    "check": check,
}
