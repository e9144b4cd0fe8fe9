"""LSTM: A Search Space Odyssey (Greff et al. 2017, arXiv:1503.04069), on JSB Chorales

    python experiments/odyssey.py            run what is missing, write results/odyssey.md, .jsonl, .png
    python experiments/odyssey.py --render   write odyssey.md again from odyssey.jsonl, run nothing

Needs `pip install -e '.[report,search]'`. Runs that are in odyssey.jsonl or in the
store are not run again, so it may be stopped at any moment; more `--trials` go on from there.

Nine variants of the LSTM, one layer each, at `--trials` random draws of hidden size, learning rate,
momentum and input noise; the draws (and with them the seed, the order of the chorales and the weights
that variants share) are the same for every variant. Ranges: hidden size 20, 43, 93 or 200; rate
log-uniform from 6e-5 to 0.6 (the paper's 1e-6 to 1e-2 times the 60 frames of a mean chorale, for our
gradient is a mean over frames); 1 - momentum log-uniform from 0.01 to 1; deviation of the noise on the
inputs uniform from 0 to 1. Nesterov's momentum, no clipping, weights from N(0, 0.1²), no forget bias, as
in the paper; batches of 4 windows of at most 64 frames where the paper takes whole chorales one at a
time; at most 30 epochs, stop after 5 without a better validation (there 150 and 15): twenty times fewer
updates, with which the lowest rates are far from trained. Number: test negative log-likelihood in nats
a frame at the best validation. The paper has 200 trials a variant, and its best tenth 20.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greff import draws, pictures, tables
from greff.outcome import CEILING, Record, tests, trial
from ledger import lines as ledger
from race.machine import processor

from lstm_research import local, store
from lstm_research.commands.run import launch
from lstm_research.config import RunSpec

RESULTS = Path(__file__).parent / "results"
ENVIRONMENT = ("commit", "dirty", "device", "cores", "versions")
RESULT = (
    *("status", "steps", "best_step", "metrics", "parameters", "recurrent_parameters"),
    *("step_ms", "compile_s", "train_s"),
)


def wanted(variants: list[str], trials: int, epochs: int) -> list[RunSpec]:
    """Return every run of the search."""
    points = [draws.draw(number) for number in range(trials)]
    return [draws.spec(variant, point, epochs) for variant in variants for point in points]


def known(root: Path, lines: Path) -> dict[str, Record]:
    """Return the runs that are committed and those that the store holds, by the name of their folder."""
    kept = lines.read_text(encoding="utf-8").splitlines()[1:] if lines.is_file() else []
    found = {store.spec_hash(each["spec"]): each for each in map(json.loads, kept)}
    for name, record in ledger.ended(root, "odyssey"):
        found.setdefault(name, brief(record))
    return found


def brief(record: store.Record) -> Record:
    """Return what is kept of a run."""
    result = record.result or {}
    return {
        "spec": record.spec,
        "environment": {name: record.environment[name] for name in ENVIRONMENT},
        "result": {name: result[name] for name in RESULT},
    }


def save(records: list[Record], folder: Path, took: float = 0.0) -> None:
    """Write the runs, the table that they render to, and the pictures; took: seconds by the clock."""
    if not records:
        return
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / "odyssey.jsonl"
    took += read(path)[0]["took_s"] if path.is_file() else 0.0
    cores = max(record["environment"]["cores"] for record in records)
    machine = {"processor": processor(), "cores": cores}
    around: dict[str, Any] = {
        "baselines": {},
        "importance": importance(records),
        "capped": importance(records, CEILING),
        "machine": machine,
    }
    around["took_s"] = round(took, 1)
    lines = [json.dumps(each, sort_keys=True) for each in (around, *records)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw(folder)


def importance(records: list[Record], most: float = math.inf) -> dict[str, float] | None:
    """Return the share of the variance of the test number, `most` at most, that each setting explains."""
    from lstm_research.trials import importance

    sound = [each for each in map(trial, records) if each.test is not None]
    points = [draws.point(each.variant, each.draw) for each in sound]
    return importance(draws.space(), points, [min(each, most) for each in tests(sound)])


def read(path: Path) -> tuple[Mapping[str, Any], list[Record]]:
    """Return the first line of a file, and its runs."""
    first, *records = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return first, records


def rendered(path: Path) -> str:
    """Return the Markdown of the runs in a file."""
    first, records = read(path)
    title, *_, text = (__doc__ or "").strip().split("\n\n")
    return tables.render(records, first, title, text)


def draw(folder: Path) -> None:
    """Write odyssey.md and the pictures from odyssey.jsonl."""
    path = folder / "odyssey.jsonl"
    path.with_suffix(".md").write_text(rendered(path), encoding="utf-8")
    first, records = read(path)
    for picture in pictures.draw(records, first["importance"], folder):
        print(picture)


def parsed() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--render", action="store_true", help="write the page again, run nothing")
    parser.add_argument("--save", action="store_true", help="take what the store has, run nothing")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the store")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the page")
    parser.add_argument("--trials", type=int, default=draws.TRIALS, help="draws a variant")
    parser.add_argument("--epochs", type=int, default=draws.EPOCHS, help="most epochs of a run")
    parser.add_argument("--variants", nargs="+", choices=draws.VARIANTS, default=[*draws.VARIANTS])
    return parser.parse_args()


def main() -> None:
    """Run what is missing, save, draw."""
    options, code, took = parsed(), 0, 0.0
    if options.render:
        draw(options.results)
    else:
        specs = wanted(options.variants, options.trials, options.epochs)
        names = [store.spec_hash(spec.resolved()) for spec in specs]
        lines = options.results / "odyssey.jsonl"
        found = known(options.runs, lines)
        missing = [spec for spec, name in zip(specs, names, strict=True) if name not in found]
        if missing and not options.save:  # a program a variant and size, whatever is missing
            begun = time.perf_counter()
            code = launch(missing, local.Settings(options.runs, choice="rows"), "none")
            took, found = time.perf_counter() - begun, known(options.runs, lines)
        save([found[name] for name in names if name in found], options.results, took)
    print((options.results / "odyssey.md").read_text(encoding="utf-8"))
    sys.exit(code)


if __name__ == "__main__":
    main()
