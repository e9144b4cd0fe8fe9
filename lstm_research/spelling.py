"""What to say of a name that is not there: the path, the value, what is allowed, the nearest
spelling.
"""

import difflib
from collections.abc import Iterable


def nearest(name: object, allowed: Iterable[str]) -> str | None:
    """Return the allowed name that looks most like this one, or None."""
    close = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.5)
    return close[0] if close else None


def unknown(path: str, value: object, allowed: Iterable[str], what: str = "name") -> str:
    """Return one line: `cell: 'lstn' is no cell. Did you mean 'lstm'? Allowed: ...`."""
    names = sorted(allowed)
    close = nearest(value, names)
    hint = f" Did you mean {close!r}?" if close else ""
    return f"{path}: {value!r} is no {what} here.{hint} Allowed: {', '.join(names) or 'none'}."
