"""Luma codes -> L*, and ab -> chroma planes beside an untouched luma plane.

A film's luma Y' is a weighted sum of gamma-encoded R', G', B'; grey has R' = G' = B' = Y'. The colour of a pixel is
found as for photographs, from L* and ab; what of it goes into the file are only its differences B' - Y' and R' - Y'
(ITU-R BT.601 and BT.709), made smaller at constant Y' where the player's R'G'B' would leave its range. Y' is never
computed, only read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from archivecolor.imaging import lab, merge
from archivecolor.imaging.arrays import FloatArray, Samples
from archivecolor.imaging.guided_filter import UpsampledChroma

_BT601, _BT709 = (0.299, 0.114), (0.2126, 0.0722)
_WEIGHTS = {1: _BT709, 4: (0.30, 0.11), 5: _BT601, 6: _BT601, 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
"""Matrix coefficients code (ITU-T H.273) -> Kr, Kb."""
LAYOUTS = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}
"""Luma samples per chroma sample, across and down."""


@dataclass(frozen=True)
class Tags:
    """How code values are to be understood; the numbers are those of ITU-T H.273."""

    matrix: int
    full_range: bool
    primaries: int
    transfer: int

    @property
    def weights(self) -> tuple[float, float]:
        """Kr and Kb of luma."""
        return _WEIGHTS.get(self.matrix, _WEIGHTS[1])

    def luma_range(self, depth: int) -> tuple[int, int]:
        """The codes of black and white."""
        return (0, (1 << depth) - 1) if self.full_range else (16 << (depth - 8), 235 << (depth - 8))

    def chroma_range(self, depth: int) -> tuple[int, int]:
        """The code of no colour, and how many codes lie between -0.5 and 0.5."""
        return 1 << (depth - 1), (1 << depth) - 1 if self.full_range else 224 << (depth - 8)


@lru_cache(maxsize=8)
def lightness_table(tags: Tags, depth: int) -> FloatArray:
    """L* of every luma code of a grey pixel, through the curve of sRGB, which video curves are shown by."""
    black, white = tags.luma_range(depth)
    codes = torch.arange(1 << depth, dtype=torch.float64)
    grey = ((codes - black) / (white - black)).clamp(0, 1)
    return lab.lightness_from_luminance(lab.linear_from_srgb(grey)).float().numpy()


def luma_at_chroma(luma: Samples, layout: str, interlaced: bool = False) -> Samples:
    """The mean luma around each chroma sample, as codes: (ceil(H / down), ceil(W / across)).

    Chroma lies on every second column ("left") and between two rows, as MPEG-2 and all its heirs have it; in an
    interlaced film those are two rows of the same field, of which the nearer one counts three times: a quarter of the
    way down in the first field and three quarters in the second, so that seen over both fields chroma lies evenly.
    """
    across, down = LAYOUTS[layout]
    if (across, down) == (1, 1):
        return luma
    wide = luma.astype(np.uint32)
    if down == 2:
        wide = _pairs_of_fields(wide) if interlaced else _pairs(wide)
    padded = np.pad(wide, ((0, 0), (1, 1 + luma.shape[1] % 2)), mode="edge")
    mixed = padded[:, 0:-2:2] + 2 * padded[:, 1:-1:2] + padded[:, 2::2]
    total = 4 * (4 if interlaced and down == 2 else down)
    return ((mixed + total // 2) // total).astype(luma.dtype)


def _pairs(rows: Samples, upper: int = 1, lower: int = 1) -> Samples:
    """Sums of neighbouring rows, each counted so many times; a last single row is its own neighbour."""
    if rows.shape[0] % 2:
        rows = np.concatenate([rows, rows[-1:]])
    return upper * rows[0::2] + lower * rows[1::2]


def _pairs_of_fields(rows: Samples) -> Samples:
    upper, lower = _pairs(rows[0::2], 3, 1), _pairs(rows[1::2], 1, 3)
    out = np.empty((upper.shape[0] + lower.shape[0], rows.shape[1]), rows.dtype)
    out[0::2], out[1::2] = upper, lower
    return out


def chroma_planes(
    luma: Samples, spread: UpsampledChroma, tags: Tags, depth: int, layout: str, interlaced: bool = False
) -> tuple[Samples, Samples]:
    """Luma codes (H, W) and a spread made for the chroma planes' size -> the planes Cb and Cr, same dtype."""
    at_chroma = luma_at_chroma(luma, layout, interlaced)
    lightness = torch.from_numpy(lightness_table(tags, depth)[at_chroma])
    black, white = tags.luma_range(depth)
    grey = torch.from_numpy(((at_chroma.astype(np.float32) - black) / (white - black)).clip(0, 1))
    cb, cr = colour_differences(lightness, spread.rows(lightness, 0), grey, tags.weights)
    centre, codes = tags.chroma_range(depth)
    top = (1 << depth) - 1
    planes = (torch.stack([cb, cr]) * codes + centre).round_().clamp_(0, top).numpy().astype(luma.dtype)
    return planes[0], planes[1]


def colour_differences(
    lightness: Tensor, ab: Tensor, luma: Tensor, weights: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """L* (h, w), ab (2, h, w) and luma Y' (h, w) in [0, 1] -> Cb and Cr (h, w) in [-0.5, 0.5].

    Y' + the differences stay within [0, 1] in all of R', G', B'.
    """
    kr, kb = weights
    colour = lab.srgb_from_linear(merge.merge_linear(lightness, ab))
    own = kr * colour[0] + (1 - kr - kb) * colour[1] + kb * colour[2]
    away = colour - own
    room = torch.where(away > 0, 1 - luma, luma)
    reach = (room / away.abs().clamp_min(1e-6)).clamp_max(1).amin(dim=0)
    return away[2] * reach * (0.5 / (1 - kb)), away[0] * reach * (0.5 / (1 - kr))
