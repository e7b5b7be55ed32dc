"""At which size and in which tiles the network sees a picture, and how tiles are stitched, for any size and shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from archivecolor.imaging.arrays import FloatArray

TALL_OR_WIDE = 2.0
"""Aspect ratio above which one prediction is too coarse across the short side, and tiles are used."""
OVERLAP = 0.25
"""Share of a tile that overlaps its neighbour."""
NARROWEST = 16.0
"""Aspect ratio above which the picture is squeezed, so that its area at network size stays near `size`²."""
MOST_ALONG = 64
"""Most tiles along one side: no shape of picture causes unbounded work."""


@dataclass(frozen=True)
class NetworkSize:
    """A picture at network size, `height` x `width` at true aspect, inside a padded `net_height` x `net_width`."""

    height: int
    width: int
    net_height: int
    net_width: int


@lru_cache(maxsize=4096)
def network_size(height: int, width: int, size: int, stride: int = 32) -> NetworkSize:
    """The network size of a picture: its area is about `size`², with as little padding as possible.

    The padded sides are multiples of `stride`, so that pictures of many shapes share few sizes and can be batched. The
    picture inside keeps its aspect to within half a pixel (up to `NARROWEST`).
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
    """(H, W) -> (height, width), mirrored at the lower and right edge, repeatedly if needed."""
    h, w = picture.shape
    return np.pad(picture, ((0, height - h), (0, width - w)), mode="symmetric")


def working_size(height: int, width: int, short: float, tile: int) -> tuple[int, int]:
    """Height and width of a copy whose short side is `short`, or less if its long side would need too many tiles."""
    longest = tile * (1 + (MOST_ALONG - 1) * (1 - OVERLAP))
    scale = min(short / min(height, width), longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def tile_starts(length: int, tile: int) -> list[int]:
    """Starts of tiles that cover `length` evenly and overlap by at least `OVERLAP`; [0] if one tile is enough."""
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
    """Tiles of at most `tile` x `tile` that cover the whole picture."""
    return [
        Tile(y, min(y + tile, height), x, min(x + tile, width))
        for y in tile_starts(height, tile)
        for x in tile_starts(width, tile)
    ]


def _feather(length: int, before: bool, after: bool) -> FloatArray:
    """Weights along one side of a tile: a raised cosine over the shared part, on the sides with a neighbour."""
    ramp = max(1, round(length * OVERLAP))
    rise = (0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / ramp)).astype(np.float32)
    weights = np.ones(length, np.float32)
    if before:
        weights[:ramp] *= rise
    if after:
        weights[-ramp:] *= rise[::-1]
    return weights


def stitch(predictions: list[FloatArray], tiles: list[Tile], height: int, width: int) -> FloatArray:
    """Predictions (C, h, w) of overlapping tiles -> (C, height, width), feathered where they overlap.

    The weights are divided by their sum: where all predictions agree, so does the result.
    """
    total = np.zeros((predictions[0].shape[0], height, width), np.float32)
    weight = np.zeros((height, width), np.float32)
    for prediction, tile in zip(predictions, tiles, strict=True):
        down = _feather(tile.bottom - tile.top, tile.top > 0, tile.bottom < height)
        across = _feather(tile.right - tile.left, tile.left > 0, tile.right < width)
        share = np.maximum(np.outer(down, across), 1e-6)
        area = (slice(tile.top, tile.bottom), slice(tile.left, tile.right))
        total[:, *area] += prediction * share
        weight[area] += share
    return total / weight
