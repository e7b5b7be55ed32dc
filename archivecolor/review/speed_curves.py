"""Curves of speed as plain numbers, which the template draws as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archivecolor.provenance import DONE, Record

WIDTH, HEIGHT = 600, 120
BINS = 150
"""Points of a curve at most; each is the median of its share of the pictures."""
WORKING = ("decode", "network", "spread", "encode")


@dataclass(frozen=True)
class Curve:
    """One line over the pictures in the order of the manifest."""

    label: str
    unit: str
    points: str
    """`x,y x,y …` in a box of `WIDTH` x `HEIGHT`."""
    top: float
    """The value at the upper edge."""
    median: float


def speed(rows: Sequence[Record]) -> list[Curve]:
    """Megapixels a second of one worker, and the milliseconds that each stage takes per megapixel, of photographs."""
    done = [row for row in rows if row.status == DONE and row.seconds and row.width and not row.film]
    if len(done) < 2:
        return []
    megapixels = np.array([row.width * row.height * max(1, row.pages) / 1e6 for row in done])
    seconds = {stage: np.array([row.seconds.get(stage, 0.0) for row in done]) for stage in WORKING}
    working = np.maximum(np.sum(list(seconds.values()), axis=0), 1e-6)
    curves = [_curve("speed of one worker", "megapixels/s", megapixels / working)]
    return curves + [_curve(stage, "ms per megapixel", 1000 * seconds[stage] / megapixels) for stage in WORKING]


def _curve(label: str, unit: str, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Curve:
    parts = np.array_split(values, min(BINS, len(values)))
    heights = np.array([np.median(part) for part in parts])
    top = float(heights.max()) or 1.0
    across = np.linspace(0, WIDTH, len(heights))
    points = " ".join(f"{x:.1f},{HEIGHT * (1 - y / top):.1f}" for x, y in zip(across, heights, strict=True))
    return Curve(label, unit, points, top, float(np.median(values)))
