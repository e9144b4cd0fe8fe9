"""A sweep cut into jobs of several runs, for launchers of Hydra that know one job at a time.

With `take=8` each job of `hydra/launcher=joblib` (or submitit, ray, …) runs eight runs of the sweep as a
pack. A job is told the whole line and which part of it is its own, so that it needs nothing but the store.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lstm_research import local, sweep, trackers
from lstm_research.compose import jobs, parse
from lstm_research.config import RunSpec
from lstm_research.hydra_launcher import answer
from lstm_research.launcher import settings, variant
from lstm_research.line import RIM


def divided(overrides: Sequence[str], take: int) -> list[str]:
    """Return the overrides of a sweep over parts of `take` runs in place of the sweep itself.

    What concerns Hydra and the launch stays; the rest becomes data of every job: `line`, and `part`.
    """
    parsed = [parse([each])[0] for each in overrides]
    outside = [
        each.input_line or ""
        for each in parsed
        if each.key_or_group.startswith("hydra")
        or (each.key_or_group in (*RIM, "study") and not each.is_sweep_override())
    ]
    line = [each for each in overrides if not each.startswith("hydra")]
    parts = -(-len(jobs(line, sweep=True)) // take)
    return [*outside, f"+line={quoted(line)}", f"+part={','.join(map(str, range(parts)))}"]


def quoted(line: Sequence[str]) -> str:
    """Return a line as one value of Hydra's grammar, in which nothing is left to interpolate."""
    text = json.dumps(list(line)).replace("'", "\\u0027").replace("$", "\\u0024")
    return f"'{text}'"


def specs(data: Mapping[str, Any]) -> list[RunSpec]:
    """Return the runs of the part that a composed job names."""
    first = data["part"] * data["take"]
    mine = jobs(json.loads(data["line"]), sweep=True)[first : first + data["take"]]
    return [spec for words in mine for spec in sweep.specs(words)]


def run(data: Mapping[str, Any]) -> None:
    """Run a part as a pack; raise RunFailed where a run of it failed, after all have ended."""
    way, mine = settings(data), specs(data)
    listeners = trackers.start(data["tracker"], way.root, label=variant)
    local.launch(mine, way, listeners=listeners)
    for listener in listeners:
        listener.close()
    for spec in mine:
        answer(spec, way.root)
