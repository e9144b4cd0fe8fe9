"""From the Python of a step to the call of its kernel on a GPU: traced, cut into stages, spread, called."""

# JAX leaves types unknown in its own signatures:
# pyright: reportUnknownMemberType=false

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lstm_research import cuda_call, cuda_driver, cuda_plan
from lstm_research.axes import Array, Tree
from lstm_research.blocked import Program, literal, program
from lstm_research.blockwise import Unblockable, count
from lstm_research.cell import Cell
from lstm_research.cuda_math import refusal as unwritten
from lstm_research.native_plan import Input, Output
from lstm_research.native_stages import ROWS, staged

BLOCKS = 132  # multiprocessors to plan for where no GPU is at hand: an H100's


class Shape(NamedTuple):
    """What decides a pair of kernels, beside the arrays."""

    cell: Cell
    hidden: int
    reverse: bool


def launch(
    shape: Shape, f: Any, data: list[tuple[str, Tree]], matrices: Tree, kinds: Any, keep: bool,
    precision: Any, whole: Tree = None,
) -> Any:  # fmt: skip
    """Trace a step, write its kernel and call it; return what f returns.

    data: (kind, tree) of each argument of f, as `Input` has it; kinds(i): the kind of output i. "before"
    is found among the outputs, "next" in the arrays `whole`. Outputs that are operands are rounded.
    """
    hidden, rights = shape.hidden, jax.tree.leaves(matrices)
    arrays = [leaf for _, tree in data for leaf in jax.tree.leaves(tree)]
    if wrong := {str(leaf.dtype) for leaf in (*arrays, *rights)} - {"float32", "bool"}:
        raise Unblockable(f"it holds {', '.join(sorted(wrong))}, and a kernel float32 alone")
    if not rights or any(r.ndim != 2 for r in rights):
        raise Unblockable("no matrix joins its units, or each of its heads has one of its own")
    made = merged(program(f, [slices(kind, tree) for kind, tree in data], matrices, hidden, hidden))
    inputs, given = list[Input](), list[Array]()
    past = jax.tree.leaves(whole)
    for kind, tree in data:
        for i, leaf in enumerate(jax.tree.leaves(tree)):
            width = leaf.size if kind == "shared" else leaf.shape[-1]
            inputs.append(Input(kind, width, len(given), i, kind == "before"))
            given.append(leaf.reshape(-1) if kind == "shared" else leaf)
            if kind == "next":
                inputs[-1] = inputs[-1]._replace(whole=len(given))
                given.append(past[i])
    timed = next(i for i, leaf in enumerate(given) if leaf.ndim == 3)
    spec = described(
        shape,
        made,
        tuple(inputs),
        kinds,
        given[timed].shape[1],
        rights,
        len(given),
        keep,
        precision,
    )
    every = (leaf.astype(jnp.float32) for leaf in (*given, *rights))
    found = cuda_call.kernel_call.bind(*every, call=cuda_call.Call(spec, timed))
    return jax.tree.unflatten(made.tree, collected(spec, list(found)))


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
    """Return a program in which nothing is computed twice."""
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
        known[key] = equation.outvars[0]
        kept.append(equation.replace(invars=operands))
    outputs = tuple(v if literal(v) else same.get(v, v) for v in made.outputs)
    return made._replace(equations=tuple(kept), outputs=outputs)


def slices(kind: str, tree: Tree) -> Tree:
    """Return the shapes of arrays in one step of a kernel."""
    if kind == "shared":
        return tree
    one = lambda leaf: jax.ShapeDtypeStruct((ROWS, leaf.shape[-1]), leaf.dtype)
    return jax.tree.map(one, tree)


def described(
    shape: Shape, made: Program, inputs: tuple[Input, ...], kinds: Any, batch: int,
    matrices: list[Array], given: int, keep: bool, precision: Any,
) -> cuda_plan.Spec:  # fmt: skip
    """Return what a kernel is made of; raise Unblockable where a part of it cannot be written."""
    hidden = shape.hidden
    for equation in made.equations:
        if equation.primitive.name != "dot_general" and (reason := unwritten(equation)):
            raise Unblockable(reason)
    if any(var.aval.shape != (ROWS, hidden) for var in made.outputs):
        raise Unblockable("a step gives one number for all units")
    leaves = [count(jax.ShapeDtypeStruct((each.width,), np.float32), hidden) for each in inputs]
    grids = [(r.shape[0] // hidden, r.shape[1] // hidden) for r in matrices]
    stages = staged(made, leaves, grids)
    operands = tuple(ordered(stage, made.outputs) for stage in cuda_plan.multiplied(stages))
    here = cuda_driver.device()
    blocks = BLOCKS if here is None else here.processors
    spread = cuda_plan.spread(hidden, batch, stages, blocks)
    if spread is None:
        raise Unblockable(f"its matrices of hidden={hidden} do not fit {blocks} multiprocessors")
    firsts = [sum(made.counts[:leaf]) for leaf in range(len(made.counts))]
    outputs = tuple(
        Output(
            "operand" if keep and whole(operands, made.outputs[at : at + n]) else kinds(i),
            n * hidden,
            batch,
        )
        for i, (at, n) in enumerate(zip(firsts, made.counts, strict=True))
    )
    return cuda_plan.Spec(
        stages=stages,
        inputs=inputs,
        outputs=outputs,
        operands=operands,
        matrices=tuple((given + i, r.shape[1]) for i, r in enumerate(matrices)),
        sizes=tuple((given + i, r.size) for i, r in enumerate(matrices)),
        arguments=given + len(matrices),
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
