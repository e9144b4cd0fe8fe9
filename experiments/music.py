"""JSB Chorales at two parameter budgets: does the choice of gates matter on real music?

    python experiments/music.py            run what is missing, write results/music.md and .jsonl
    python experiments/music.py --render   write music.md again from music.jsonl, run nothing

Runs that are in music.jsonl or in the store are not run again, so it may be stopped at any moment.

Rows: tanh RNN, GRU, LSTM, peephole LSTM, CIFG, one layer each. Budgets: about 20,000 recurrent
weights (Chung et al. 2014, who count so; weight noise 0.075 as there) and about 300,000 in all (Bai
et al. 2018; dropout 0.5, with weight noise 0.075 or none). Number: negative log-likelihood per frame
in nats, summed over 88 keys, micro-averaged over frames 2 to T of the test set. Procedure: Adam,
gradient norm clipped at 1, batches of 16 chorales, at most 4,000 steps, stop after 12 evaluations
(50 steps apart) without a better validation; test at the best validation. Each cell tries rates
0.001 and 0.003 (0.01 was worse in every pilot run), at 300,000 also 0.003 with weight noise (added
after the first 70 runs), with seeds 0 and 1; the setting with the best mean validation gets seeds 2,
3 and 4.
"""

import argparse
import bisect
import dataclasses
import itertools
import json
import math
import sys
from collections.abc import Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ledger import lines as ledger

import lstm_research as lr
from lstm_research import catalogue, store
from lstm_research.commands.run import launch
from lstm_research.config import RunSpec, build
from lstm_research.local import Settings
from lstm_research.stats import mean_interval
from lstm_research.tasks.music import Music

RESULTS = Path(__file__).parent / "results"
LINES = RESULTS / "music.jsonl"
CELLS = {
    "elman": "tanh RNN",
    "gru": "GRU",
    "lstm": "LSTM",
    "peephole": "peephole LSTM",
    "cifg": "CIFG",
}
FIRST, REST = (0, 1), (2, 3, 4)
KEYS = 88
Record = dict[str, Any]  # spec, environment and result of one run, as the store holds them
Setting = tuple[float, float]  # learning rate, weight noise


class Size(NamedTuple):
    """A parameter budget: what it counts, and the figures published for it."""

    name: str
    most: int
    readout: bool  # whether the read-out counts
    dropout: float
    settings: tuple[Setting, ...]  # of which validation chooses one for each cell
    published: Mapping[str, float]
    source: str

    def __hash__(self) -> int:
        return hash(self.name)


SIZES = (
    Size(
        "20K",
        20_000,
        False,
        0.0,
        ((0.001, 0.075), (0.003, 0.075)),
        {"elman": 9.10, "gru": 8.54, "lstm": 8.67},
        "Chung et al. 2014, table 2 (arXiv:1412.3555): read in a secondary source, not in the paper",
    ),
    Size(
        "300K",
        300_000,
        True,
        0.5,
        ((0.001, 0.0), (0.003, 0.0), (0.003, 0.075)),
        {"elman": 8.91, "gru": 8.43, "lstm": 8.45},
        "Bai et al. 2018, table 1 (arXiv:1803.01271): verified in the paper",
    ),
)


@cache
def hidden(cell: str, size: Size) -> int:
    """Return the largest width whose weights fit the budget."""
    made = lr.cell(cell)

    def count(width: int) -> int:
        shapes = jax.eval_shape(lambda: made.init(jax.random.key(0), KEYS, width))
        inside = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
        return inside + (KEYS * (width + 1) if size.readout else 0)

    return bisect.bisect_right(range(1, 1000), size.most, key=count)


def spec(cell: str, size: Size, width: int, setting: Setting, seed: int) -> RunSpec:
    """Return one run of the table."""
    return build(
        {
            "cell": catalogue.settings("cell", cell),
            "task": catalogue.settings("task", "jsb"),
            "network": {"hidden": width, "dropout": size.dropout},
            "optimizer": {"name": "adam", "rate": setting[0], "weight_noise": setting[1]},
            "budget": {"steps": 4000, "batch": 16, "evaluate_every": 50, "patience": 12},
            "seed": seed,
            "study": "music",
        }
    )


def validation(records: Iterable[Record]) -> float:
    """Return the mean validation of runs; a diverged run makes it infinite."""
    found = [
        record["result"]["metrics"].get("valid", {}).get("nll", math.inf) for record in records
    ]
    return sum(found) / len(found)


def wanted(records: Mapping[str, Record]) -> list[RunSpec]:
    """Return the runs that the table still needs, as far as the known ones tell."""
    specs: list[RunSpec] = []
    for size, cell in itertools.product(SIZES, CELLS):
        make = partial(spec, cell, size, hidden(cell, size))
        tried = [make(setting, seed) for setting in size.settings for seed in FIRST]
        specs += tried
        if all(ledger.key(each) in records for each in tried):
            chosen = best([records[ledger.key(each)] for each in tried])
            specs += [make(chosen, seed) for seed in REST]
    return [each for each in specs if ledger.key(each) not in records]


def setting(record: Record) -> Setting:
    """Return the learning rate and the weight noise of a run."""
    rule = record["spec"]["optimizer"]
    return rule["rate"], rule["weight_noise"]


def best(records: Iterable[Record]) -> Setting:
    """Return the setting that validation prefers, over the seeds that every setting has."""
    tried: dict[Setting, list[Record]] = {}
    for record in records:
        if record["spec"]["seed"] in FIRST:
            tried.setdefault(setting(record), []).append(record)
    return min(tried, key=lambda each: validation(tried[each]))


def known(root: Path) -> dict[str, Record]:
    """Return the runs that are committed and those that the store holds, by name."""
    kept = LINES.read_text(encoding="utf-8").splitlines()[1:] if LINES.is_file() else []
    found = {store.spec_hash(each["spec"]): each for each in map(json.loads, kept)}
    for name, record in ledger.ended(root, "music"):
        found.setdefault(name, ledger.kept(record))
    return found


def save(records: Mapping[str, Record]) -> None:
    """Write the runs, and the table that they render to."""
    RESULTS.mkdir(exist_ok=True)
    first = {"baselines": Music().baselines()._asdict()}
    lines = [json.dumps(each, sort_keys=True) for each in (first, *records.values())]
    LINES.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw()


def rendered(path: Path) -> str:
    """Return the Markdown of the runs in a file."""
    first, *records = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return render(records, first["baselines"])


def draw() -> None:
    """Write music.md from music.jsonl."""
    LINES.with_suffix(".md").write_text(rendered(LINES), encoding="utf-8")


def render(records: list[Record], baselines: Mapping[str, float]) -> str:
    """Return the table as Markdown."""
    lines = []
    for size in SIZES:
        lines += [
            f"\n## {size.name}: {'all weights' if size.readout else 'recurrent weights'} at most "
            f"{size.most:,}, dropout {size.dropout}\n",
            "| cell | hidden | weights, recurrent / all | rate, weight noise "
            "| test NLL, mean [95 % interval] | validation | n | published |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [row(records, size, cell, name) for cell, name in CELLS.items()]
        lines += [
            f"| per-pitch Markov-1 | | {2 * KEYS} | | {baselines['markov']:.3f} | | | |",
            f"| per-pitch marginal | | {KEYS} | | {baselines['marginal']:.3f} | | | |",
            f"\nPublished: {size.source}.",
        ]
    return f"{head(records)}\n" + "\n".join(lines) + "\n"


def row(records: list[Record], size: Size, cell: str, name: str) -> str:
    """Return one line of the table: the runs at the setting that validation chose."""
    settings = dataclasses.asdict(spec(cell, size, 1, (1.0, 0.0), 0))
    mine = [
        r
        for r in records
        if r["spec"]["cell"] == settings["cell"] and r["spec"]["network"]["dropout"] == size.dropout
    ]
    said = size.published.get(cell, "")
    if not mine:
        return f"| {name} | | | | not run yet | | | {said} |"
    chosen = best(mine)
    runs = [r for r in mine if setting(r) == chosen]
    good = [r["result"] for r in runs if r["result"]["status"] in ("finished", "solved")]
    test = mean_interval([r["metrics"]["test"]["nll"] for r in good])
    lost = len(runs) - len(good)
    one = runs[0]["result"]
    sizes = f"{one['recurrent_parameters']:,} / {one['parameters']:,}"
    width = runs[0]["spec"]["network"]["hidden"]
    return (
        f"| {name} | {width} | {sizes} | {chosen[0]}, {chosen[1]} | "
        f"{test.mean:.3f} [{test.low:.3f}, {test.high:.3f}] | "
        f"{validation(runs):.3f} | {len(runs)}{f', {lost} diverged' if lost else ''} | {said} |"
    )


def head(records: list[Record]) -> str:
    """Return title, procedure, cost and provenance."""
    cost = sum(r["result"]["train_s"] + r["result"]["compile_s"] for r in records) / 60
    bad = sum(r["result"]["status"] not in ("finished", "solved") for r in records)
    around = records[0]["environment"]
    commits = sorted(
        {
            str(r["environment"]["commit"])[:10] + ("+" if r["environment"]["dirty"] else "")
            for r in records
        }
    )
    text = (__doc__ or "").split("\n\n")
    return (
        f"# {text[0]}\n\n{text[3]}\n\n{len(records)} runs, {bad} of them diverged or failed; "
        f"{cost:.0f} core-minutes of training and compiling; commit {', '.join(commits)} "
        f"(+: with changes), jax {around['versions']['jax']}, {around['device']}, "
        "each run on one core. The seeds that chose the setting are among the five. "
        "Intervals are Student's over seeds."
    )


def main() -> None:
    """Run what is missing, save as runs come in, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--render", action="store_true", help="write the table again, run nothing")
    parser.add_argument("--save", action="store_true", help="take what the store has, run nothing")
    parser.add_argument("--runs", default="runs", help="folder of the store")
    options = parser.parse_args()
    root = Path(options.runs)
    if options.render:
        draw()
    else:
        records = known(root)
        while not options.save and (missing := wanted(records)):
            code = launch(missing, Settings(root), "none")
            records = known(root)
            save(records)
            if code:
                sys.exit(code)
        save(records)
    print((RESULTS / "music.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
