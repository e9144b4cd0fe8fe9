"""How a picture looks and is written: Vega-Lite charts as SVG and PNG, without a browser."""

import struct
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

from lstm_research.disk import explained, write

MISSING = (
    "pictures need altair and vl-convert-python, and {name} is absent: pip install "
    "'lstm-research[report]'"
)
BLUE, ORANGE, GREY = "#2a5fa5", "#d9682b", "#8a8a8a"
SHADES = ("#f3f6fb", "#0f3d7d")  # 0 to 1
SIGNS = ("#b35806", "#f7f7f7", "#2a5fa5")  # below 0, 0, above 0
SCALE = 2  # pixels of the PNG a unit of the drawing


class MissingPackage(ImportError):
    """A package of the extra `report` is absent; the message says how to install it."""


def vega() -> ModuleType:
    """Return altair; raise MissingPackage where it is absent."""
    try:
        import altair
    except ImportError as error:
        raise MissingPackage(MISSING.format(name="altair")) from error
    return altair


def converter() -> ModuleType:
    """Return vl_convert; raise MissingPackage where it is absent."""
    try:
        import vl_convert
    except ImportError as error:
        raise MissingPackage(MISSING.format(name="vl-convert-python")) from error
    return vl_convert


def required() -> None:
    """Raise MissingPackage where altair or vl_convert is absent."""
    vega()
    converter()


def rows(values: list[dict[str, Any]]) -> Any:
    """Return rows as the data of a chart."""
    return vega().Data(values=values)


def styled(chart: Any, title: str, subtitle: str = "") -> Any:
    """Return a whole picture: title on the left, quiet axes, no frame."""
    head: Any = {"text": title, "anchor": "start", "fontSize": 14, "offset": 12}
    if subtitle:
        head |= {"subtitle": subtitle, "subtitleColor": GREY, "subtitleFontSize": 11}
    return (
        chart.properties(title=head, background="white", padding=12)
        .configure_view(stroke=None)
        .configure_axis(
            grid=False, domainColor=GREY, tickColor=GREY, labelColor="#444", titleColor="#444",
            titleFontWeight="normal", labelFontSize=10, titleFontSize=11,
        )
        .configure_legend(titleFontWeight="normal", labelColor="#444", titleColor="#444")
        .configure_header(labelColor="#222", titleColor="#222", labelFontSize=11)
        .configure_title(subtitlePadding=4, fontWeight="normal")
    )  # fmt: skip


def save(chart: Any, path: Path, scale: float = SCALE) -> Path:
    """Write a chart in the format of the path's ending, .svg or .png; return the path.

    scale: pixels of a PNG a unit of the drawing. Raises ValueError for another ending, MissingPackage
    without the extra `report`, and StoreError where the file cannot be written.
    """
    forms = {
        ".svg": lambda text: converter().vegalite_to_svg(text),
        ".png": lambda text: smaller(converter().vegalite_to_png(text, scale=scale)),
    }
    if path.suffix not in forms:
        raise ValueError(f"{path}: a picture ends in {' or '.join(sorted(forms))}")
    drawn = forms[path.suffix](chart.to_json(indent=None))
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, drawn)
    return path


def smaller(png: bytes) -> bytes:
    """Return the same PNG, its pixels packed as tightly as zlib can: vl_convert does it in haste."""
    head, rest, pixels = png[:8], png[8:], b""
    chunks: list[tuple[bytes, bytes]] = []
    while rest:
        size, kind = struct.unpack(">I4s", rest[:8])
        body, rest = rest[8 : 8 + size], rest[12 + size :]
        if kind == b"IDAT":
            pixels += body
        else:
            chunks.append((kind, body))
    chunks.insert(-1, (b"IDAT", zlib.compress(zlib.decompress(pixels), 9)))
    return head + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
