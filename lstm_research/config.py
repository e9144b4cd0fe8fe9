"""The border: a plain mapping becomes one frozen, validated `RunSpec`, or an error with its full
path.

Past this file there is no DictConfig, no default looked up by `get`, and no string that means a
class.
"""

import dataclasses
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import pydantic

from lstm_research import catalogue
from lstm_research.catalogue import ConfigError
from lstm_research.cells import CELLS
from lstm_research.engines import chosen, keepable
from lstm_research.network import NetworkSpec
from lstm_research.optimizer import OptimizerSpec
from lstm_research.program import Budget
from lstm_research.spelling import unknown
from lstm_research.tasks import TASKS
from lstm_research.wrappers import WrapSpec, wrapped

PLAIN = {
    "network": NetworkSpec,
    "optimizer": OptimizerSpec,
    "budget": Budget,
    "wrap": WrapSpec,
}


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """Everything that decides a run: the same spec twice is the same run."""

    cell: Any
    task: Any
    network: NetworkSpec = NetworkSpec()
    optimizer: OptimizerSpec = OptimizerSpec()
    budget: Budget = Budget()
    seed: int = 0
    study: str = "default"
    wrap: WrapSpec | None = dataclasses.field(default=None, metadata={"later": True})

    def resolved(self) -> dict[str, Any]:
        """Return the spec as plain data, every default written out."""
        return written(self)


def written(part: Any) -> dict[str, Any]:
    """Return a spec as plain data, its parts too: what is stored, hashed and labelled.

    A field whose metadata say `later` came after runs had been stored. It is left out while it has its
    default, so that those runs keep their hash.
    """
    data: dict[str, Any] = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if field.metadata.get("later") and value == field.default:
            continue
        data[field.name] = written(value) if dataclasses.is_dataclass(value) else value
    return data


def build(values: Mapping[str, Any]) -> RunSpec:
    """Return the spec that a nested mapping describes; raise ConfigError with one line for each
    fault.
    """
    sections = [field.name for field in dataclasses.fields(RunSpec)]
    faults = [
        unknown(key, key, sections, "setting of a run") for key in values if key not in sections
    ]
    parts: dict[str, Any] = {}
    for name in sections:
        try:
            if name in values:
                parts[name] = section(name, values[name])
            elif name in ("cell", "task"):
                faults.append(f"{name}: missing. Allowed: {', '.join(catalogue.names(name))}.")
        except ConfigError as error:
            faults += str(error).splitlines()
    if faults:
        raise ConfigError("\n".join(faults))
    spec = RunSpec(**parts)
    fits(spec)
    return spec


def fits(spec: RunSpec) -> None:
    """Raise ConfigError where a wrapper cannot hold the cell, or an engine cannot run it."""
    try:
        cell = wrapped(spec.cell, spec.wrap).build()
    except ValueError as error:
        raise ConfigError(f"wrap.{error}") from None
    engine, hidden, keep = spec.network.engine, spec.network.hidden, spec.network.keep
    try:
        if engine == "auto":  # to ask JAX for its devices would forbid to fork a worker
            keepable(cell, keep)
            return
        chosen(cell._replace(precision=spec.network.precision), engine, hidden, keep=keep)
    except ValueError as error:
        raise ConfigError(f"network.{error}") from None


def section(name: str, value: Any) -> Any:
    """Return one validated part of a run."""
    kinds = {"cell": CELLS, "task": TASKS}.get(name)
    if name == "seed":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise ConfigError(f"seed: {value!r} must be a whole number from 0 to {2**31 - 1}")
        return value
    if name == "study":
        return study(value)
    if name == "wrap" and value is None:
        return None
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name}: {value!r} must be a group of settings")
    values = cast(Mapping[str, Any], value)
    if kinds is None:
        made = validated(PLAIN[name], name, values)
        return None if made == WrapSpec() else made  # a wrapper that is all off is none
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise ConfigError(unknown(f"{name}.kind", kind, kinds, f"kind of {name}"))
    return validated(kinds[kind], name, values)


def study(value: Any) -> str:
    """Return the name of a study: one folder name."""
    if (
        not isinstance(value, str)
        or not value
        or set(value) & set("/\\:\0")
        or value.startswith(".")
    ):
        raise ConfigError(
            f"study: {value!r} names a folder: text without / \\ : and not starting with a dot"
        )
    return value


def validated(cls: type, path: str, values: Mapping[str, Any]) -> Any:
    """Return an instance of a frozen dataclass with every field's type checked, nothing coerced."""
    fields = [field.name for field in dataclasses.fields(cls)]
    faults = [
        unknown(f"{path}.{key}", key, fields, f"setting of {values.get('kind', path)}")
        for key in values
        if key not in fields
    ]
    if faults:
        raise ConfigError("\n".join(faults))
    checked: dict[str, Any] = {}
    for key, hint in typing.get_type_hints(cls).items():
        try:
            if key in values:
                given = values[key]  # a list becomes the tuple that a frozen spec can hold
                given = tuple(cast(list[Any], given)) if isinstance(given, list) else given
                checked[key] = adapter(hint).validate_python(given, strict=True)
        except pydantic.ValidationError as error:
            faults.append(fault(f"{path}.{key}", hint, values[key], error))
    if faults:
        raise ConfigError("\n".join(faults))
    try:
        return cls(**checked)
    except ValueError as error:
        dot = "." if str(error).split("=")[0] in fields else ": "
        raise ConfigError(f"{path}{dot}{error}") from None
    except TypeError as error:  # a field without a default is missing
        raise ConfigError(f"{path}: {str(error).split(')')[-1].strip()}") from None


@cache
def adapter(hint: Any) -> pydantic.TypeAdapter[Any]:
    """Return the validator of a type, made once."""
    return pydantic.TypeAdapter(hint)


def fault(path: str, hint: Any, value: Any, error: pydantic.ValidationError) -> str:
    """Return one line for a value of the wrong type, or outside a closed list."""
    said = [item for item in error.errors() if item["type"] != "none_required"] or error.errors()
    if said[0]["type"] == "literal_error":
        choices = [arg for part in (hint, *typing.get_args(hint)) for arg in typing.get_args(part)]
        return unknown(
            path,
            value,
            [str(c) for c in choices or typing.get_args(hint) if isinstance(c, str)],
            "choice",
        )
    wants = said[0]["msg"].removeprefix("Input should be ")
    off = ", or null for off" if type(None) in typing.get_args(hint) else ""
    return f"{path}: {value!r} ({type(value).__name__}) should be {wants}{off}"


@cache
def named(group: str) -> dict[str, dict[str, Any]]:
    """Return every name of a group with its resolved settings: what tables find a run's label in."""
    return {
        name: written(section(group, values)) for name, values in catalogue.documents(group).items()
    }
