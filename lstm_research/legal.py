"""What a row of the gated family may not say: every contradiction, with the words for it."""

from typing import Any


def gates(row: Any) -> str:
    """Return the gates that own weights."""
    owns = {
        "i": row.input_gate is not False,
        "f": row.forget_gate is not False and row.coupled is not True,
        "r": row.reset_gate is not False,
        "o": row.output_gate is not False,
    }
    return "".join(name for name in "ifro" if owns[name])


def ordered(letters: str) -> str:
    """Return the gates of a peephole string once each, in the order i f o."""
    return "".join(gate for gate in "ifo" if gate in letters)


def contradictions(spec: Any) -> list[tuple[bool, str]]:
    """Return every rule that a row may break, with what to say then."""
    return [*of_gates(spec), *of_starts(spec)]


def of_gates(spec: Any) -> list[tuple[bool, str]]:
    """Return the rules on which parts a row may own together."""
    owns = gates(spec)
    strange = sorted(set(spec.peephole) - set("ifo"))
    blind = [gate for gate in ordered(spec.peephole) if gate not in owns]
    return [
        (
            spec.coupled and not (spec.input_gate and spec.forget_gate),
            "coupled=True sets the forget gate to 1 - input gate, so input_gate and forget_gate must both be "
            f"true; got input_gate={spec.input_gate}, forget_gate={spec.forget_gate}",
        ),
        (
            spec.shift != 0 and not spec.coupled,
            f"shift={spec.shift} moves a coupled forget gate and needs coupled=true; got coupled=False",
        ),
        (
            spec.reset_bias and not spec.reset_gate,
            "reset_bias=True is the bias inside the reset product and needs reset_gate=true; "
            "got reset_gate=False",
        ),
        (
            bool(strange),
            f"peephole={spec.peephole!r} may hold the letters i, f and o; got {', '.join(strange)}",
        ),
        (
            bool(blind),
            f"peephole={spec.peephole!r} names gates that this row does not own: {', '.join(blind)}; "
            f"it owns {', '.join(g for g in 'ifo' if g in owns) or 'none'}",
        ),
        (
            spec.half_slope and not (spec.squash_input or spec.squash_output),
            "half_slope=True changes a squash and needs squash_input or squash_output; got both False",
        ),
    ]


def of_starts(spec: Any) -> list[tuple[bool, str]]:
    """Return the rules on how the bias of the forget gate starts."""
    starts = [
        name
        for name in ("forget_bias", "chrono", "uniform_gates")
        if getattr(spec, name) is not None and getattr(spec, name) is not False
    ]
    return [
        (
            bool(starts) and not spec.forget_gate,
            f"{', '.join(starts)} sets the bias of the forget gate, and this row has none "
            "(forget_gate=False)",
        ),
        (
            len(starts) > 1,
            f"{' and '.join(starts)} both set the bias of the forget gate; choose one",
        ),
        (
            spec.chrono is not None and spec.chrono <= 2,
            f"chrono={spec.chrono} is the longest lag in steps and must exceed 2",
        ),
    ]
