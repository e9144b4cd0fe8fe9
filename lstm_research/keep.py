"""What the backward pass keeps of a sequence, and how many steps it computes again at once.

    gates    all that it asks for, pre-activations and carries: nothing is computed twice
    states   the carries; the pre-activations again, many steps in one product (`states.py`)
    pieces   the carry before each of about sqrt(T) pieces; each piece is run again (`pieces.py`)

By itself it takes the first that fits ROOM, of those that the engine has, in the order of `order`. Gates
take about 3 arrays as wide as the pre-activations. States take no step of the loop again: on a GPU, whose
loops wait for their own launches, they come before pieces. On a CPU a loop costs what its products cost
(an LSTM of 64 units, 2,048 steps, 32 sequences, `native`: gates 128 MiB, states 80 MiB and pieces 48 MiB,
the last two 1.14 times the time), so there states are for those who ask. Kernels of a GPU keep states
however short the sequence is, and compute all z again at once, so that they take the room of gates in
their backward pass. Inputs and outputs grow with T whatever is done.
"""

import math
from typing import Literal, NamedTuple, get_args

from lstm_research.spelling import unknown

Keep = Literal["auto", "gates", "states", "pieces"]
KEEPS: dict[str, tuple[Keep, ...]] = {  # by engine
    "scan": ("gates",),
    "fused": ("gates", "states", "pieces"),
    "native": ("gates", "states", "pieces"),
    "columns": ("gates", "pieces"),
    "pallas": ("states", "pieces"),
    "cuda": ("gates", "pieces"),
    "parallel": ("gates", "pieces"),
    "newton": ("gates", "pieces"),
}
ROOM = 512 * 2**20  # bytes that what is kept of a whole sequence may take
LARGE = 8 * 2**30  # the same where a device has a memory of its own
COPIES = 3  # zx, z and carries: about so many arrays as wide as zx
SHORTEST = 256  # steps: a shorter piece spends its time on being started
AT_ONCE = 8 * 2**20  # bytes of pre-activations that are computed again at once


class Kept(NamedTuple):
    """What is kept, and how many steps are computed again at once."""

    policy: Keep
    length: int


class Size(NamedTuple):
    """Bytes that one step of a batch takes."""

    z: int  # its pre-activations
    carry: int


def order(engine: str, backend: str) -> tuple[Keep, ...]:
    """Return what an engine can keep, in the order in which it is tried."""
    keeps = KEEPS[engine]
    if backend != "cpu" or "gates" not in keeps:
        return keeps
    return tuple(sorted(keeps, key=lambda each: each == "states"))


def room(backend: str) -> int:
    """Return the bytes that what is kept of a whole sequence may take."""
    return ROOM if backend == "cpu" else LARGE


def decide(
    asked: Keep, able: tuple[Keep, ...], steps: int, size: Size, backend: str = "cpu"
) -> Kept:
    """Return what is kept of so many steps; able: what can be, in the order in which it is tried."""
    policy: Keep = asked
    if asked == "auto":
        policy = fitting(able, steps, size, room(backend))
    if policy == "pieces":
        return Kept(policy, piece(steps))
    if policy == "states" and {"gates", "pieces"} <= set(able):
        most = max(SHORTEST, AT_ONCE // max(size.z, 1))
        return Kept(policy, math.ceil(steps / max(1, math.ceil(steps / most))))
    return Kept(policy, steps)


def piece(steps: int) -> int:
    """Return how many steps a piece of a sequence has."""
    return min(steps, max(SHORTEST, math.isqrt(steps)))


def fitting(able: tuple[Keep, ...], steps: int, size: Size, most: int) -> Keep:
    """Return the first way that takes no more than so many bytes, the last one where none does."""
    for way in able[:-1]:  # where there is no choice, sizes may be symbols
        if steps * taken(way, able, size) <= most:
            return way
    return able[-1]


def taken(policy: Keep, able: tuple[Keep, ...], size: Size) -> int:
    """Return the bytes of a step of a policy; states alone are a kernel's, see above."""
    states = size.carry if "gates" in able else COPIES * size.z
    return {"gates": COPIES * size.z, "states": states}.get(policy, 0)


def refusal(asked: Keep, engine: str, able: tuple[Keep, ...]) -> str | None:
    """Return why an engine cannot keep what is asked, None where it can."""
    if asked not in (known := get_args(Keep)):
        return unknown("keep", asked, known, "way to keep a sequence")
    if asked == "auto" or asked in able:
        return None
    return f"keep={asked!r} is not for engine {engine!r} and this cell: {' or '.join(able)} is"


def told(
    kept: Kept, asked: Keep, able: tuple[Keep, ...], steps: int, size: Size, backend: str = "cpu"
) -> str:
    """Return what is kept in words, and why."""
    mib = lambda number: f"{number / 2**20:,.1f} MiB"
    takes = {way: mib(steps * taken(way, able, size)) for way in able}
    again = f"computes the pre-activations again, {kept.length} steps in one product"
    said = {
        "gates": f"pre-activations and carries of all {steps} steps",
        "states": f"the carries of all {steps} steps, and {again}",
        "pieces": f"the carry before every {kept.length} steps, and runs those again",
    }[kept.policy]
    if asked != "auto":
        return f"{kept.policy} (asked for): {said}"
    passed = [f"{way} {takes[way]}" for way in able[: able.index(kept.policy)]]
    why = f"{' and '.join(passed)} pass" if passed else f"{kept.policy} {takes[kept.policy]} fit"
    return f"{kept.policy}: {said}; {why} {mib(room(backend))}"
