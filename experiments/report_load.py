"""How large is the report of 500 runs, and how long until it is drawn?

    python experiments/report_load.py

Five cells x 100 seeds of adding, 20 evaluations a run, in `runs/load` (run where missing, a minute or
two); the page is opened TIMES times in headless Chromium, each in a context without a cache. Load: until the
browser's `load` event; drawn: until every chart on the page has its marks. Writes results/report_load.md.
Needs the extra `report`, playwright and a `chromium`.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from dashboard import browser
from ledger import told
from race.machine import load, processor

from lstm_research import sweep
from lstm_research.commands.run import launch
from lstm_research.environment import environment
from lstm_research.local import Settings

PAGE = Path(__file__).parent / "results" / "report_load.md"
STUDY, TIMES = "load", 7
WORDS = [
    "cell=lstm,peephole,cifg,gru,elman", "task=adding", "task.length=10", "task.held_out=50",
    "network.hidden=4", "budget.steps=200", "budget.evaluate_every=10", "budget.batch=8",
    "budget.stop_when_solved=false", "seed=range(100)", f"study={STUDY}",
]  # fmt: skip
DRAWN = """() => {
    const charts = [...document.querySelectorAll('.vega-embed')];
    return charts.length > 0 && charts.every(chart => chart.querySelector('svg.marks'));
}"""


def opened(page: Path) -> list[tuple[float, float]]:
    """Return (milliseconds to the load event, milliseconds until drawn) of each opening."""
    found = []
    with browser() as started:
        for _ in range(TIMES):
            context = started.new_context(viewport={"width": 1280, "height": 900})
            tab = context.new_page()
            begun = time.perf_counter()
            tab.goto(page.resolve().as_uri(), wait_until="load")
            loaded = time.perf_counter() - begun
            tab.wait_for_function(DRAWN)
            found.append((1e3 * loaded, 1e3 * (time.perf_counter() - begun)))
            context.close()
    return found


def rendered(written: Any, took: float, times: list[tuple[float, float]], said: str) -> str:
    """Return the figures as Markdown."""
    lines = [
        "# The report of 500 runs\n",
        f"{said}\n",
        "| | |",
        "|---|---|",
        f"| runs | {written.runs} |",
        f"| page | {written.size / 1e6:.2f} MB |",
        f"| to write it | {took:.1f} s |",
    ]
    for name, sample in zip(
        ("load event", "all charts drawn"), zip(*times, strict=True), strict=True
    ):
        lines.append(f"| {name}, {len(sample)} openings | {told.spread(sample)} ms |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run, write the page, open it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the store")
    root = parser.parse_args().runs
    from lstm_research.report.write import Wanted, write  # needs the extra `report`

    launch(sweep.specs(WORDS, sweep=True), Settings(root), "none")
    begun = time.perf_counter()
    page = root / "load.html"
    written = write(Wanted(root, page, STUDY, "lstm"))
    took = time.perf_counter() - begun
    here = {"environment": environment(), "processor": processor(), "load": load()}
    said = f"Headless Chromium, page from disk. {told.origin([here])}."
    PAGE.write_text(rendered(written, took, opened(page), said), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
