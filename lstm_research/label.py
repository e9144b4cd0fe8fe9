"""What to call a resolved setting: its name in the catalogue, or the nearest and what differs.

The one decision: names are found, not stored. A run knows its resolved spec and nothing else, so
two names of one function are one row of a table, and a renamed YAML renames old runs too.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from lstm_research.plain import canonical, flatten, plain

ABSENT = object()


class Near(NamedTuple):
    """The nearest name and, by dotted key, what the setting has instead of it; `{}` when equal."""

    name: str
    changes: dict[str, Any]


def label(part: Mapping, names: Mapping[str, Mapping]) -> str:
    """Return the shortest name whose resolved dict equals `part`, else `lstm(forget_bias=2)`.

    part: the resolved `cell` or `task` of a spec. names: name -> resolved dict. 1 equals 1.0.
    """
    name, changes = nearest(part, names)
    if not changes:
        return name
    return f"{name}({', '.join(f'{key}={show(value)}' for key, value in changes.items())})"


def known_as(row: str | None, cells: Mapping[str, Mapping]) -> str | None:
    """Return a row's name with its cell called as tables call it: `greff/v, rate=1` is `peephole, rate=1`."""
    name, comma, rest = (row or "").partition(",")
    return f"{label(cells[name], cells)}{comma}{rest}" if name in cells else row


def variant(spec: Mapping, cells: Mapping[str, Mapping], wraps: Mapping[str, Mapping]) -> str:
    """Return what a resolved spec's cell is called: `lstm`, inside a wrapper `lstm + zoneout`."""
    cell, wrap = label(spec["cell"], cells), spec.get("wrap")
    if wrap is None:
        return cell
    names = {name: {"kind": "wrap", **each} for name, each in wraps.items()}
    return f"{cell} + {label({'kind': 'wrap', **wrap}, names)}"


def nearest(part: Mapping, names: Mapping[str, Mapping]) -> Near:
    """Return the name with the fewest differing keys; of equals one without a paper, the shortest,
    the first.

    A name of the same `kind` is nearer than any other. Without one the kind itself is the name.
    """
    ours, kind = flatten(plain(part)), str(part.get("kind", "?"))
    same = {name: each for name, each in names.items() if each.get("kind", "?") == kind}
    found = [Near(name, _changes(ours, flatten(plain(each)))) for name, each in same.items()]
    found = found or [Near(kind, {key: value for key, value in ours.items() if key != "kind"})]
    return min(
        found, key=lambda near: (len(near.changes), "/" in near.name, len(near.name), near.name)
    )


def show(value: Any) -> str:
    """Write a value as a command line would: `true`, `null`, `0.001`, `[1,2]`."""
    if value is ABSENT:
        return "absent"
    return value if isinstance(value, str) else canonical(value)


def _changes(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    keys = [*ours, *(key for key in theirs if key not in ours)]
    return {key: ours.get(key, ABSENT) for key in keys if not _equal(key, ours, theirs)}


def _equal(key: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    if key not in ours or key not in theirs:
        return False
    return canonical(ours[key]) == canonical(theirs[key])
