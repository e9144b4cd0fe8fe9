"""Which equations a kernel can write, in whatever language: those of one unit, on float32 and choices."""

# JAX leaves its equations untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Container
from typing import Any

SAME = {"broadcast_in_dim", "copy", "reshape", "squeeze", "expand_dims", "stop_gradient"}
OWN = {"integer_pow", "convert_element_type"}  # what their parameters say is written with them


def refusal(equation: Any, plain: Container[str], missing: str) -> str | None:
    """Return what stands in the way of an equation, None where it can be written.

    plain: names of those that a language has a form for; missing: what is said of the others.
    """
    name = equation.primitive.name
    kinds = {str(var.aval.dtype) for var in (*equation.invars, *equation.outvars)}
    if not kinds <= {"float32", "bool"}:
        return f"{name} works on {', '.join(sorted(kinds - {'float32', 'bool'}))}"
    if name in plain or name in SAME or name in OWN:
        return None
    return f"{name} {missing}"
