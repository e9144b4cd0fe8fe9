"""What a task's field may be: each check names the field, its value and what is allowed."""

from collections.abc import Iterable

from lstm_research.spelling import unknown


def whole(field: str, value: object, low: int, why: str) -> None:
    """Raise ValueError unless value is a whole number >= low; `why` says what needs that many."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{field}={value!r}: must be a whole number >= {low} ({why})")


def one_of(field: str, value: object, allowed: Iterable[object]) -> None:
    """Raise ValueError unless value is one of those allowed; name the nearest spelling."""
    choices = list(allowed)
    if value not in choices:
        raise ValueError(unknown(field, value, [str(choice) for choice in choices], "choice"))


def checksum(value: str | None) -> None:
    """Raise ValueError unless value is a SHA-256 in hexadecimal, or None."""
    if value is not None and (len(value) != 64 or set(value) - set("0123456789abcdef")):
        raise ValueError(f"sha256={value!r}: must be 64 hexadecimal digits, lower case")
