"""Measures the review desk: how soon it opens over a long manifest, and how soon a pinned colour is seen."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from archivecolor.bench.long_run import write_long_manifest
from archivecolor.bench.pictures import SIZES, synthetic_scan
from archivecolor.options import ReviewOptions
from archivecolor.provenance import SKIPPED, Manifest, Record
from archivecolor.review.desk.pictures import TILE, Side
from archivecolor.review.desk.server import Desk

_WINDOW = (1600, 1000)
"""Pixels of the viewer, across and down."""
_REPEATS = 5


@dataclass(frozen=True)
class DeskCost:
    """Wall seconds."""

    rows: int
    open_s: float
    """From the command's call to the page and its data, for a manifest of so many rows."""
    megapixels: float
    preview_s: float
    """From a click on an open picture until the tiles that a window shows are there, with the network asked before. The
    median of several clicks."""


def measure_desk(rows: int, model: str, device: str, folder: Path) -> DeskCost:
    """Opens a desk over a manifest of `rows` rows, and pins colours in a generated scan. `folder` is empty."""
    out = folder / "out"
    write_long_manifest(rows - 1, out)
    width, height = SIZES[1]
    path = folder / "scan.png"
    Image.fromarray(synthetic_scan(width, height, 0)).save(path, compress_level=1)
    with Manifest(out) as manifest:
        manifest.append(Record(path.name, str(path), None, SKIPPED, source_sha256="4" * 64, model=model, pages=1))
    started = time.perf_counter()
    desk = Desk(ReviewOptions(out=out, device=device))
    desk.index()
    desk.data()
    open_s = time.perf_counter() - started
    opened = desk.open({"input": path.name})
    seconds = sorted(_click(desk, opened, model, click) for click in range(_REPEATS + 1))
    desk.close()
    return DeskCost(rows, open_s, width * height / 1e6, seconds[len(seconds) // 2 - 1])


def _click(desk: Desk, opened: Mapping[str, object], model: str, click: int) -> float:
    """Pins one more colour, and makes the tiles of a window that shows the whole picture."""
    picture = desk.pictures.get(str(opened["key"]))
    hint = {"x": picture.width // 2 + picture.width // 100 * click, "y": picture.height // 2, "colour": "#3a5f8b"}
    started = time.perf_counter()
    desk.preview({"key": opened["key"], "model": model, "hints": [hint]})
    level = next(i for i, copy in enumerate(picture.levels) if copy.shape[1] <= 2 * _WINDOW[0])
    tall, wide = picture.levels[level].shape[:2]
    for row in range(-(-tall // TILE)):
        for column in range(-(-wide // TILE)):
            picture.tile(Side.PREVIEW, level, column, row)
    return time.perf_counter() - started
