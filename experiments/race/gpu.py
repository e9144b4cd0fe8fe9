"""The comparison on a GPU: our engines against cuDNN's LSTM through PyTorch, gates, and a pack of runs.

D = H and H is a multiple of 128, so that cuDNN may take its persistent kernel in float16. PyTorch's LSTM
is of the dtype throughout; ours rounds the operands of its products and keeps state, gates and weights
in float32. float32 is TF32 on both sides where the library's own default says so.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from race.sections import CELLS, Shape, jax, product, torch
from race.turns import Contestant

SHAPES: tuple[Shape, ...] = (
    (64, 512, 128, 128), (64, 512, 256, 256), (64, 512, 512, 512), (64, 512, 1024, 1024),
    (16, 1024, 768, 768),
)  # fmt: skip
HALVES = ("bfloat16", "float16")
GATES: Shape = (64, 512, 256, 256)
SQUARE = (8192, 8192, 8192)
PACK: Shape = (64, 100, 2, 128)
PACKS = (PACK, (16, 100, 2, 128), (20, 600, 2, 128))  # many sequences, few, and long ones
RUNS = 64
PROFILE = (
    "by JAX's profiler on an H200 (2026-11-27), 1.12 ms a training step of 64 runs: the forward kernel "
    "0.35, the backward kernel 0.51, dR 0.12, h squared and its gradient 0.10. The last two move their "
    "bytes as fast as a copy does; for its own bytes the pair of kernels would need 0.52. Three times one "
    "run would be 0.65"
)
BESIDE = ("fused", "pallas")  # engines of ours that `auto` does not take there, in bfloat16


class Published(NamedTuple):
    """Milliseconds that others print: H100 SXM, B=16, T=1024, H=768, one head, bfloat16 unless said."""

    name: str
    forward: float
    train: float


PUBLISHED = (  # labels of head_dim--lstm.svg
    Published("FlashRNN, CUDA fused", 4.87, 13.61),
    Published("FlashRNN, CUDA alternating", 10.79, 26.49),
    Published("torch.nn.LSTM fp16 (cuDNN) in FlashRNN's chart", 2.01, 5.19),
    Published("haste fp32 in FlashRNN's chart", 18.41, 43.86),
)
CITED = (
    "Beck et al., FlashRNN, ICLR 2025 (arXiv:2412.07752), repository NX-AI/flashrnn: cited, not run "
    "here. FlashRNN and haste are given x W, cuDNN's figure includes it"
)


def train(shape: Shape, engines: Iterable[str]) -> list[Contestant]:
    """Return ours and cuDNN's training step in every dtype, the halves first."""
    found: list[Contestant] = []
    for dtype in HALVES:
        for graph in (False, True):
            found.append(cudnn("train", shape, dtype, graph=graph))
        found.append(ours("auto", "train", shape, dtype))
    found += [ours(each, "train", shape, HALVES[0]) for each in BESIDE if each in engines]
    if shape == SHAPES[0]:
        found.append(ours("scan", "train", shape, HALVES[0]))
    found += [cudnn("train", shape, "float32"), ours("auto", "train", shape, "float32")]
    return [*found, square(shape)]


def forward(shape: Shape, engines: Iterable[str]) -> list[Contestant]:
    """Return ours and cuDNN's forward pass in the halves."""
    return [
        each
        for dtype in HALVES
        for each in (cudnn("forward", shape, dtype), ours("auto", "forward", shape, dtype))
    ]


def variants(shape: Shape, engines: Iterable[str]) -> list[Contestant]:
    """Return the gates of the table, in bfloat16."""
    found = (ours("auto", "train", shape, "bfloat16", cell=cell) for cell in CELLS)
    return [each._replace(name=cell) for each, cell in zip(found, CELLS, strict=True)]


def pack(shape: Shape, engines: Iterable[str]) -> list[Contestant]:
    """Return one run and many in one program, and cuDNN's one."""
    alone = [cudnn("train", shape, "bfloat16"), ours("auto", "train", shape, "bfloat16")]
    return [*alone, ours("auto", "train", shape, "bfloat16", runs=RUNS)]


def ours(engine: str, work: str, shape: Shape, dtype: str, **more: Any) -> Contestant:
    """Return our recurrence on the GPU."""
    return jax(f"ours, {engine}", "gpu", work, shape, dtype=dtype, **more)


def square(shape: Shape) -> Contestant:
    """Return a large product in bfloat16: the rate that the limit is taken at."""
    found = product("8192 cubed", "gpu", shape, SQUARE, "m")
    return found._replace(job=found.job | {"dtype": "bfloat16"})


def cudnn(work: str, shape: Shape, dtype: str, graph: bool = False) -> Contestant:
    """Return PyTorch's nn.LSTM on the GPU, eager or replayed from a CUDA graph."""
    found = torch("gpu torch", work, shape, dtype=dtype, device="cuda", graph=graph)
    return found._replace(name="cuDNN (torch), CUDA graph" if graph else "cuDNN (torch)")


PLAN = [
    *(("gpu train", shape, train) for shape in SHAPES),
    ("gpu variants", GATES, variants),
    *(("gpu pack", shape, pack) for shape in PACKS),
    *(("gpu forward", shape, forward) for shape in (SHAPES[-1], *SHAPES[:2])),
]  # the order in which time runs out
