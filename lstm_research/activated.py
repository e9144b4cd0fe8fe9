"""Pre-activations that the way back reads through their activation alone: that is kept in their place.

The derivative of tanh is written with what it returns, 1 - h^2, and so is that of a sigmoid, which is a tanh
of z/2; that of a sum asks for neither part. So a step back asks for tanh(z/2), or tanh((z + p c)/2), and
never for z, where z is heard nowhere else. Which blocks of z are so is read off the step there; the step
back has the same equations, for JAX made it of them.
"""

from collections.abc import Sequence
from typing import Any

from lstm_research.blocked import Program, asked, literal

ENDS = ("logistic", "tanh")  # functions whose derivative asks for nothing but what they return
SUMS = ("add", "add_any")  # derivatives that ask for nothing
Path = tuple[tuple[str, float | None], ...]  # functions, each with the number that it is given too


def paths(made: Program, blocks: Sequence[Any]) -> tuple[Path, ...]:
    """Return through which functions alone a program reads each of some values; empty: as they are."""
    fixed = numbers(made)
    return tuple(followed(made, fixed, var)[0] for var in blocks)


def numbers(made: Program) -> dict[Any, float]:
    """Return the values of a program that are one number each, known beforehand."""
    found = {var: float(value) for var, value in made.constants if getattr(value, "size", 1) == 1}
    for each in made.equations:
        if each.primitive.name in ("broadcast_in_dim", "convert_element_type"):
            (var,) = each.invars
            if literal(var) or var in found:
                found[each.outvars[0]] = float(var.val) if literal(var) else found[var]
    return found


def followed(made: Program, fixed: dict[Any, float], var: Any) -> tuple[Path, list[Any], list[Any]]:
    """Return the path of a value, the equations on it, and the values at its end."""
    none: tuple[Path, list[Any], list[Any]] = (), [], []
    reads = [each for each in made.equations if any(var is read for read in each.invars)]
    steps = {step(each, fixed, var) for each in reads}
    if len(steps) != 1 or (one := steps.pop()) is None:
        return none
    outs = [each.outvars[0] for each in reads]
    if one[0] in ENDS:
        return (one,), reads, outs
    after = [followed(made, fixed, out) for out in outs]
    if len({path for path, _, _ in after}) != 1 or not after[0][0]:
        return none
    more = [each for _, every, _ in after for each in every]
    return (one, *after[0][0]), reads + more, [end for *_, ends in after for end in ends]


def step(equation: Any, fixed: dict[Any, float], var: Any) -> tuple[str, float | None] | None:
    """Return the function of a value that an equation is, with its number; None where it is none of ours."""
    name, others = equation.primitive.name, [v for v in equation.invars if v is not var]
    if name in ENDS and len(equation.invars) == 1:
        return name, None
    if len(equation.invars) != 2 or len(others) != 1:
        return None
    if name in SUMS:
        return name, None
    (other,) = others
    number = float(other.val) if literal(other) else fixed.get(other)
    return (name, number) if name == "mul" and number is not None else None


def given(made: Program, first: int, known: Sequence[Path]) -> Program:
    """Return a program that gives, from output `first` on, what is at the ends of paths."""
    outputs, fixed = list(made.outputs), numbers(made)
    for at, path in enumerate(known, first):
        if path:
            outputs[at] = followed(made, fixed, outputs[at])[2][0]
    return made._replace(outputs=tuple(outputs))


def taken(made: Program, known: Sequence[Path]) -> Program:
    """Return a program whose first inputs are what is at the ends of paths, and which goes none of these.

    Nor does it compute what only they asked for. An input that a program reads in another way than `known`
    says is a fault of ours.
    """
    if not any(known):
        return made
    fixed, gone, same = numbers(made), set[int](), dict[Any, Any]()
    for path, var in zip(known, made.inputs, strict=False):
        if path:
            found, equations, ends = followed(made, fixed, var)
            alone = found == path and not any(var is out for out in made.outputs)
            assert alone or not read(made, var), f"{var} is read by {found}, not by {path}"
            gone |= {id(each) for each in equations}
            same |= dict.fromkeys(ends, var)
    now = lambda var: var if literal(var) else same.get(var, var)
    outputs = tuple(now(var) for var in made.outputs)
    rest = [
        each.replace(invars=[now(var) for var in each.invars])
        for each in made.equations
        if id(each) not in gone
    ]
    return made._replace(equations=asked(rest, outputs)[0], outputs=outputs)


def read(made: Program, var: Any) -> bool:
    """Say whether a program reads a value at all."""
    return any(var is each for eq in made.equations for each in (*eq.invars, *made.outputs))
