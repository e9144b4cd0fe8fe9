"""One step a call as machine code that is called from Python: no program of XLA, no array of JAX.

The kernel is that of `native.py` for a sequence of one step, its matrices packed once and not at every
call. What a step leaves is what the next begins with: two sets of arrays take turns, and nothing is
copied but an input and an output of a few numbers.
"""

# JAX and llvmlite leave types unknown in their own signatures:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import ctypes
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from llvmlite import ir

from lstm_research import native_call
from lstm_research.axes import Tree
from lstm_research.cell import Cell, Weights, given, project, sizes
from lstm_research.masks import Masks
from lstm_research.native_kernel import Kernel
from lstm_research.native_launch import described
from lstm_research.native_mark import mark
from lstm_research.native_plan import Layout, Spec, laid
from lstm_research.native_tile import POINTER, word
from lstm_research.whole_step import Shape, There, flattened, there, traced

FEATURES = 64  # at most: a step multiplies them one by one


class Emitted(NamedTuple):
    """A step of a cell that gives (carry, h)."""

    step: There

    def __call__(self, *arguments: Tree) -> Tree:
        """Take the step."""
        after, *_ = self.step(*arguments)
        return after, self.step.cell.emit(after)


class Stepper:
    """Takes steps; holds the carry."""

    def __init__(self, cell: Cell, weights: Weights, carry: Tree) -> None:
        """Write the kernel and lay out its arrays; raise Unblockable where the cell has none."""
        features, hidden = sizes(cell, weights)
        self.tree, leaves = jax.tree.structure(carry), jax.tree.leaves(carry)
        self.batch = leaves[0].shape[:-1]
        self.shape = (*self.batch, features)
        rows, fed = math.prod(self.batch), cell._replace(drive=given)
        x = jnp.zeros((1, *self.shape), jnp.float32)
        data, _ = flattened(fed, weights, None, carry, x, Masks(None, None))
        step, kinds = there(fed, False, False, data)
        found = traced(Emitted(step), kinds, weights.r, hidden, None)
        spec = described(Shape(fed, hidden, False), found, lambda i: "steps")._replace(
            once=True, team=1
        )
        layout = laid(spec)
        self.inputs = np.zeros((features, rows), np.float32)
        turned = lambda array: np.require(array, np.float32, ["C", "W"])
        held = [turned(np.array(each)) for each in (*found.arrays, *found.matrices)]
        held[:features] = list(self.inputs)
        *made, self.h = (np.zeros((rows, each.width), np.float32) for each in spec.outputs)
        free = np.empty(layout.scratch + native_call.processor().lanes, np.float32)
        start = -free.ctypes.data // 4 % native_call.processor().lanes  # numbers to a whole vector
        before = {i.start: i.whole for i in spec.inputs if i.kind == "before"}
        self.sets = [held, [made[before[i]] if i in before else a for i, a in enumerate(held)]]
        self.carries = [
            made,
            [held[i] for i, _ in sorted(before.items(), key=lambda pair: pair[1])],
        ]
        self.free = free  # C has no more than addresses: arrays live as long as this does
        self.odd = 0
        self.calls = [
            (
                pointers(self.sets[odd]),
                pointers([*self.carries[odd], self.h, free[start:]]),
            )
            for odd in range(2)
        ]
        self.engine = native_call.compiled(lambda: text(spec, layout), marked(spec))
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
        ready, self.run = (kind(self.engine.get_function_address(f)) for f in ("ready", "take"))
        ready(*self.calls[0])
        self.out = (*self.batch, self.h.shape[-1])

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Take a step; return h."""
        self.inputs[...] = x.reshape(-1, len(self.inputs)).T
        self.run(*self.calls[self.odd])
        self.odd ^= 1
        return self.h.reshape(self.out).copy()

    @property
    def carry(self) -> Tree:
        """Return a copy of what the next step begins with."""
        leaves = [leaf.copy() for leaf in self.carries[1 - self.odd]]
        shaped = [leaf.reshape(*self.batch, leaf.shape[-1]) for leaf in leaves]
        return jax.tree.unflatten(self.tree, shaped)


def serves(cell: Cell, weights: Weights, carry: Tree) -> bool:
    """Say whether a step of a cell can be machine code alone; that it can be blocked is seen later."""
    leaves = jax.tree.leaves((carry, weights._replace(row=None)))
    single = all(leaf.dtype == np.float32 for leaf in leaves)
    plain = cell.drive is project and cell.precision == "float32"
    return single and plain and 0 < sizes(cell, weights)[0] <= FEATURES and leaves[0].size > 0


def pointers(arrays: list[np.ndarray]) -> Any:
    """Return the addresses of arrays, in an array of C."""
    return (ctypes.c_void_p * len(arrays))(*(each.ctypes.data for each in arrays))


def marked(spec: Spec) -> str:
    """Return what the functions are known by."""
    return mark(spec, "stream", *native_call.machine())


def text(spec: Spec, layout: Layout) -> str:
    """Return the module with `ready` and `take`, functions of (arguments, results)."""
    kernel = Kernel(spec, layout)
    kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER])
    function = ir.Function(kernel.module, kind, "take")
    build = ir.IRBuilder(function.append_basic_block())
    with native_call.flushed(build):
        arguments, results = function.args
        none = ir.Constant(POINTER, None)
        build.call(kernel.function, [arguments, results, word(1), none, word(0)])
    build.ret_void()
    return str(kernel.module)
