"""From a module of LLVM to a function that XLA calls: compiled for this processor, kept by its text.

XLA hands a handler one structure of pointers (its C interface for foreign functions, c_api.h beside
jaxlib); the handler here is written in LLVM too, so that no compiler but LLVM is needed. Machine code is
kept in the folder `kernels` of JAX's compiled programs, where there is one (`start.prepare`).
"""

# llvmlite leaves its builders untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import llvmlite.binding as llvm
import numpy as np
from jax.core import ShapedArray
from jax.extend import core
from jax.interpreters import batching, mlir
from llvmlite import ir

from lstm_research import foreign, kept_code, native_threads
from lstm_research.foreign import (
    ARGUMENTS,
    DATA,
    EXECUTE,
    EXTENSION,
    KIND,
    MAJOR,
    METADATA,
    RESULTS,
    SIDES,
    STAGE,
    version,
)
from lstm_research.native_kernel import Kernel
from lstm_research.native_mark import mark
from lstm_research.native_math import called
from lstm_research.native_plan import Layout, Spec, shared
from lstm_research.native_tile import BYTE, POINTER, WORD, field, lay, word

HALF, NONE = ir.IntType(32), ir.Constant(POINTER, None)
FLUSH = 0x8040  # of an x86's control word: results and operands below the least normal number are 0


class Processor:
    """What this machine's vectors are."""

    def __init__(self) -> None:
        """Ask LLVM."""
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.features = llvm.get_host_cpu_features()
        self.name, self.told = llvm.get_host_cpu_name(), self.features.flatten()
        wide, some = self.features.get("avx512f"), self.features.get("avx2")
        self.lanes = 16 if wide else 8 if some else 4
        self.sums = 12 if some and not wide else 24 if wide or "neon" in self.features else 8


@cache
def processor() -> Processor:
    """Return what this machine's vectors are."""
    return Processor()


def entered(module: ir.Module) -> tuple[ir.IRBuilder, Any]:
    """Begin `handle`, which answers what XLA asks beside a call; return its builder and the call's frame."""
    function = ir.Function(module, ir.FunctionType(POINTER, [POINTER]), "handle")
    build, (frame,) = ir.IRBuilder(function.append_basic_block()), function.args
    extension = field(build, frame, EXTENSION)
    with build.if_then(build.icmp_unsigned("!=", extension, NONE)):
        kind = field(build, extension, KIND, HALF)
        with build.if_then(build.icmp_unsigned("==", kind, ir.Constant(HALF, 1))):
            told = field(build, extension, METADATA)
            for i, number in enumerate((*version(), 0)):
                where = build.gep(told, [word(MAJOR + 4 * i)], source_etype=BYTE)
                build.store(ir.Constant(HALF, number), where)
            build.ret(NONE)
    stage = field(build, frame, STAGE, HALF)
    with build.if_then(build.icmp_unsigned("!=", stage, ir.Constant(HALF, EXECUTE))):
        build.ret(NONE)
    return build, frame


def buffer(build: ir.IRBuilder, frame: Any, begin: int, at: int) -> Any:
    """Return what XLA says of an array of a call; begin: `ARGUMENTS` or `RESULTS`."""
    return field(build, field(build, frame, begin), 8 * at)


def array(build: ir.IRBuilder, frame: Any, begin: int, at: int) -> Any:
    """Return where an array of a call lies."""
    return field(build, buffer(build, frame, begin, at), DATA)


def handler(kernel: Kernel, steps: int) -> None:
    """Write `handle`, which finds the arrays of a call; steps: an argument whose first side is time."""
    build, frame = entered(kernel.module)
    found: list[Any] = []
    for begin, count in (
        (ARGUMENTS, kernel.spec.arguments), (RESULTS, len(kernel.spec.outputs) + 1)
    ):  # fmt: skip
        parts = [array(build, frame, begin, i) for i in range(count)]
        found.append(lay(build, build.alloca(POINTER, word(count)), parts))
    sides = field(build, buffer(build, frame, ARGUMENTS, steps), SIDES)
    with flushed(build):
        arguments, results = found
        many: Any = build.load(sides, typ=WORD)
        native_threads.call(
            build, kernel.function, kernel.spec.team, arguments, results, many, frame, flushed
        )
    build.ret(NONE)


@contextlib.contextmanager
def flushed(build: ir.IRBuilder) -> Iterator[None]:
    """Write that numbers below the least normal one are 0 in between, as in XLA's own threads.

    They take a hundred cycles each; a processor that is no x86 keeps them.
    """
    if not processor().features.get("sse"):
        yield
        return
    before, now = (build.alloca(HALF) for _ in range(2))
    called(build, "llvm.x86.sse.stmxcsr", ir.VoidType(), build.bitcast(before, POINTER))
    build.store(build.or_(build.load(before), ir.Constant(HALF, FLUSH)), now)
    called(build, "llvm.x86.sse.ldmxcsr", ir.VoidType(), build.bitcast(now, POINTER))
    yield
    called(build, "llvm.x86.sse.ldmxcsr", ir.VoidType(), build.bitcast(before, POINTER))


@dataclass(eq=False, repr=False)  # one object is one call; its text would be pages
class Call:
    """A kernel that will be called: it is written and compiled when a program with it is."""

    spec: Spec
    layout: Layout
    steps: int  # an argument whose first side is time


def outputs(*arguments: Any, call: Call) -> list[ShapedArray]:
    """Return the shapes of what a call gives, the scratch last."""
    steps = arguments[call.steps].shape[0]
    sides = [
        (steps, each.rows, each.width) if each.kind == "steps" else (each.rows, each.width)
        for each in call.spec.outputs
    ]
    return [ShapedArray(side, np.dtype(np.float32)) for side in (*sides, (call.layout.scratch,))]


def lowered(context: Any, *arguments: Any, call: Call) -> Any:
    """Compile the kernel of a call, and call it by its name."""
    aliases: Any = {
        "operand_output_aliases": shared(call.spec)
    }  # XLA copies what is needed afterwards
    return jax.ffi.ffi_lowering(registered(call), **aliases)(context, *arguments)


def one_by_one(arguments: Any, axes: Any, call: Call) -> Any:
    """Call a kernel for each member of a mapped axis, one after the other."""
    return foreign.one_by_one(partial(kernel_call.bind, call=call), arguments, axes)


kernel_call = core.Primitive("lstm_research_kernel")
kernel_call.multiple_results = True
kernel_call.def_abstract_eval(outputs)
kernel_call.def_impl(lambda *given, call: jax.jit(partial(kernel_call.bind, call=call))(*given))
mlir.register_lowering(kernel_call, lowered, platform="cpu")
batching.primitive_batchers[kernel_call] = one_by_one


def registered(call: Call) -> str:
    """Write and compile a kernel unless its like is there; return the name by which XLA calls it."""
    known = mark(call.spec, call.steps, *machine())
    provide(known, partial(text, call))
    return foreign.named(known)


def provide(known: str, text: Callable[[], str]) -> None:
    """Give XLA the `handle` of a module under a mark unless it has it; the module is written if need be."""
    if (name := foreign.named(known)) not in foreign.PASSED:
        foreign.register(name, compiled(text, known), "cpu")
    foreign.note(known, __name__)


def recalled(mark: str) -> bool:
    """Give XLA a kernel whose machine code is kept, unless it has it; say whether that could be done."""
    name = foreign.named(mark)
    if name not in foreign.PASSED and (engine := held(kept_code.place(f"{mark}.o"))) is not None:
        foreign.register(name, engine, "cpu")
    return name in foreign.PASSED


def machine() -> tuple[Any, ...]:
    """Return what machine code depends on beside a kernel's text."""
    return str(llvm.llvm_version_info), processor().name, processor().told, version()


def text(call: Call) -> str:
    """Return the module of a kernel and its handler."""
    kernel = Kernel(call.spec, call.layout)
    handler(kernel, call.steps)
    return str(kernel.module)


def target() -> Any:
    """Return this processor as LLVM has it."""
    here = processor()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=here.name, features=here.told, opt=3, reloc="pic", codemodel="jitdefault"
    )


def held(place: Path | None) -> Any:
    """Return the engine of machine code that is kept, None where there is none."""
    if (code := kept_code.held(place)) is None:
        return None
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def compiled(text: Callable[[], str], mark: str) -> Any:
    """Return the engine that holds the functions of a module, which is written if need be.

    Its machine code is kept under a mark.
    """
    place = kept_code.place(f"{mark}.o")
    if (engine := held(place)) is not None:
        return engine
    machine = target()
    module = llvm.parse_assembly(text())
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.set_object_cache(lambda _, made: kept_code.keep(place, made), lambda _: None)
    engine.finalize_object()
    return engine
