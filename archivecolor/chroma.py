"""Spreads a small map of colour onto a full-size luminance so that colours stop at edges.

The guided filter (He, Sun, Tang 2013) in its fast form (He, Sun 2015): on the small grid, colour is modelled around
every pixel as a straight line in lightness, ab = slope * L + base; slope and base, which are smooth, are enlarged, and
the line is evaluated on the full-size L. Where the scene has an edge, L has it too, and the colour follows it to the
pixel. What the lines cannot say (colour that changes where lightness does not) is their residual on the small grid; it
is enlarged linearly and added, so that nothing of the map is lost. Grain and highlights outside the range that the
line was fitted on would invent colour, so the result is held between the smallest and the largest colour of its
neighbourhood.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Spread:
    """A colour map ready to be evaluated on rows of the full-size L*.

    `maps` is (8, h, w): slope, base, lowest, highest of a, then of b. They stay small: as wide as a scan of 30,000
    columns they would take half a gigabyte.
    """

    maps: Floats
    height: int
    width: int

    def rows(self, lightness: Tensor, top: int) -> Tensor:
        """L* (rows, W) of the full picture from row `top` on -> ab (2, rows, W), Lab units."""
        return self.band(top, lightness.shape[0]).rows(lightness, top)

    def band(self, top: int, count: int) -> Band:
        """What `count` rows from `top` on need, made as wide as the picture once for all of them."""
        h = self.maps.shape[1]
        ends = _small_rows(torch.tensor([top, top + count - 1], dtype=torch.float32), h / self.height, h)
        first, last = int(ends[0]), min(int(ends[1]) + 1, h - 1)
        wide = np.empty((8, last - first + 1, self.width), np.float32)
        for narrow, row_maps in zip(self.maps[:, first : last + 1], wide, strict=True):
            cv2.resize(narrow, (self.width, len(narrow)), dst=row_maps, interpolation=cv2.INTER_LINEAR)
        return Band(torch.from_numpy(wide), first, h / self.height, h)


@dataclass(frozen=True)
class Band:
    """The part of a `Spread` that some rows of the picture need: `maps` (8, k, W), from small row `first` of `h` on."""

    maps: Tensor
    first: int
    scale: float
    h: int

    def rows(self, lightness: Tensor, top: int) -> Tensor:
        """L* (rows, W) from row `top` of the full picture on, all in this band -> ab (2, rows, W), Lab units."""
        slope, base, lowest, highest = self._enlarged(top, lightness.shape[0])
        return torch.addcmul(base, slope, lightness).clamp_(lowest, highest)

    def _enlarged(self, top: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four maps (2, count, W) for these rows: linear between the two nearest small rows."""
        y = _small_rows(torch.arange(top, top + count, dtype=torch.float32), self.scale, self.h)
        above = y.floor().long()
        below = (above + 1).clamp_max_(self.h - 1)
        part = (y - above)[:, None]
        both = torch.lerp(self.maps[:, above - self.first], self.maps[:, below - self.first], part)
        a, b = both[:4], both[4:]
        slope, base, lowest, highest = (torch.stack([one, other]) for one, other in zip(a, b, strict=True))
        return slope, base, lowest, highest


def _small_rows(rows: Tensor, scale: float, h: int) -> Tensor:
    """Where rows of the picture lie on the small grid of `h` rows."""
    return ((rows + 0.5) * scale - 0.5).clamp_(0, h - 1)


def spread(lightness: Floats, ab: Floats, height: int, width: int, radius: int = 2, smoothness: float = 4.0) -> Spread:
    """Prepares a small map for a picture of `height` x `width`.

    Args:
        lightness: L* (h, w) of the small copy.
        ab: (2, h, w), Lab units, on the same grid.
        radius: of the window in which colour is modelled as a line in L*, in small pixels.
        smoothness: L* differences well below its square root do not count as edges (the filter's epsilon).
    """
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(x: NDArray[np.floating]) -> Floats:
        return np.asarray(cv2.blur(x, size, borderType=cv2.BORDER_REPLICATE), np.float32)

    mean_l = mean(lightness)
    spread_l = np.maximum(mean(lightness * lightness) - mean_l * mean_l, 0) + np.float32(smoothness)
    window = np.ones(size, np.uint8)
    maps = []
    for channel in ab:
        mean_c = mean(channel)
        own_slope = (mean(lightness * channel) - mean_l * mean_c) / spread_l
        slope, base = mean(own_slope), mean(mean_c - own_slope * mean_l)
        residual = channel - (slope * lightness + base)
        maps += [slope, base + residual, cv2.erode(channel, window), cv2.dilate(channel, window)]
    return Spread(np.stack(maps).astype(np.float32, copy=False), height, width)
