"""How fast are training sequences made, and what share of a training step do they take?

    python experiments/generation.py              measure every task, write results/generation.md and .jsonl
    python experiments/generation.py --only reber --seconds 0.5
    python experiments/generation.py --render     write the table again, measure nothing

Batches of tasks with finite data are gathered, all others are drawn; both happen on the device, inside
the compiled training step. Here one core makes batches alone, and takes whole training steps of the LSTM
of `experiments/solve.py`, in turns; a figure is the median of its turns. Training compiles the two
together, so the share is an estimate of what a step spends on its batch. The aim is a share under 10 %.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ledger import lines, told
from ledger.lines import Line
from race.machine import load, processor
from solve import SETTINGS, setting

from lstm_research import start
from lstm_research.cli import answered
from lstm_research.environment import environment
from lstm_research.pack import Pack
from lstm_research.program import Program
from lstm_research.signature import program, signature

RESULTS = Path(__file__).parent / "results"
LINES = RESULTS / "generation.jsonl"
AIM = 0.1  # largest share of a step
TURNS = 7


def drawing(made: Program, data: Any, key: Any) -> Callable[[int, int], Any]:
    """Return a compiled function of (first step, how many) that makes batches and returns the last."""
    like = jax.eval_shape(made.batch, data, key, jnp.int32(0))
    blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)

    @jax.jit
    def draw(data: Any, first: Any, count: Any) -> Any:
        body = lambda step, _: made.batch(data, key, step)
        return jax.lax.fori_loop(first, first + count, body, blank)

    return lambda first, count: draw(data, jnp.int32(first), jnp.int32(count))


def stepping(made: Program) -> Callable[[int, int], Any]:
    """Return a function of (first step, how many) that trains a run on from where it was."""
    pack = Pack(made, 1, jax.devices()[:1])
    state = pack.place(jax.tree.map(lambda leaf: leaf[None], made.begin(0)))

    def step(first: int, count: int) -> Any:
        nonlocal state
        given = pack.place((jnp.zeros(1, jnp.int32), jnp.full(1, count, jnp.int32)))
        state, losses, _ = pack.advance(state, given, pack.data)
        return losses

    return step


def pace(work: Callable[[int, int], Any], first: int, count: int) -> float:
    """Return the seconds that one of `count` takes."""
    begun = time.perf_counter()
    jax.block_until_ready(work(first, count))
    return (time.perf_counter() - begun) / count


def measured(row: str, seconds: float) -> Line:
    """Return the line of a row: seconds of a batch and of a step, in turns of about `seconds` each."""
    spec = lines.specs(setting(row), "generation", 1)[0]
    made = program(signature(spec))
    works = {"draw_s": drawing(made, made.task.data, jax.random.key(0)), "step_s": stepping(made)}
    counts, found = {}, {name: [] for name in works}
    for name, work in works.items():
        pace(work, 0, 1)  # compiles
        counts[name] = max(1, int(seconds / TURNS / pace(work, 1, 2)))
    counts["step_s"] = min(counts["step_s"], made.call)
    for turn in range(TURNS):
        for name, work in works.items():
            found[name].append(pace(work, turn * counts[name], counts[name]))
    middle = {name: statistics.median(values) for name, values in found.items()}
    facts = {"batch": spec.budget.batch, "load": load(), "environment": environment()}
    return {"row": row, "setting": SETTINGS[row], "processor": processor(), **facts, **middle}


def rendered(path: Path) -> str:
    """Return the Markdown of the lines of a file."""
    found = lines.read(path)
    text = (__doc__ or "").split("\n\n")
    share = {line["row"]: line["draw_s"] / line["step_s"] for line in found}
    over = [f"{row} ({100 * part:.0f} %)" for row, part in share.items() if part > AIM]
    missed = f"; above it: {', '.join(over)}" if over else ""
    head = [
        f"# {text[0]}",
        text[-1].strip(),
        f"{len(found) - len(over)} of {len(found)} rows are at or under {AIM:.0%}{missed}. "
        f"{told.origin(found)}.",
    ]
    table = [
        "| task | batch | sequences a second | batch, µs | training step, ms | share |",
        "|---|---:|---:|---:|---:|---:|",
        *(
            f"| {line['row']} | {line['batch']} | {told.short(line['batch'] / line['draw_s'])} "
            f"| {told.short(1e6 * line['draw_s'])} | {told.short(1e3 * line['step_s'])} "
            f"| {100 * share[line['row']]:.1f} % |"
            for line in found
        ),
    ]
    return "\n\n".join(head) + "\n\n" + "\n".join(table) + "\n"


def main() -> int:
    """Measure what is asked for, keep the other lines, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", choices=tuple(SETTINGS), metavar="ROW", help="these rows"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="each of a row (default: 1)")
    parser.add_argument("--render", action="store_true", help="write the table, measure nothing")
    options = parser.parse_args()
    if not options.render:
        start.cores(1)
        start.prepare()
        kept = {line["row"]: line for line in lines.read(LINES)}
        for row in options.only or SETTINGS:
            kept[row] = measured(row, options.seconds)
            lines.write(LINES, [kept[each] for each in SETTINGS if each in kept])
    LINES.with_suffix(".md").write_text(rendered(LINES), encoding="utf-8")
    print(LINES.with_suffix(".md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(answered(main))
