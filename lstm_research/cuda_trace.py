"""From the Python of a step to the call of its kernel on a GPU: traced, cut into stages, spread, called."""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

from typing import Any

import jax
import jax.numpy as jnp

from lstm_research import cuda_call, cuda_driver, cuda_plan
from lstm_research.activated import numbers
from lstm_research.axes import Array, Tree
from lstm_research.blocked import Program, literal
from lstm_research.blockwise import Unblockable
from lstm_research.cuda_math import refusal as unwritten
from lstm_research.native_plan import Output
from lstm_research.whole_step import Kinds, Shape, Traced, cut, traced


def launch(
    shape: Shape, f: Any, data: Kinds, matrices: Tree, kinds: Any, keep: bool, precision: Any,
    whole: Tree = None, spoken: int | None = None, fed: tuple[int, ...] = (), bias: bool = False,
) -> Any:  # fmt: skip
    """Trace a step, write its kernel and call it; return what f returns.

    kinds(i): the kind of output i; spoken: how many of the last may be rounded, where kept and where
    they are operands of a product, None: all of kind "steps"; fed, bias: as a `Spec` has it.
    """
    found = traced(f, data, matrices, shape.hidden, whole)
    if not found.matrices:
        raise Unblockable("no matrix joins its units")
    found = found._replace(program=merged(found.program))
    spec = described(shape, found, kinds, keep, precision, spoken)._replace(fed=fed, bias=bias)
    every = (
        leaf if i in spec.halves else leaf.astype(jnp.float32)
        for i, leaf in enumerate((*found.arrays, *found.matrices))
    )  # fmt: skip
    given = cuda_call.kernel_call.bind(*every, call=cuda_call.Call(spec, found.timed))
    return jax.tree.unflatten(found.program.tree, collected(spec, list(given)))


def collected(spec: cuda_plan.Spec, found: list[Array]) -> list[Array]:
    """Return the outputs of a call, those that are operands cut out of their arrays."""
    end = len(found) - (spec.spread.joined == "flags")
    spoken = found[end - len(spec.operands) : end]
    made, at, program = list[Array](), 0, spec.stages.program
    for leaf, output in enumerate(spec.outputs):
        if output.kind != "operand":
            made.append(found.pop(0))
        else:
            stage, first = placed(spec.operands, program.outputs[at])
            array, count = spoken[stage], program.counts[leaf]
            units = array.reshape(*array.shape[:-1], -1, spec.spread.units)
            part = units[:, : spec.rows, first : first + count, : spec.hidden]
            made.append(part.reshape(part.shape[0], spec.rows, count * spec.hidden))
        at += program.counts[leaf]
    return made


def placed(operands: tuple[tuple[Any, ...], ...], var: Any) -> tuple[int, int]:
    """Return the stage of which a value is an operand, and its place there."""
    return next((i, group.index(var)) for i, group in enumerate(operands) if var in group)


def merged(made: Program) -> Program:
    """Return a program in which nothing is computed twice, added to 0 or multiplied by 1."""
    fixed = numbers(made)
    known: dict[Any, Any] = {}
    same: dict[Any, Any] = {}
    kept: list[Any] = []
    for equation in made.equations:
        operands = [v if literal(v) else same.get(v, v) for v in equation.invars]
        key = (
            equation.primitive.name,
            str(sorted(equation.params.items(), key=str)),
            tuple((str(v.val), str(v.aval)) if literal(v) else v for v in operands),
        )
        if key in known:
            same[equation.outvars[0]] = known[key]
            continue
        if (var := unmoved(key[0], operands, fixed)) is not None:
            same[equation.outvars[0]] = var
            continue
        known[key] = equation.outvars[0]
        kept.append(equation.replace(invars=operands))
    outputs = tuple(v if literal(v) else same.get(v, v) for v in made.outputs)
    return made._replace(equations=tuple(kept), outputs=outputs)


def unmoved(name: str, operands: list[Any], fixed: dict[Any, float]) -> Any:
    """Return the operand that an equation gives as it is, None where there is none; -0 counts as 0."""
    neutral = {"add": 0.0, "add_any": 0.0, "mul": 1.0}.get(name)
    if neutral is None or len(operands) != 2 or any(literal(each) for each in operands):
        return None
    one, other = operands
    if one.aval.shape != other.aval.shape:
        return None
    if fixed.get(other) == neutral:
        return one
    return other if fixed.get(one) == neutral else None


def described(
    shape: Shape, found: Traced, kinds: Any, keep: bool, precision: Any, spoken: int | None
) -> cuda_plan.Spec:
    """Return what a kernel is made of; raise Unblockable where a part of it cannot be written."""
    hidden, made, blocks = shape.hidden, found.program, cuda_driver.processors()
    batch, given = found.arrays[found.timed].shape[1], len(found.arrays)
    stages = cut(found, hidden, unwritten)
    operands = tuple(ordered(stage, made.outputs) for stage in cuda_plan.multiplied(stages))
    spread = cuda_plan.spread(hidden, batch, stages, blocks)
    if spread is None:
        raise Unblockable(
            f"its matrices of hidden={hidden} do not fit {blocks} multiprocessors, {batch} sequences each"
        )
    outputs, at = list[Output](), 0
    for i, n in enumerate(made.counts):
        last = spoken is None or i >= len(made.counts) - spoken
        same = last and kinds(i) in cuda_plan.TIMED and whole(operands, made.outputs[at : at + n])
        outputs.append(Output("operand" if keep and same else kinds(i), n * hidden, batch))
        at += n
    return cuda_plan.Spec(
        stages=stages,
        inputs=found.inputs,
        outputs=tuple(outputs),
        operands=operands,
        matrices=tuple((given + i, r.shape[0], r.shape[1]) for i, r in enumerate(found.matrices)),
        arguments=given + len(found.matrices),
        rows=batch,
        hidden=hidden,
        reverse=shape.reverse,
        precision=precision,
        kept=keep,
        spread=spread,
    )


def ordered(stage: Any, outputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the operands of a stage, those that are outputs first and in their order."""
    found = dict.fromkeys(v for each in stage.sums for v, _ in each.terms)
    first = dict.fromkeys(v for v in outputs if not literal(v) and v in found)
    return (*first, *(v for v in found if v not in first))


def whole(operands: tuple[tuple[Any, ...], ...], blocks: tuple[Any, ...]) -> bool:
    """Say whether the blocks of an output lie side by side among the operands of a stage."""
    for group in operands:
        for at in range(len(group) - len(blocks) + 1):
            if all(v is w for v, w in zip(group[at:], blocks, strict=False)):
                return True
    return False
