"""A traced function in ONNX, node by node; its `lax.scan` becomes a `Scan` whose body is the cell's
own step.

No equation of a cell is written a second time: what is exported is what `cell.step` traces to.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jax.extend import core

from lstm_research.interop import onnx_complex, onnx_operators, onnx_primitives
from lstm_research.interop.onnx_complex import Value
from lstm_research.interop.onnx_graph import Graph, NotExported, package, value_info

INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # where an equation keeps the function that it calls
RULES = onnx_primitives.RULES | {onnx_operators.PRIMITIVE.name: onnx_operators.write}


def translate(graph: Graph, closed: Any, inputs: Sequence[Value]) -> list[Any]:
    """Write a jaxpr into a graph; return the names of its outputs. Raises NotExported."""
    jaxpr, constants = opened(closed)
    names: dict[Any, Value] = dict(zip(jaxpr.invars, inputs, strict=True))
    for var, value in zip(jaxpr.constvars, constants, strict=True):
        names[var] = onnx_complex.constant(graph, np.asarray(value))

    def name(atom: Any) -> Value:
        if isinstance(atom, core.Literal):
            return onnx_complex.constant(graph, np.asarray(atom.val, dtype(atom)))
        return names[atom]

    for eqn in jaxpr.eqns:
        refused = reason(eqn)
        if refused:
            raise NotExported(refused)
        outputs = write(graph, eqn, [name(atom) for atom in eqn.invars])
        names.update(zip(eqn.outvars, outputs, strict=True))
    return [name(atom) for atom in jaxpr.outvars]


def write(graph: Graph, eqn: Any, names: Sequence[Any]) -> Sequence[Value]:
    """Write one equation."""
    if eqn.primitive.name == "scan":
        return scan(graph, eqn, names)
    inner = called(eqn)
    if inner is not None:
        return translate(graph, inner, names)
    rules = onnx_complex.RULES if onnx_complex.has(eqn) else RULES
    return rules[eqn.primitive.name](graph, eqn, names)


def opened(closed: Any) -> tuple[Any, Sequence[Any]]:
    """Return a jaxpr and its constants."""
    return (closed.jaxpr, closed.consts) if isinstance(closed, core.ClosedJaxpr) else (closed, ())


def called(eqn: Any) -> Any:
    """Return the function that an equation calls; None where it calls none."""
    found = [eqn.params[key] for key in INNER if key in eqn.params]
    return found[0] if found and isinstance(found[0], (core.ClosedJaxpr, core.Jaxpr)) else None


def reason(eqn: Any) -> str | None:
    """Return why an equation has no place in ONNX; None where it has one."""
    name, complicated = eqn.primitive.name, onnx_complex.has(eqn)
    if name == "scan":
        return "complex numbers carried from step to step" if complicated else None
    if called(eqn) is not None and name not in ("while", "cond"):
        return None
    if complicated:
        return None if name in onnx_complex.RULES else f"{name} of complex numbers"
    return None if name in RULES else f"the JAX primitive {name} has no translation"


def refusals(closed: Any) -> Iterator[str]:
    """Find why a jaxpr has no place in ONNX, equation by equation."""
    for eqn in opened(closed)[0].eqns:
        why, inner = reason(eqn), called(eqn)
        if why:
            yield why
        elif inner is not None:
            yield from refusals(inner)


def scan(graph: Graph, eqn: Any, names: Sequence[str]) -> list[str]:
    """Write a loop over time. What the body reads and does not change it sees by its outer name."""
    params, closed = eqn.params, eqn.params["jaxpr"]
    constants, carries = params["num_consts"], params["num_carry"]
    body, entering = Graph(graph), closed.jaxpr.invars[constants:]
    inside = [body.name("in") for _ in entering]
    scanned, inputs = len(entering) - carries, list(names[constants:])
    if not scanned:
        raise NotExported("a loop over no inputs")
    leaving = translate(body, closed, [*names[:constants], *inside])
    own = [body.here("Identity", [name])[0] for name in leaving]
    drawn = package().helper.make_graph(
        body.nodes,
        "step",
        [typed(name, var) for name, var in zip(inside, entering, strict=True)],
        [typed(name, var) for name, var in zip(own, closed.jaxpr.outvars, strict=True)],
    )
    way = int(params["reverse"])
    return graph.here(
        "Scan",
        inputs,
        len(own),
        body=drawn,
        num_scan_inputs=scanned,
        scan_input_directions=[way] * scanned,
        scan_output_directions=[way] * (len(own) - carries),
    )


def dtype(var: Any) -> Any:
    """Return the element type of a value of a jaxpr."""
    return var.aval.dtype


def typed(name: str, var: Any) -> Any:
    """Return the type of a value of a jaxpr under a name."""
    return value_info(name, dtype(var), var.aval.shape)
