"""What runs, how far it is, how long it still takes: a live display on a terminal, silence
elsewhere.
"""

from collections.abc import Iterator, Mapping
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
    """One bar for the runs of the sweep, and one a slot for the steps of the run at hand there."""

    def __init__(self, progress: Progress, runs: int, slots: int) -> None:
        self.progress = progress
        self.sweep = progress.add_task("runs", total=runs, note="")
        self.slots = [progress.add_task("", total=1, visible=False, note="") for _ in range(slots)]
        self.counts: dict[str, int] = {}

    def start(self, slot: int, title: str, steps: int) -> None:
        """Show a run that begins."""
        self.progress.reset(
            self.slots[slot], total=steps, visible=True, description=title, note="compiling"
        )

    def event(self, slot: int, event: Mapping[str, Any]) -> None:
        """Show how far a run is, and the first metrics of its last event."""
        shown = {
            key: value
            for key, value in event.items()
            if key not in ("step", "split", "gradient_norm")
        }
        note = "  ".join(f"{key} {value:.4g}" for key, value in list(shown.items())[:2])
        self.progress.update(
            self.slots[slot], completed=event["step"], note=f"{event['split']} {note}"
        )

    def end(self, slot: int, status: str, ran: bool) -> None:
        """Count a run that ended, or that was there before."""
        key = status if ran else "there before"
        self.counts[key] = self.counts.get(key, 0) + 1
        note = "  ".join(f"{count} {MARKS.get(name, name)}" for name, count in self.counts.items())
        self.progress.update(self.sweep, advance=1, note=note)
        self.progress.update(self.slots[slot], visible=False)


@contextmanager
def display(runs: int, slots: int) -> Iterator[Display]:
    """Open the display for runs on a number of slots; nothing is drawn where standard error is no
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
        yield Display(progress, runs, slots)
