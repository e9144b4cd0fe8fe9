"""What a dashboard is told of a run: plain data from its record, with no secret in it.

The one decision: everything that leaves for a dashboard passes here. Text under a key that is called
like a secret, text that looks like a credential, and the value of every variable of the environment
that is called like a secret are replaced by `[redacted]`.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lstm_research.plain import digest, flatten
from lstm_research.store import Record, spec_hash

GONE = "[redacted]"
SECRET = re.compile(
    r"(^|[_/.])(api_?key|access_?key|token|secret|password|passwd|credentials?)$", re.IGNORECASE
)
CREDENTIAL = re.compile(
    r"(?<=://)[^/@\s]+(?=@)"  # user and password of a URL
    r"|\b(?:hf|sk|gh[opsu]|github_pat|glpat|xox[abp]|wandb_v1)[-_][A-Za-z0-9_-]{16,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
)
SHORT = 6  # a shorter value of a variable is no secret, and would be found everywhere


class Told(NamedTuple):
    """A run as a dashboard hears of it."""

    id: str  # of study and spec: the same run twice is one run there
    name: str  # <variant>-s<seed>
    group: str  # the study
    config: dict[str, Any]
    summary: dict[str, Any]
    pictures: tuple[Path, ...]  # inspect/*.png
    failed: bool


def told(record: Record, variant: str | None = None) -> Told:
    """Return what to say of a run as it stands; variant: its name in tables."""
    return Told(
        digest({"study": record.study, "run": spec_hash(record.spec)}),
        name(record, variant),
        record.study,
        config(record, variant),
        summary(record),
        tuple(sorted(record.path.glob("inspect/*.png"))),
        record.status in ("unfinished", "failed"),
    )


def name(record: Record, variant: str | None) -> str:
    """Return `<variant>-s<seed>`; without a variant the kind of the cell stands there."""
    cell = record.spec.get("cell")
    kind = cell.get("kind") if isinstance(cell, Mapping) else None
    return clean(f"{variant or kind or 'run'}-s{record.spec.get('seed', 0)}")


def config(record: Record, variant: str | None = None) -> dict[str, Any]:
    """Return all that one groups by: the resolved spec, variant, study, commit, versions, device.

    `run` is the folder of the run inside its store.
    """
    around = {key: record.environment.get(key) for key in ("commit", "dirty", "versions", "device")}
    place = {"study": record.study, "run": f"{record.study}/{spec_hash(record.spec)}"}
    return clean({**record.spec, "variant": variant, **place, **around})


def history(line: Mapping) -> dict[str, Any]:
    """Turn a line of the curve into a row of history: `{"step": 1, "train/loss": 0.5}`."""
    split = line.get("split")
    prefix = f"{split}/" if split else ""
    rest = {key: value for key, value in line.items() if key not in ("step", "split")}
    step = {"step": line["step"]} if "step" in line else {}
    return clean(step | flatten(rest, "/", prefix))


def summary(record: Record) -> dict[str, Any]:
    """Return the final numbers: metrics as `test/mse`, the other keys of the result as they are."""
    rest = dict(record.result or {})
    metrics = rest.pop("metrics", {})
    return clean({"status": record.status, **flatten(rest, "/"), **flatten(metrics, "/")})


def clean(value: Any) -> Any:
    """Copy plain data with every secret in it replaced by `[redacted]`."""
    if isinstance(value, Mapping):
        return {
            key: GONE if isinstance(item, str) and SECRET.search(key) else clean(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    if not isinstance(value, str):
        return value
    for name, secret in os.environ.items():
        if SECRET.search(name) and len(secret) >= SHORT:
            value = value.replace(secret, GONE)
    return CREDENTIAL.sub(GONE, value)
