"""Upsamples a small map of colour to full size so that colours stop at the edges of the luminance.

The guided filter (He, Sun, Tang 2013) in its fast form (He, Sun 2015). On the small grid, colour around every pixel is
modelled as a straight line in lightness: ab = slope * L + base. Slope and base are smooth; they are upsampled, and the
line is evaluated on the full-size L. Where the scene has an edge, L has it too, and the colour follows it to the pixel.
The residual on the small grid (colour that changes where lightness does not) is upsampled linearly and added, so that
nothing of the map is lost. Grain and highlights outside the range of the fit would invent colour, so the result is
clamped between the smallest and the largest colour of its neighbourhood.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from archivecolor.errors import PictureError
from archivecolor.imaging.arrays import AnyFloatArray, FloatArray
from archivecolor.imaging.orientation import Window

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class UpsampledChroma:
    """A colour map that is evaluated on rows of the full-size L*.

    `maps` is (8, h, w), as small as the network's prediction: for a and for b the slope, the base, the lowest and the
    highest colour.
    """

    maps: Tensor
    height: int
    width: int
    neutral: tuple[Window, ...] = ()
    """Where there is no colour: ab is 0 in each of their pixels."""

    @property
    def device(self) -> torch.device:
        return self.maps.device

    def rows(self, lightness: Tensor, top: int) -> Tensor:
        """L* (rows, W) of the full picture from row `top` on -> ab (2, rows, W), Lab units."""
        parts = [
            self.band(at, count).rows(lightness[at - top : at - top + count], at)
            for at, count in self.segments(top, lightness.shape[0])
        ]
        return torch.cat(parts, dim=1)

    def segments(self, top: int, count: int) -> Iterator[tuple[int, int]]:
        """(first row, count) of the parts of these rows in which the same columns have no colour."""
        edges = {edge for window in self.neutral for edge in window.pixels(self.height, self.width)[:2]}
        for begin, end in pairwise(sorted({top, top + count, *(edge for edge in edges if top < edge < top + count)})):
            yield begin, end - begin

    def band(self, top: int, count: int) -> RowBand:
        """The maps for `count` rows from `top` on, all of one segment, upsampled horizontally once for all of them."""
        h = self.maps.shape[1]
        ends = _small_rows(top, count, self.height, h)[[0, -1]].int().tolist()
        first, end = ends[0], min(ends[1] + 2, h)
        small = self.maps[:, first:end].reshape(1, -1, self.maps.shape[2])
        wide = functional.interpolate(small, size=self.width, mode="linear").view(8, end - first, self.width)
        for begin, stop, left, right in (window.pixels(self.height, self.width) for window in self.neutral):
            if begin <= top < stop:
                wide[:, :, left:right] = 0  # a line of slope 0 and base 0
        return RowBand(wide, first, self.height, h)


@dataclass(frozen=True)
class RowBand:
    """The part of an `UpsampledChroma` that some rows of the picture need."""

    wide: Tensor
    """(8, k, W): small rows from `first` on."""
    first: int
    height: int
    h: int
    """Rows of the picture, and of the small map."""

    @cached_property
    def steps(self) -> Tensor:
        """(8, k - 1, W): differences between successive rows of `wide`."""
        return self.wide[:, 1:] - self.wide[:, :-1]

    def row_positions(self, top: int, count: int) -> tuple[Tensor, Tensor]:
        """For each of these rows, the index of the row of `wide` above it, int32, and the fraction of the way to the
        next one, [0, 1)."""
        y = _small_rows(top, count, self.height, self.h) - self.first
        above = y.int()
        return above, y - above

    def rows(self, lightness: Tensor, top: int) -> Tensor:
        """L* (rows, W) from row `top` of the full picture on, all in this band -> ab (2, rows, W), Lab units."""
        slope, base, lowest, highest = self._upsampled(top, lightness.shape[0]).split(2)
        return torch.addcmul(base, slope, lightness, out=base).clamp_(lowest, highest)

    def _upsampled(self, top: int, count: int) -> Tensor:
        """The maps (8, count, W) for these rows, interpolated linearly between the two nearest small rows."""
        above, part = self.row_positions(top, count)
        full = torch.empty(8, count, self.wide.shape[2], device=self.wide.device)
        part = part.to(self.wide.device)[None, :, None]
        at = 0
        for i, n in enumerate(torch.bincount(above).tolist()):
            of, to = slice(i, i + 1), slice(at, at + n)
            if n and i < self.steps.shape[1]:
                torch.addcmul(self.wide[:, of], self.steps[:, of], part[:, to], out=full[:, to])
            elif n:  # the last row of all has none below it
                full[:, to] = self.wide[:, of]
            at += n
        return full


def _small_rows(top: int, count: int, height: int, h: int) -> Tensor:
    """Positions of the rows from `top` on of a picture of `height` rows, in rows of its small map of `h` rows."""
    return ((torch.arange(top, top + count, dtype=torch.float32) + 0.5) * (h / height) - 0.5).clamp_(0, h - 1)


def upsample_chroma(
    lightness: FloatArray,
    ab: FloatArray,
    height: int,
    width: int,
    radius: int = 2,
    smoothness: float = 4.0,
    device: torch.device = _CPU,
) -> UpsampledChroma:
    """Prepares a small map to be upsampled to a picture of `height` x `width`.

    Args:
        lightness: L* (h, w) of the small copy.
        ab: (2, h, w), Lab units, on the same grid.
        radius: of the window in which colour is modelled as a line in L*, in small pixels.
        smoothness: the filter's epsilon. L* differences well below its square root do not count as edges.

    Raises:
        PictureError: the map holds NaN or infinity.
    """
    if not np.isfinite(ab).all():
        raise PictureError("the network answered with no numbers; use --precision fp32, or other weights")
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(x: AnyFloatArray) -> FloatArray:
        return np.asarray(cv2.blur(x, size, borderType=cv2.BORDER_REPLICATE), np.float32)

    mean_l = mean(lightness)
    spread_l = np.maximum(mean(lightness * lightness) - mean_l * mean_l, 0) + np.float32(smoothness)
    window = np.ones(size, np.uint8)
    lines = []
    for channel in ab:
        mean_c = mean(channel)
        own_slope = (mean(lightness * channel) - mean_l * mean_c) / spread_l
        slope, base = mean(own_slope), mean(mean_c - own_slope * mean_l)
        residual = channel - (slope * lightness + base)
        lines.append((slope, base + residual, cv2.erode(channel, window), cv2.dilate(channel, window)))
    maps = np.stack([of_channel for pair in zip(*lines, strict=True) for of_channel in pair])
    return UpsampledChroma(torch.from_numpy(maps.astype(np.float32, copy=False)).to(device), height, width)
