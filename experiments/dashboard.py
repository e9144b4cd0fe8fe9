"""What the report looks like: Greff's nine cells on three tasks, photographed in a browser.

    python experiments/dashboard.py

Runs what is missing (9 cells x 3 tasks x 3 seeds), inspects one run of each task, writes
`runs/greff.html`, and opens it in headless Chromium: results/report_light.png, report_dark.png and
report_curves.png. Needs the extra `report`, playwright and a `chromium`.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from lstm_research import store, sweep
from lstm_research.commands import inspect, report
from lstm_research.commands.run import launch
from lstm_research.local import Settings

RESULTS = Path(__file__).parent / "results"
STUDY = "greff"
CELLS = ["v", "nig", "nfg", "nog", "niaf", "noaf", "np", "cifg", "fgr"]
TASKS = ("adding task.length=30", "temporal_order_6a task.length=30", "reber")
AROUND = [
    "network.hidden=24", "optimizer.rate=1e-2", "optimizer.clip_norm=1.0", "budget.steps=600",
    "budget.batch=32", "budget.evaluate_every=100", "task.held_out=500", "seed=range(3)",
    f"study={STUDY}",
]  # fmt: skip
V = "peephole"  # another name of greff/v, and the one that tables print
WIDE, HIGH = 1280, 1500  # pixels
VIEWS: tuple[tuple[str, Literal["light", "dark"], str], ...] = (
    ("light", "light", "#overview"),
    ("dark", "dark", "#overview"),
    ("curves", "light", "#curves-section"),
)


def specs() -> list[Any]:
    """Return the runs of the study."""
    cells = "cell=" + ",".join(f"greff/{name}" for name in CELLS)
    return [
        spec
        for words in TASKS
        for spec in sweep.specs([cells, *f"task={words}".split(), *AROUND], sweep=True)
    ]


@contextmanager
def browser() -> Iterator[Any]:
    """Start a headless Chromium and close it; where there is none, exit with what to install."""
    from playwright import sync_api  # pyright: ignore[reportMissingImports]

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        sys.exit("needs the browser chromium: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


def photographed(page: Path) -> list[Path]:
    """Open a page and return the pictures taken of it."""
    taken = []
    with browser() as started:
        for name, scheme, anchor in VIEWS:
            opened = started.new_page(viewport={"width": WIDE, "height": HIGH}, color_scheme=scheme)
            opened.goto(page.resolve().as_uri())
            opened.wait_for_function("document.querySelectorAll('svg.marks').length >= 3")
            opened.locator(anchor).scroll_into_view_if_needed()
            opened.evaluate("anchor => document.querySelector(anchor).scrollIntoView()", anchor)
            taken.append(RESULTS / f"report_{name}.png")
            opened.screenshot(path=taken[-1])
            opened.close()
    return taken


def main() -> None:
    """Run, inspect, write the page, photograph it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--runs", default="runs", help="folder of the store (default: runs)")
    root = Path(parser.parse_args().runs)
    wanted = specs()
    launch(wanted, Settings(root), "none")
    for k in range(len(TASKS)):  # the first seed of the first cell
        run = store.find(root, wanted[k * len(wanted) // len(TASKS)].resolved())
        if not (run / "inspect").is_dir():
            inspect.main([str(run)])
    page = root / f"{STUDY}.html"
    if code := report.main([str(root), "--study", STUDY, "--baseline", V, "--out", str(page)]):
        sys.exit(code)
    print(*photographed(page), sep="\n")


if __name__ == "__main__":
    main()
