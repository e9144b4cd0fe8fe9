"""Plain data: what may stand in a file of the store, and the one spelling that is hashed.

The one decision: JSON has no NaN and no infinity, so they are written as the strings "nan", "inf"
and "-inf" and come back as floats. A spec may hold neither; a curve and a result may.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def plain(value: Any, where: str = "value") -> Any:
    """Copy `value` into dicts, lists, str, bool, int, float and None.

    NumPy and JAX arrays become lists, their scalars numbers.

    Raises TypeError that names the path (`where`) of the first thing that is none of these.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where}: key {key!r} must be a str, not {type(key).__name__}")
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if hasattr(value, "tolist"):
        return plain(value.tolist(), where)
    raise TypeError(
        f"{where}: {value!r} is a {type(value).__name__}; "
        "allowed are dict, list, str, bool, int, float, None and arrays"
    )


def encode(value: Any) -> str:
    """Write one line of strict JSON; NaN and infinities become "nan", "inf" and "-inf"."""
    return json.dumps(_spell(plain(value)), ensure_ascii=False, allow_nan=False)


def decode(text: str) -> Any:
    """Read what `encode` wrote; raises ValueError where the text is not JSON."""
    return _unspell(json.loads(text))


def _spell(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, dict):
        return {key: _spell(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_spell(item) for item in value]
    return value


def _unspell(value: Any) -> Any:
    if isinstance(value, str):
        return NOT_FINITE.get(value, value)
    if isinstance(value, dict):
        return {key: _unspell(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unspell(item) for item in value]
    return value


def canonical(value: Any, where: str = "spec") -> str:
    """Spell `value` in one way only: sorted keys, no spaces, and 1.0 as 1.

    Two values with the same canonical text are the same setting. Raises ValueError for NaN and
    infinities, which equal nothing and mean nothing in a spec.
    """
    tidy = _integral(plain(value, where), where)
    return json.dumps(tidy, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _integral(value: Any, where: str) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where}: {value!r} is not finite; write null for 'off'")
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {key: _integral(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_integral(item, f"{where}[{index}]") for index, item in enumerate(value)]
    return value


def digest(value: Any, where: str = "spec") -> str:
    """Return the first 12 hex digits of the SHA-256 of the canonical text."""
    return hashlib.sha256(canonical(value, where).encode()).hexdigest()[:12]


def flatten(value: Mapping, separator: str = ".", prefix: str = "") -> dict[str, Any]:
    """Lay nested mappings flat: `{"a": {"b": [1]}}` -> `{"a.b": [1]}`; lists stay whole."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        path = f"{prefix}{key}"
        if isinstance(item, Mapping) and item:
            flat |= flatten(item, separator, f"{path}{separator}")
        else:
            flat[path] = item
    return flat
