"""What runs, how far it is, how long it still takes: a live display on a terminal, silence
elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

MARKS = {
    "solved": "[green]solved[/]",
    "finished": "[cyan]finished[/]",
    "diverged": "[yellow]diverged[/]",
    "failed": "[red]failed[/]",
}


class Display:
    """One bar for the runs of a sweep, and one for the training steps of all of them."""

    def __init__(self, progress: Progress, steps: Sequence[int]) -> None:
        self.progress, self.budgets = progress, steps
        self.at = [0] * len(steps)
        self.runs = progress.add_task("runs", total=len(steps), note="")
        self.steps = progress.add_task("steps", total=sum(steps), note="compiling")
        self.counts: dict[str, int] = {}

    def event(self, which: int, title: str, event: Mapping[str, Any]) -> None:
        """Show how far a run is, and the first metrics of its last event."""
        shown = {
            key: value
            for key, value in event.items()
            if key not in ("step", "split", "gradient_norm")
        }
        note = "  ".join(f"{key} {value:.4g}" for key, value in list(shown.items())[:2])
        self._reach(which, event["step"], f"{title}: {event['split']} {note}")

    def end(self, which: int, status: str, ran: bool) -> None:
        """Count a run that ended, or that was there before."""
        key = status if ran else "there before"
        self.counts[key] = self.counts.get(key, 0) + 1
        note = "  ".join(f"{count} {MARKS.get(name, name)}" for name, count in self.counts.items())
        self.progress.update(self.runs, advance=1, note=note)
        self._reach(which, self.budgets[which])

    def say(self, line: str) -> None:
        """Print a line above the bars, or plainly where nothing is drawn."""
        print(line) if self.progress.disable else self.progress.console.print(line, markup=False)

    def _reach(self, which: int, step: int, note: str | None = None) -> None:
        gone, self.at[which] = step - self.at[which], step
        self.progress.update(self.steps, advance=gone)
        if note is not None:
            self.progress.update(self.steps, note=note)


@contextmanager
def display(steps: Sequence[int]) -> Iterator[Display]:
    """Open the display of runs, given the steps of each; nothing is drawn where standard error is no
    terminal.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with progress:
        yield Display(progress, steps)
