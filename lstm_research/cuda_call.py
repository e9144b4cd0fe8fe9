"""From a kernel's text to a function that XLA calls on a GPU: it fills in pointers and launches the kernel.

XLA hands a handler one structure of pointers (its C interface for foreign functions, c_api.h beside
jaxlib); the handler here is written in LLVM, so that nobody needs a compiler of C. Blocks that hear each
other must run at the same time, so such a kernel is launched cooperatively: it runs whole or is refused.
"""

# llvmlite leaves its builders untyped:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import llvmlite.binding as llvm
import numpy as np
from jax.core import ShapedArray
from jax.extend import core
from jax.interpreters import batching, mlir

from lstm_research import cuda_driver, foreign
from lstm_research.cuda_kernel import Kernel
from lstm_research.cuda_pack import packed
from lstm_research.cuda_plan import TIMED, Spec

HANDLER = """
define ptr @handle(ptr %frame) {{
  %extension.at = getelementptr i8, ptr %frame, i64 {EXTENSION}
  %extension = load ptr, ptr %extension.at
  %plain = icmp eq ptr %extension, null
  br i1 %plain, label %staged, label %extended
extended:
  %kind.at = getelementptr i8, ptr %extension, i64 {KIND}
  %kind = load i32, ptr %kind.at
  %asked = icmp eq i32 %kind, 1
  br i1 %asked, label %told, label %staged
told:
  %told.at = getelementptr i8, ptr %extension, i64 {METADATA}
  %about = load ptr, ptr %told.at
  %major = getelementptr i8, ptr %about, i64 {MAJOR}
  %minor = getelementptr i8, ptr %about, i64 {minor_at}
  %traits = getelementptr i8, ptr %about, i64 {traits_at}
  store i32 {major}, ptr %major
  store i32 {minor}, ptr %minor
  store i32 0, ptr %traits
  ret ptr null
staged:
  %stage.at = getelementptr i8, ptr %frame, i64 {STAGE}
  %stage = load i32, ptr %stage.at
  %runs = icmp eq i32 %stage, {EXECUTE}
  br i1 %runs, label %run, label %nothing
nothing:
  ret ptr null
run:
  %api.at = getelementptr i8, ptr %frame, i64 {API}
  %api = load ptr, ptr %api.at
  %context.at = getelementptr i8, ptr %frame, i64 {CONTEXT}
  %context = load ptr, ptr %context.at
  %ask = alloca {{ i64, ptr, ptr, ptr }}
  store {{ i64, ptr, ptr, ptr }} {{ i64 32, ptr null, ptr null, ptr null }}, ptr %ask
  %ask.context = getelementptr i8, ptr %ask, i64 16
  store ptr %context, ptr %ask.context
  %stream.of.at = getelementptr i8, ptr %api, i64 {STREAM_GET}
  %stream.of = load ptr, ptr %stream.of.at
  %refused = call ptr %stream.of(ptr %ask)
  %given = icmp eq ptr %refused, null
  br i1 %given, label %found, label %failed
failed:
  ret ptr %refused
found:
  %stream.at = getelementptr i8, ptr %ask, i64 24
  %stream = load ptr, ptr %stream.at
  %arguments.at = getelementptr i8, ptr %frame, i64 {ARGUMENTS}
  %arguments = load ptr, ptr %arguments.at
  %results.at = getelementptr i8, ptr %frame, i64 {RESULTS}
  %results = load ptr, ptr %results.at
  %timed.at = getelementptr i8, ptr %arguments, i64 {timed}
  %timed = load ptr, ptr %timed.at
  %sides.at = getelementptr i8, ptr %timed, i64 {SIDES}
  %sides = load ptr, ptr %sides.at
  %side = getelementptr i8, ptr %sides, i64 {side}
  %steps = load i64, ptr %side
  %short = trunc i64 %steps to i32
  %count = alloca i32
  store i32 %short, ptr %count
  %values = alloca ptr, i64 {values}
  %parameters = alloca ptr, i64 {parameters}
{body}
  %result = call i32 inttoptr (i64 {launch} to ptr)({launched})
  %launched = icmp eq i32 %result, 0
  br i1 %launched, label %nothing, label %wrong
wrong:
{digits}
  %error = alloca {{ i64, ptr, ptr, i32 }}
  store {{ i64, ptr, ptr, i32 }} {{ i64 28, ptr null, ptr @message, i32 13 }}, ptr %error
  %make.at = getelementptr i8, ptr %api, i64 {ERROR_CREATE}
  %make = load ptr, ptr %make.at
  %made = call ptr %make(ptr %error)
  ret ptr %made
}}
@message = private global [{size} x i8] c"{message}\\00"
"""
MESSAGE = "CUDA refused a kernel (error 000); network.engine=fused runs without it"


@dataclass(eq=False, repr=False)  # one object is one call; its text would be pages
class Call:
    """A kernel that will be called: it is written and compiled when a program with it is."""

    spec: Spec
    timed: int  # an argument whose first side is time


def shapes(spec: Spec, steps: Any) -> list[ShapedArray]:
    """Return the arrays that a call gives: outputs, then the operands of each stage."""
    single, made = np.dtype(np.float32), list[ShapedArray]()
    for each in spec.outputs:
        if each.kind in TIMED:
            dtype = single if each.kind == "steps" else np.dtype(np.float16)
            made.append(ShapedArray((steps, each.rows, each.width), dtype))
        elif each.kind == "fed":
            made.append(ShapedArray((spec.parts, spec.feeds, each.width), single))
        elif each.kind != "operand":
            made.append(ShapedArray((each.rows, each.width), single))
    for group in spec.operands:
        side = steps if spoken(spec) else 1
        shape = (side, spec.operand_rows, len(group) * spec.spread.units)
        made.append(ShapedArray(shape, jnp.dtype(spec.precision)))
    if spec.spread.joined == "flags":
        made.append(ShapedArray((steps, len(spec.operands), spec.groups), np.dtype(np.uint32)))
    if spec.runs:
        return [ShapedArray((spec.runs, *each.shape), each.dtype) for each in made]
    return made


def spoken(spec: Spec) -> bool:
    """Say whether the operands of every step are written."""
    return spec.kept or spec.spread.joined == "flags"


def outputs(*arguments: Any, call: Call) -> list[ShapedArray]:
    """Return the shapes of what a call gives."""
    return shapes(call.spec, arguments[call.timed].shape[-3])


def lowered(context: Any, *arguments: Any, call: Call) -> Any:
    """Compile the kernel of a call, and call it by its name."""
    return jax.ffi.ffi_lowering(registered(call))(context, *arguments)


def batched(arguments: Any, axes: Any, call: Call) -> Any:
    """Run all members of a mapped axis in one launch; one after the other where blocks wait for each
    other through the GPU's memory, or where there is such an axis already.
    """
    if call.spec.runs or call.spec.spread.joined == "flags":
        return foreign.one_by_one(partial(kernel_call.bind, call=call), arguments, axes)
    size = next(a.shape[n] for a, n in zip(arguments, axes, strict=True) if n is not None)
    first = [
        a if n is None else jnp.moveaxis(a, n, 0) for a, n in zip(arguments, axes, strict=True)
    ]
    spec = call.spec._replace(runs=size, each=tuple(n is not None for n in axes))
    spec = packed(spec, cuda_driver.processors())
    found = kernel_call.bind(*first, call=Call(spec, call.timed))
    return found, [0] * len(found)


kernel_call = core.Primitive("lstm_research_cuda_kernel")
kernel_call.multiple_results = True
kernel_call.def_abstract_eval(outputs)
kernel_call.def_impl(lambda *given, call: jax.jit(partial(kernel_call.bind, call=call))(*given))
mlir.register_lowering(kernel_call, lowered, platform="cuda")
batching.primitive_batchers[kernel_call] = batched


def handler(call: Call, kernel: int) -> str:
    """Return the text of a handler: it finds the arrays, lowers the flags, and launches."""
    spec, lines = call.spec, list[str]()
    given = [("arguments", i) for i in range(spec.arguments)]
    arrays = shapes(spec, 1)
    given += [("results", i) for i in range(len(arrays))]
    for n, (where, i) in enumerate(given):
        lines += [
            f"  %p{n}.at = getelementptr i8, ptr %{where}, i64 {8 * i}",
            f"  %p{n} = load ptr, ptr %p{n}.at",
            f"  %d{n}.at = getelementptr i8, ptr %p{n}, i64 {foreign.DATA}",
            f"  %d{n} = load ptr, ptr %d{n}.at",
            f"  %v{n} = getelementptr ptr, ptr %values, i64 {n}",
            f"  store ptr %d{n}, ptr %v{n}",
            f"  %q{n} = getelementptr ptr, ptr %parameters, i64 {n}",
            f"  store ptr %v{n}, ptr %q{n}",
        ]
    end = len(given)
    lines += [
        f"  %q{end} = getelementptr ptr, ptr %parameters, i64 {end}",
        f"  store ptr %count, ptr %q{end}",
    ]
    link = spec.spread.joined
    if together := link == "flags":
        clear, array = cuda_driver.address("cuMemsetD8Async"), arrays[-1]
        lines += [
            f"  %bytes = mul i64 %steps, {array.size * array.dtype.itemsize}",
            f"  %cleared = call i32 inttoptr (i64 {clear} to ptr)"
            f"(ptr %d{end - 1}, i8 0, i64 %bytes, ptr %stream)",
        ]
    major, minor = foreign.version()
    return HANDLER.format(
        **{name: place for name, place in vars(foreign).items() if name.isupper()},
        minor_at=foreign.MAJOR + 4,
        traits_at=foreign.MAJOR + 8,
        major=major,
        minor=minor,
        timed=8 * call.timed,
        side=8 if spec.runs and spec.each[call.timed] else 0,
        values=end,
        parameters=end + 1,
        body="\n".join(lines),
        launch=cuda_driver.address("cuLaunchCooperativeKernel" if together else "cuLaunchKernel"),
        launched=", ".join(
            [
                f"ptr inttoptr (i64 {kernel} to ptr)",
                *(f"i32 {n}" for n in (spec.blocks, 1, 1, spec.spread.threads, 1, 1)),
                f"i32 {spec.shared}, ptr %stream, ptr %parameters",
                *([] if together else ["ptr null"]),
            ]
        ),
        digits="\n".join(digit(n) for n in range(3)),
        size=len(MESSAGE) + 1,
        message=MESSAGE,
    )


def digit(n: int) -> str:
    """Return the writing of one digit of CUDA's error into the message, from the left."""
    place = MESSAGE.index("000") + n
    return (
        f"  %e{n} = udiv i32 %result, {10 ** (2 - n)}\n"
        f"  %f{n} = urem i32 %e{n}, 10\n"
        f"  %g{n} = add i32 %f{n}, 48\n"
        f"  %h{n} = trunc i32 %g{n} to i8\n"
        f"  store i8 %h{n}, ptr getelementptr (i8, ptr @message, i64 {place})"
    )


def text(spec: Spec) -> str:
    """Return the whole text of a kernel."""
    here = Path(__file__)
    parts = [here.with_name(f"cuda_{part}.cuh").read_text("utf-8") for part in ("gpu", "common")]
    return "".join(parts) + Kernel(spec).text


def registered(call: Call) -> str:
    """Compile a kernel unless its like is there; return the name by which XLA calls it."""
    found = cuda_driver.device()
    assert found is not None
    kernel = cuda_driver.loaded(text(call.spec), found.capability, call.spec.shared)
    code = handler(call, kernel)
    name = f"lstm_research_cuda_{hashlib.sha256(code.encode()).hexdigest()[:16]}"
    if name not in foreign.PASSED:
        foreign.register(name, assembled(code), "CUDA")
    return name


def assembled(code: str) -> Any:
    """Return the engine that holds a handler."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=2, codemodel="jitdefault")
    module = llvm.parse_assembly(code)
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine
