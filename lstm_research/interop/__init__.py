"""Ways out of the package and into it: weights and networks in the formats of others.

`lr.interop.torch`, `keras`, `flax`, `safetensors`, `onnx` and `stablehlo` load when first asked for.
"""

import importlib
from types import ModuleType

PARTS = ("flax", "keras", "onnx", "safetensors", "stablehlo", "torch")


def __getattr__(name: str) -> ModuleType:
    if name not in PARTS:
        raise AttributeError(f"lstm_research.interop has {', '.join(PARTS)}, and no {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *PARTS})
