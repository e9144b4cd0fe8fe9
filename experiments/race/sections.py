"""Who meets whom: the contestants of each part of the comparison, and its shapes.

A shape is batch, time, features, hidden. The record of a section and a shape is one JSON line that
holds everybody's rounds, so that a ratio never joins two runs.
"""

from typing import Any

from race.products import SQUARE, terms
from race.turns import Contestant

Shape = tuple[int, int, int, int]
TRAIN: tuple[Shape, ...] = (
    (64, 100, 2, 128), (32, 100, 2, 32), (20, 600, 2, 128), (16, 200, 64, 512),
)  # fmt: skip
STREAM: tuple[Shape, ...] = ((1, 100, 2, 32), (1, 100, 2, 128), (1, 100, 64, 512))
VARIANTS: tuple[Shape, ...] = ((64, 100, 2, 128), (16, 200, 64, 512))
SHAPES = {"train": TRAIN, "forward": TRAIN, "stream": STREAM, "variants": VARIANTS}
CELLS = {  # name -> blocks of its recurrent product
    "lstm": 4, "peephole": 4, "cifg": 3, "gru": 3, "greff/nig": 3, "greff/nfg": 3, "greff/nog": 3,
    "greff/niaf": 4, "greff/noaf": 4, "janet": 2, "ugrnn": 2,
}  # fmt: skip
PEERS = {  # name -> package; all of them in JAX
    "flax nnx.RNN, OptimizedLSTMCell": "flax",
    "flax nnx.RNN, LSTMCell": "flax",
    "flax linen.RNN": "flax",
    "haiku": "haiku",
    "equinox": "equinox",
    "keras (jax)": "keras",
}
WIDE = 512  # hidden units from which one core is never the best setting of a library of JAX
SLOWER = ("flax nnx.RNN, LSTMCell", "keras (jax)")  # never the best in any setting that was tried
OURS = ("ours, auto", "ours, fused", "ours, scan")
THREADS = ("all cores", "one core")
SPLIT = "a core a device"
HELD = "memory held"  # freed memory stays for the next call, whoever's: `start.hold`
PIECES = "ours, lr.accumulate"  # h is read piece by piece
LIMIT = "limit: "
ALONE = ("h R, a step", "dz R', a step", "dR, all steps")  # the rest is part of "all but R"


def jax(name: str, setting: str, work: str, shape: Shape, **more: Any) -> Contestant:
    """Return a contestant of `rivals.RIVALS`."""
    package = PEERS.get(name, "jax")
    job = {"side": "jax", "package": package, "rival": name, "work": work, "shape": shape, **more}
    return Contestant(name, setting, job)


def torch(setting: str, work: str, shape: Shape, **more: Any) -> Contestant:
    """Return PyTorch's nn.LSTM."""
    name = "torch nn.LSTMCell" if more.get("single") else "torch nn.LSTM"
    job = {"side": "torch", "package": "torch", "work": work, "shape": shape, **more}
    return Contestant(name, setting, job)


def onnx(setting: str, work: str, shape: Shape) -> Contestant:
    """Return onnxruntime."""
    job = {"side": "onnx", "package": "onnxruntime", "work": work, "shape": shape}
    return Contestant("onnxruntime", setting, job)


def product(name: str, setting: str, shape: Shape, sizes: Any, split: str) -> Contestant:
    """Return a matrix product on its own."""
    job = {"side": "product", "package": "jax", "work": "product", "shape": shape}
    return Contestant(LIMIT + name, setting, job | {"product": sizes, "split": split})


def limits(shape: Shape) -> list[Contestant]:
    """Return the terms of the limit: the square product, each product of a step, the rest of ours."""
    found = [product("2048 cubed", "all cores", shape, SQUARE, "m")]
    for setting in ("all cores", SPLIT):
        found += [
            product(name, setting, shape, sizes, split)
            for name, (sizes, split, _) in terms(shape).items()
            if name in ALONE
        ]
    bare = [
        jax("ours, fused", setting, "train", shape, bare=True, whole=True)
        for setting in ("all cores", SPLIT)
    ]
    return found + [each._replace(name=f"{LIMIT}all but R") for each in bare]


def train(shape: Shape) -> list[Contestant]:
    """Return everybody who can train an LSTM, in the settings that can be anybody's best."""
    found = [
        jax(name, setting, "train", shape) for name in OURS for setting in ("all cores", SPLIT)
    ]
    whole = jax("ours, auto", SPLIT, "train", shape, whole=True)
    found.append(whole._replace(name="ours, auto, the step split"))
    for name in PEERS:
        settings = ("all cores",) if name in SLOWER or shape[3] >= WIDE else (*THREADS, SPLIT)
        found += [jax(name, setting, "train", shape) for setting in settings]
    found += [torch(setting, "train", shape) for setting in THREADS]
    held = [jax(name, HELD, "train", shape) for name in (OURS[0], next(iter(PEERS)))]
    held.append(torch(HELD, "train", shape))
    return found + [each._replace(name=f"{each.name}, {HELD}") for each in held] + limits(shape)


def forward(shape: Shape) -> list[Contestant]:
    """Return everybody who can run an LSTM."""
    found = [
        jax(name, setting, "forward", shape)
        for name in OURS[:2]
        for setting in ("all cores", SPLIT)
    ]
    found += [
        jax(name, setting, "forward", shape)
        for name in PEERS
        for setting in THREADS[: 1 if name in SLOWER or shape[3] >= WIDE else 2]
    ]
    found += [torch(setting, "forward", shape) for setting in THREADS]
    return found + [onnx(setting, "forward", shape) for setting in THREADS]


def stream(shape: Shape) -> list[Contestant]:
    """Return who serves a batch of one: a step a call, and a sequence a call; NumPy in and out."""
    found: list[Contestant] = []
    for setting in THREADS:
        found += [
            jax("ours, auto", setting, "step", shape),
            jax("ours, auto", setting, "step", shape, single=True)._replace(name="ours, lr.step"),
            torch(setting, "step", shape),
            torch(setting, "step", shape, single=True),
            onnx(setting, "step", shape),
            jax("ours, auto", setting, "sequence", shape),
            torch(setting, "sequence", shape),
            onnx(setting, "sequence", shape),
        ]
    return found


def variants(shape: Shape) -> list[Contestant]:
    """Return our cells that a row of switches says, each in the two settings."""
    return [
        jax("ours, auto", setting, "train", shape, cell=cell)._replace(name=cell)
        for cell in CELLS
        for setting in ("all cores", SPLIT)
    ]


CONTESTANTS = {"train": train, "forward": forward, "stream": stream, "variants": variants}
