"""Which windows of a picture the network sees, and how their answers are put together again, for any size and shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from archivecolor.imaging.arrays import FloatArray

TALL_OR_WIDE = 2.0
"""Aspect ratio above which one square-ish look is too coarse across the short side, and tiles are used."""
OVERLAP = 0.25
"""Part of a tile that it shares with its neighbour."""
NARROWEST = 16.0
"""Aspect ratio above which one look no longer keeps it: a strip is squeezed, so that its frame stays near `size`²."""
MOST_ALONG = 64
"""Tiles along one side at most, so that no shape of picture can ask for unbounded work."""


@dataclass(frozen=True)
class NetworkSize:
    """A picture at network size, `height` x `width` at true aspect, inside a padded `net_height` x `net_width`."""

    height: int
    width: int
    net_height: int
    net_width: int


@lru_cache(maxsize=4096)
def network_size(height: int, width: int, size: int, stride: int = 32) -> NetworkSize:
    """The frame for a picture whose area at network size is about `size`², with as little padding as possible.

    The sides of the padded frame are multiples of `stride`, so that pictures of many shapes share few frames and can
    go through the network together; the picture inside keeps its aspect to within half a pixel (up to `NARROWEST`).
    """
    height, width = max(height, width / NARROWEST), max(width, height / NARROWEST)  # type: ignore[assignment]
    ideal_h = math.sqrt(size * size * height / width)
    ideal_w = size * size / ideal_h
    best: tuple[float, NetworkSize] | None = None
    for net_h in _multiples_near(ideal_h, stride):
        for net_w in _multiples_near(ideal_w, stride):
            scale = min(net_h / height, net_w / width)
            h, w = max(1, min(net_h, round(height * scale))), max(1, min(net_w, round(width * scale)))
            padding = net_h * net_w / (h * w) - 1
            cost = min(padding, 4.0) + abs(math.log(net_h * net_w / (size * size)))
            if best is None or cost < best[0]:
                best = cost, NetworkSize(h, w, net_h, net_w)
    assert best is not None
    return best[1]


def _multiples_near(side: float, stride: int) -> list[int]:
    below = max(1, math.floor(side / stride))
    return sorted({max(1, below - 1) * stride, below * stride, (below + 1) * stride})


def pad(picture: FloatArray, height: int, width: int) -> FloatArray:
    """(H, W) -> (height, width), mirrored at the lower and right edge, as often as it takes."""
    h, w = picture.shape
    return np.pad(picture, ((0, height - h), (0, width - w)), mode="symmetric")


def working_size(height: int, width: int, short: float, tile: int) -> tuple[int, int]:
    """Height and width of a copy whose short side is `short`, or less where its long side would need too many tiles."""
    longest = tile * (1 + (MOST_ALONG - 1) * (1 - OVERLAP))
    scale = min(short / min(height, width), longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def tile_starts(length: int, tile: int) -> list[int]:
    """Where windows of `tile` begin to cover `length` evenly, sharing at least `OVERLAP`; [0] if one does."""
    if length <= tile:
        return [0]
    count = math.ceil((length - tile) / (tile * (1 - OVERLAP))) + 1
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


@dataclass(frozen=True)
class Tile:
    """Rows `top:bottom`, columns `left:right` of a picture."""

    top: int
    bottom: int
    left: int
    right: int


def tile_windows(height: int, width: int, tile: int) -> list[Tile]:
    """Windows of at most `tile` x `tile` that cover the whole picture."""
    return [
        Tile(y, min(y + tile, height), x, min(x + tile, width))
        for y in tile_starts(height, tile)
        for x in tile_starts(width, tile)
    ]


def _feather(length: int, before: bool, after: bool) -> FloatArray:
    """Weights along one side of a window: a raised cosine over the shared part, on the sides that have a neighbour."""
    ramp = max(1, round(length * OVERLAP))
    rise = (0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / ramp)).astype(np.float32)
    weights = np.ones(length, np.float32)
    if before:
        weights[:ramp] *= rise
    if after:
        weights[-ramp:] *= rise[::-1]
    return weights


def stitch(answers: list[FloatArray], places: list[Tile], height: int, width: int) -> FloatArray:
    """The answers (C, h, w) of overlapping windows -> (C, height, width), feathered where they overlap.

    Where all answers agree, so does the result: the weights are divided by their sum.
    """
    total = np.zeros((answers[0].shape[0], height, width), np.float32)
    weight = np.zeros((height, width), np.float32)
    for answer, place in zip(answers, places, strict=True):
        down = _feather(place.bottom - place.top, place.top > 0, place.bottom < height)
        across = _feather(place.right - place.left, place.left > 0, place.right < width)
        share = np.maximum(np.outer(down, across), 1e-6)
        area = (slice(place.top, place.bottom), slice(place.left, place.right))
        total[:, *area] += answer * share
        weight[area] += share
    return total / weight
