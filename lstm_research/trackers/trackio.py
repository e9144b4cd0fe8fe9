# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Trackio from the store: a run of the store is one run of a local project.

The one decision: runs are sent when they have ended, one after the other, because Trackio closes the
run that is open when the next one starts. The name `<variant>-s<seed>-<id>` is unique in a project; a
run of that name is deleted before it is written, so a replay replaces it.

Trackio keeps projects in `$TRACKIO_DIR`, or under the cache of Hugging Face. `$TRACKIO_SPACE_ID` and
`$TRACKIO_SERVER_URL` send elsewhere; there only our memory (`sent.py`) keeps runs from doubling.
"""

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lstm_research.trackers.content import Told, clean
from lstm_research.trackers.sent import Place


class Trackio:
    """A project of Trackio."""

    def __init__(self, project: str) -> None:
        with quiet():
            import trackio

        self.trackio, self.project = trackio, project
        places = (os.environ.get(f"TRACKIO_{name}") for name in ("SPACE_ID", "SERVER_URL", "DIR"))
        where = next(filter(None, places), "local")
        self.place = Place("trackio", clean(f"{where} {project}"))

    def open(self, run: Told) -> "Page":
        """Start the Trackio run of a run; its result stands in its config."""
        config = {**run.config, "result": run.summary}
        return Page(self.init(f"{run.name}-{run.id[:6]}", run.group, config))

    def table(self, study: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Log the table of a study as a run of its own."""
        run = self.init(f"{study} table", study, {})
        with quiet():
            run.log({"table": self.trackio.Table(columns=list(columns), data=[*map(list, rows)])})
            self.trackio.finish()

    def init(self, name: str, group: str, config: dict[str, Any]) -> Any:
        """Start a run of a name, in place of an earlier one."""
        with quiet():
            with contextlib.suppress(ValueError):  # there is no such project yet
                for old in self.trackio.Api().runs(self.project):
                    if old.name == name:
                        old.delete()
            watch = {"auto_log_gpu": False, "auto_log_cpu": False, "embed": False}
            return self.trackio.init(self.project, name, group, config=config, **watch)


class Page:
    """One Trackio run."""

    def __init__(self, run: Any) -> None:
        self.run, self.step = run, 0

    def log(self, row: Mapping[str, Any]) -> None:
        """Add a row of history at its step."""
        self.step = row.get("step", self.step)
        with quiet():
            self.run.log({k: v for k, v in row.items() if k != "step"}, step=self.step)

    def finish(self, run: Told) -> None:
        """Add final numbers and pictures, and end the run."""
        import trackio

        final = {k: v for k, v in run.summary.items() if isinstance(v, int | float)}
        pictures = {f"inspect/{file.stem}": trackio.Image(str(file)) for file in run.pictures}
        with quiet():
            self.run.log(final | pictures, step=self.step)
            trackio.finish()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Trackio from printing; raise RuntimeError where it only warns that something is lost."""
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        warnings.catch_warnings(record=True) as said,
    ):
        warnings.simplefilter("always")
        yield
    for warning in said:
        if warning.category is UserWarning:
            raise RuntimeError(str(warning.message))
