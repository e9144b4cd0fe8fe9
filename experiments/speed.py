"""How fast is a training step of ours beside every other LSTM, and beside what the processor can do?

    python experiments/speed.py                                     everything on a CPU, write results/speed.*
    python experiments/speed.py --only train --shapes 64,100,2,128  a piece: batch,time,features,hidden
    python experiments/speed.py --render                            draw again from results/speed.jsonl
    python experiments/speed.py --gpu                               against cuDNN, within ten minutes

A training step is forward, backward and gradient descent on the mean of h squared over all steps, in
float32, from the same weights for all: the loss before the first step is the same or the table says so.
Libraries of JAX take many steps in one program, as ours does; PyTorch is run eagerly, as it is used. The
contestants take turns and the order rotates; a figure is the median over the rounds with its 10th and
90th percentile. Each is measured with all cores inside its products, with one core, and, where it can
be, with its batch over two devices of one core each; its figure is its best. Forward passes, streams of
batch one, the gates of this package beside its own LSTM, memory and the time to a first step follow the
same rule. Every run appends lines to speed.jsonl; a table holds the newest line of its shape.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from race import gpu, launches, picture, sections, tables
from race.machine import load, machine
from race.turns import Contestant, Workers, compete

RESULTS = Path(__file__).parent / "results"
SECTIONS = ("train", "forward", "stream", "variants", "memory", "start")
GPU_S = 540.0  # after so many seconds nobody new is started
Shape = sections.Shape


def rendered(path: Path) -> str:
    """Return the Markdown of the lines in a file."""
    return tables.render([json.loads(line) for line in path.read_text("utf-8").splitlines()])


def append(path: Path, line: dict[str, Any]) -> None:
    """Add a line to the results, and draw them again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        print(json.dumps(line), file=file)
    path.with_suffix(".md").write_text(rendered(path), encoding="utf-8")


def line(
    workers: Workers, setting: str, section: str, shape: Shape | None, run: Callable[[], list[Any]]
) -> dict[str, Any]:
    """Return the record of a section and a shape: who, where, when, and how busy the machine was."""
    around, before, begun = machine(workers, setting), load(), time.perf_counter()
    records = run()
    around["machine"]["load"] = [before, load()]
    took = round(time.perf_counter() - begun, 1)
    return {"section": section, "shape": shape, **around, "took_s": took, "rivals": records}


def shape(text: str) -> Shape:
    """Return a shape from `batch,time,features,hidden`."""
    batch, steps, features, hidden = map(int, text.split(","))
    return batch, steps, features, hidden


def on_cpu(options: argparse.Namespace, path: Path) -> None:
    """Measure the sections that were asked for, one line a shape."""
    for section in options.only or SECTIONS:
        if section in ("memory", "start"):
            run = launches.memory if section == "memory" else launches.launches
            with Workers() as workers:
                found = line(workers, "all cores", section, None, run)
            append(path, found)
            print(tables.short(found), flush=True)
            continue
        for each in options.shapes or sections.SHAPES[section]:
            with Workers() as workers:
                run = rounds(workers, sections.CONTESTANTS[section](each), options)
                found = line(workers, "all cores", section, each, run)
            append(path, found)
            print(tables.short(found), flush=True)


def rounds(
    workers: Workers, who: list[Contestant], options: argparse.Namespace, deadline: float = 1e18
) -> Callable[[], list[Any]]:
    """Return the competition of these contestants, not yet begun."""
    return lambda: compete(
        workers, who, rounds=options.rounds, seconds=options.seconds, deadline=deadline
    )


def on_gpu(options: argparse.Namespace, path: Path) -> None:
    """Measure all that makes sense on a GPU, most important first, until the time is up."""
    deadline, found = time.monotonic() + options.limit, []
    with Workers() as workers:
        told = workers["gpu"].ask(do="facts")
        if "engines" not in told:
            sys.exit(f"--gpu: JAX finds no GPU that it can use: {told['reason']}")
        engines = told["engines"]
        for section, each, who in gpu.PLAN:
            if options.only and section.removeprefix("gpu ") not in options.only:
                continue
            each = (options.shapes or [each])[0]
            run = rounds(workers, who(each, engines), options, deadline)
            found.append(line(workers, "gpu", section, each, run))
            append(path, found[-1])
    print("\n".join(tables.short(each) for each in found))


def main() -> None:
    """Measure what is asked for, append, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpu", action="store_true", help="on a GPU, against cuDNN")
    parser.add_argument("--render", action="store_true", help="draw again, measure nothing")
    parser.add_argument("--only", nargs="*", choices=(*SECTIONS, "pack"), help="these sections")
    parser.add_argument("--shapes", nargs="*", type=shape, help="batch,time,features,hidden ...")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each (default: 9)")
    parser.add_argument("--seconds", type=float, default=0.3, help="of a turn (default: 0.3)")
    parser.add_argument(
        "--limit", type=float, default=GPU_S, help="seconds on a GPU (default: 540)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    path = options.out / ("speed_gpu.jsonl" if options.gpu else "speed.jsonl")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache / "lstm_research" / "race"))
    if options.render:
        path.with_suffix(".md").write_text(rendered(path), encoding="utf-8")
        print(rendered(path))
    else:
        (on_gpu if options.gpu else on_cpu)(options, path)
    if picture.draw(path) is None:
        why = "it needs a training step, and matplotlib: pip install -e '.[report]'"
        print(f"no picture was drawn: {why}", file=sys.stderr)


if __name__ == "__main__":
    main()
