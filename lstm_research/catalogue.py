"""The named cells, tasks and optimizers: one YAML each under `conf/`, found from a checkout or a
wheel.

A YAML holds `kind` and the fields that differ from that kind's defaults; its first comment says
what it is. The Python face reads the same files as the command line, so that a name means one
thing.
"""

import dataclasses
import itertools
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lstm_research.spelling import unknown


class UnknownName(ValueError):
    """A name or a field that does not exist; the message lists those that do."""


class ConfigError(ValueError):
    """A setting that cannot be: every line names a path, its value and what is allowed."""


@cache
def folder() -> Path:
    """Return the folder of YAMLs: $LSTM_RESEARCH_CONF, the one in the wheel, or the one of the
    checkout.
    """
    here = Path(__file__).parent
    places = [here / "conf", here.parent / "conf"]
    if chosen := os.environ.get("LSTM_RESEARCH_CONF"):
        places = [Path(chosen)]
    for place in places:
        if (place / "run.yaml").is_file():
            return place.resolve()
    looked = ", ".join(str(place) for place in places)
    raise FileNotFoundError(
        f"no run.yaml in {looked}; set LSTM_RESEARCH_CONF to a copy of the folder conf"
    )


def names(group: str) -> list[str]:
    """Return the names of a group, those of a paper as `paper/name`."""
    root = folder() / group
    return sorted(
        path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml")
    )


def document(group: str, name: str) -> Any:
    """Return what the YAML of a name says; raise UnknownName with the nearest spelling."""
    path = folder() / group / f"{name}.yaml"
    if not path.is_file() or name not in names(group):
        raise UnknownName(unknown(group, name, names(group), group))
    return read(path)


def read(path: Path) -> Any:
    """Return what a YAML says; by the parser in C where PyYAML has it, which is ten times as fast."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), loader)


def documents(group: str) -> dict[str, dict[str, Any]]:
    """Return the settings of every name of a group."""
    return {name: read(folder() / group / f"{name}.yaml") or {} for name in names(group)}


def settings(group: str, name: str) -> dict[str, Any]:
    """Return the settings of a name; raise as `document`."""
    return document(group, name) or {}


def build(kinds: Mapping[str, type], group: str, values: Mapping[str, Any]) -> Any:
    """Return the frozen spec that `kind` and the fields of a mapping describe."""
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise UnknownName(unknown(f"{group}.kind", kind, kinds, f"kind of {group}"))
    fields = [field.name for field in dataclasses.fields(kinds[kind])]
    for key in values:
        if key not in fields:
            raise UnknownName(unknown(f"{group}.{key}", key, fields, f"setting of {kind}"))
    try:
        return kinds[kind](**values)
    except ValueError as error:
        raise ValueError(f"{group}: {error}") from None


def spec(kinds: Mapping[str, type], group: str, name: str, changes: Mapping[str, Any]) -> Any:
    """Return the spec of a name, or of a kind that has no YAML, with changes."""
    if name not in names(group) and name in kinds:
        return build(kinds, group, {"kind": name, **changes})
    return build(kinds, group, settings(group, name) | dict(changes))


def header(group: str, name: str) -> dict[str, str]:
    """Return the comments that open a YAML: `caption`, and every `key: value` after it."""
    text = (folder() / group / f"{name}.yaml").read_text(encoding="utf-8")
    opening = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    first, *rest = [line.lstrip("# ").rstrip() for line in opening] or [""]
    facts = (line.partition(": ") for line in rest)
    return {"caption": first} | {key: value for key, _, value in facts}


def caption(group: str, name: str) -> str:
    """Return the first comment of a YAML: what it is."""
    return header(group, name)["caption"]
