"""A sweep as one program against a process a run: how much wall time does packing save?

    python experiments/pack_speed.py large            36 runs packed beside a sample of them as processes
    python experiments/pack_speed.py small --rounds 3
    python experiments/pack_speed.py tiny             1,000 runs of 200 steps in one command
    python experiments/pack_speed.py table            results/pack_speed.md from results/pack_speed.json

The sweep: Greff's nine cells x 4 seeds of adding, batch 32, Adam, gradient norm clipped at 1; `large` is
T = 100, H = 64, 1,000 steps, `small` is T = 50, H = 32, 300 steps. No run stops early. The rival is a
process a run, as a script would be: flax `nnx.RNN` over `OptimizedLSTMCell`, 100 steps a jitted call,
batches made on the device, nothing evaluated, nothing kept, no cache of programs; its time for 36 runs is
that of a sample, multiplied. Ours is the command line from its first to its last line: compose, compile,
train, evaluate 3 times, write 36 folders; once with nothing compiled before (cold), once again. A round is
the rival alone, two of it at a time, and both of ours; times and ratios are medians over the rounds, the
ratios of one round each. `load` is the load average at the end. Run it on a quiet machine.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import jax

from lstm_research.environment import environment

RESULTS = Path(__file__).parent / "results"
NUMBERS = RESULTS / "pack_speed.json"
SHAPES = {"large": (100, 64, 1000), "small": (50, 32, 300)}  # time, hidden, steps
CELLS = ",".join(
    f"greff/{n}" for n in ["v", "nig", "nfg", "nog", "niaf", "noaf", "np", "cifg", "fgr"]
)
RUNS = 36
SAMPLE = {"large": 2, "small": 4}  # of them as processes, in each of the two ways, a round

RIVAL = """
import sys, jax, jax.numpy as jnp, optax
from flax import nnx
T, H, STEPS, SEED = map(int, sys.argv[1:])
class Model(nnx.Module):
    def __init__(self, rngs):
        self.rnn = nnx.RNN(nnx.OptimizedLSTMCell(2, H, rngs=rngs), rngs=nnx.Rngs(0))
        self.out = nnx.Linear(H, 1, rngs=rngs)
    def __call__(self, x):
        return self.out(self.rnn(x)[:, -1])
graph, params, rest = nnx.split(Model(nnx.Rngs(SEED)), nnx.Param, ...)
rule = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-3))
def draw(key):
    a, b, c = jax.random.split(key, 3)
    values = jax.random.uniform(a, (32, T))
    first = jax.random.randint(b, (32, 1), 0, T // 2)
    second = jax.random.randint(c, (32, 1), T // 2, T)
    marks = ((jnp.arange(T) == first) | (jnp.arange(T) == second)).astype(values.dtype)
    return jnp.stack([values, marks], -1), (values * marks).sum(1, keepdims=True)
@jax.jit
def steps(params, state, start):
    def one(i, now):
        params, state = now
        x, y = draw(jax.random.fold_in(jax.random.key(SEED), start + i))
        loss = lambda p: jnp.mean((nnx.merge(graph, p, rest, copy=True)(x) - y) ** 2)
        updates, state = rule.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state
    return jax.lax.fori_loop(0, 100, one, (params, state))
state = rule.init(params)
for start in range(0, STEPS, 100):
    params, state = steps(params, state, start)
jax.block_until_ready(params)
"""


def command(*words: str) -> list[str]:
    """Return the command line of this package."""
    return [
        sys.executable,
        "-c",
        "from lstm_research.cli import entry; entry()",
        "run",
        "-m",
        *words,
    ]


def sweep(shape: str) -> list[str]:
    """Return the words of the sweep."""
    time_, hidden, steps = SHAPES[shape]
    sizes = [f"task.length={time_}", f"network.hidden={hidden}", f"budget.steps={steps}"]
    rest = [f"budget.evaluate_every={steps // 3 + 1}", "budget.stop_when_solved=false"]
    return [f"cell={CELLS}", "task=adding", "seed=range(4)", *sizes, *rest]


def timed(words: list[str], cache: str, runs: str) -> tuple[float, list[str]]:
    """Run a sweep into a fresh folder; return (seconds, what it printed)."""
    around = os.environ | {"LSTM_RESEARCH_CACHE": cache, "JAX_PLATFORMS": "cpu"}
    start = time.perf_counter()
    done = subprocess.run(
        command(*words, "tracker=none", f"runs={runs}"),
        env=around, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return time.perf_counter() - start, done.stdout.splitlines()


def ours(shape: str) -> dict[str, Any]:
    """Run the sweep twice: with an empty cache of programs, and with what the first left."""
    with tempfile.TemporaryDirectory() as place:
        cold, said = timed(sweep(shape), f"{place}/cache", f"{place}/one")
        again, _ = timed(sweep(shape), f"{place}/cache", f"{place}/two")
    return {"cold_s": cold, "again_s": again, "said": said}


def rival(shape: str) -> dict[str, float]:
    """Run a sample of the jobs as fresh processes, one after another and two at a time."""
    words, sample = [str(n) for n in SHAPES[shape]], SAMPLE[shape]
    around = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    start = lambda seed: subprocess.Popen(
        [sys.executable, "-c", RIVAL, *words, str(seed)], env=around
    )
    seconds = dict[str, float]()
    for name, beside in (("alone_s", 1), ("pairs_s", 2)):
        begun = time.perf_counter()
        for seed in range(0, sample, beside):
            started = [start(seed + k) for k in range(beside)]
            assert not any(process.wait() for process in started)
        seconds[name] = (time.perf_counter() - begun) * RUNS / sample
    return seconds


def compared(shape: str, rounds: int) -> dict[str, Any]:
    """Run the rival and ours in turn."""
    return {"rounds": [rival(shape) | ours(shape) for _ in range(rounds)]}


def tiny() -> dict[str, Any]:
    """Run 1,000 tiny runs in one command."""
    words = ["cell=lstm", "task=adding", "task.length=30", "network.hidden=16", "budget.steps=200",
             "budget.evaluate_every=100", "task.held_out=100", "seed=range(1000)"]  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        seconds, said = timed(words, f"{place}/cache", f"{place}/runs")
    return {"seconds": seconds, "said": said}


TITLES = (
    "36 runs", "nnx.RNN, a process each", "two at a time", "packed, cold", "ratios", "again", "ratios",
)  # fmt: skip


def row(shape: str, found: dict[str, Any]) -> list[str]:
    """Return a line of the table: medians over rounds, and the ratios of each round in brackets."""
    rounds = found["rounds"]
    cells = [f"{shape}: T, H, steps = {SHAPES[shape]}"]
    cells += [f"{median(each[name] for each in rounds):.0f} s" for name in ("alone_s", "pairs_s")]
    for mine in ("cold_s", "again_s"):
        cells.append(f"{median(each[mine] for each in rounds):.1f} s")
        ratios = [[each[name] / each[mine] for each in rounds] for name in ("alone_s", "pairs_s")]
        told = [f"{median(many):.1f} ({', '.join(f'{x:.1f}' for x in many)})" for many in ratios]
        cells.append(" and ".join(told))
    return cells


def render(found: dict[str, Any]) -> str:
    """Return the Markdown of what has been measured."""
    lines = [f"| {' | '.join(TITLES)} |", "|---" * len(TITLES) + "|"]
    lines += [f"| {' | '.join(row(shape, found[shape]))} |" for shape in SHAPES if shape in found]
    lines.append("")
    for name, part in found.items():
        lines.append(
            f"{name}: {part['machine']}; commit {part['commit']}; load {part['load']:.1f}\n"
        )
        said = part["said"] if name == "tiny" else part["rounds"][0]["said"]
        lines += [*(f"    {line}" for line in said), ""]
    if "tiny" in found:
        lines.append(f"1,000 tiny runs from first to last line: {found['tiny']['seconds']:.0f} s")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure one part, keep it, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("part", choices=(*SHAPES, "tiny", "table"))
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    found = json.loads(NUMBERS.read_text()) if NUMBERS.is_file() else {}
    if options.part != "table":
        part = options.part
        found[part] = tiny() if part == "tiny" else compared(part, options.rounds)
        around = environment()
        found[part] |= {
            "load": os.getloadavg()[0],
            "commit": str(around["commit"])[:10] + (" with changes" if around["dirty"] else ""),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, jax {jax.__version__}",
        }
        RESULTS.mkdir(exist_ok=True)
        NUMBERS.write_text(json.dumps(found, indent=1) + "\n")
    text = render(found)
    (RESULTS / "pack_speed.md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
