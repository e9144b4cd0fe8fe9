"""`lstm-research run`: where Hydra composes and runs are launched."""

import sys
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from lstm_research import ahead, catalogue, launcher, local, start, store, sweep, trackers
from lstm_research.commands import FAILED
from lstm_research.config import ConfigError, RunSpec
from lstm_research.explain import explain
from lstm_research.line import MANY, flags_and_overrides, seedless
from lstm_research.run import run
from lstm_research.signature import signature

HELP = """lstm-research run [-m] [--force] KEY=VALUE ...

  cell=NAME task=NAME optimizer=NAME budget=NAME     a YAML of conf/; `lstm-research check` lists them
  wrap=NAME wrap.KEY=VALUE                           noise or a norm around the cell; null: bare
  cell.KEY task.KEY network.KEY optimizer.KEY budget.KEY=VALUE    any field of the spec
  seed=0 study=default tracker=auto|wandb|none runs=runs
  workers=null pack=auto|superset|rows               cores in use; rows as one program, or each its own
  take=8 hydra/launcher=joblib                       each job of another launcher of Hydra is a pack of 8 runs
  -m                  sweep: cell=lstm,gru seed='range(5)' runs every combination
  --force             run again what is there already (force=true)
  --explain           which devices, engine and memory each program would have, and why; runs nothing
  --cfg job           show the composed config, run nothing (Hydra's)"""


def main(arguments: list[str]) -> int:
    """Run one spec, or with -m a sweep: lstm-research run -m cell=lstm,gru task=adding
    seed='range(5)'.
    """
    if set(arguments) & {"-h", "--help"}:
        print(HELP)
        return 0
    flags, overrides = flags_and_overrides(arguments)
    many = bool(set(flags) & {*MANY})
    jobs, data = known = ahead.found(arguments) or ahead.composed(arguments)
    rim = data[seedless(jobs[0])]
    if isinstance(rim, str):
        raise ConfigError(rim)
    way = launcher.settings(rim, "--force" in flags)
    start.cores(way.workers)  # before anything asks JAX for its devices
    specs = sweep.specs(overrides, many, known)
    if "--explain" in flags:
        return told(specs)
    theirs = set(flags) - {*MANY, "--force"}
    named = [word.partition("=")[2] for word in overrides if word.startswith("hydra/launcher=")]
    take = rim["take"] if many and not theirs else None
    if take is not None and named in ([], ["packed"]):
        raise ConfigError(
            f"take: {take} is for the jobs of another launcher of Hydra, as hydra/launcher=joblib"
        )
    if theirs or named:
        ended = hydra_main(
            [flag for flag in flags if flag != "--force"], overrides, take, way.force
        )
        return ended if theirs else report(specs, way.root) or ended
    return launch(specs, way, rim["tracker"], ["run", "-m", *overrides] if many else None)


def told(specs: Sequence[RunSpec]) -> int:
    """Print what is chosen for each program of these runs, and run nothing."""
    for spec in {signature(spec): spec for spec in specs}.values():
        print(launcher.title(spec), *explain(spec), sep="\n  ")
    return 0


def hydra_main(flags: list[str], overrides: list[str], take: int | None, force: bool) -> int:
    """Hand the command line to Hydra: its own questions (--cfg job), or a launcher that the user
    named; return its exit code. Hydra tells the first failure only.
    """
    import hydra

    from lstm_research import compose, hydra_launcher, parts

    words = [*map(compose.widen, compose.parse(compose.without_nulls(overrides)))]
    words = parts.divided(words, take) if take is not None else words
    words += ["force=true"] if force else []
    before, sys.argv = sys.argv, ["lstm-research", *flags, *words]
    hydra_launcher.register()
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
    from lstm_research import compose, hydra_launcher, parts

    data = compose.plain(config)
    if "part" in data:
        return parts.run(data)
    spec, way = sweep.built(data), launcher.settings(data)
    root = way.root
    listeners = trackers.start(data["tracker"], root, label=launcher.variant)
    run(spec, root, force=way.force, listeners=listeners)
    for listener in listeners:
        listener.close()
    return hydra_launcher.answer(spec, root)


def launch(
    specs: Sequence[RunSpec],
    settings: local.Settings,
    tracked: str,
    line: Sequence[str] | None = None,
) -> int:
    """Run specs, many of them packed; show how far they are, say what became of them.

    line: the words that ask for this sweep, to be written down.
    """
    ended = launcher.launch(specs, settings, tracked, line)
    before = sum(outcome is not None and not outcome.ran for outcome in ended)
    return report(specs, settings.root, before, [outcome and outcome.error for outcome in ended])


def report(
    specs: Sequence[RunSpec], root: Path, before: int = 0, errors: Sequence[str | None] = ()
) -> int:
    """Say what became of the runs, every failure by name; return the exit code.

    errors: what is known of each beside its record, as of one that lost its worker.
    """
    records = [(spec, store.load_run(store.find(root, spec.resolved()))) for spec in specs]
    counts = Counter(record.status for _, record in records)
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    there = f" ({before} were there before)" if before else ""
    print(f"{len(specs)} runs in {root}: {told}{there}")
    bad = [
        (spec, record, error)
        for (spec, record), error in zip_longest(records, errors)
        if record.status in ("failed", "unfinished", "absent")
    ]
    for spec, record, error in bad:
        why = (record.result or {}).get("error") or error or record.status
        print(f"{record.status}: {launcher.title(spec)}: {why} ({record.path})", file=sys.stderr)
    return FAILED if bad else 0
