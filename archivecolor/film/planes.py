"""Luma codes -> L*, and ab -> chroma planes beside an untouched luma plane.

A film's luma Y' is a weighted sum of gamma-encoded R', G', B'; grey has R' = G' = B' = Y'. The colour of a pixel comes
from L* and ab, as for photographs. The file gets only its differences B' - Y' and R' - Y' (ITU-R BT.601 and BT.709).
They are reduced at constant Y' where the player's R'G'B' would leave its range. Y' is never computed, only read.
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
"""Matrix coefficients (code of ITU-T H.273) -> Kr, Kb."""
LAYOUTS = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}
"""Luma samples per chroma sample, across and down."""


@dataclass(frozen=True)
class Tags:
    """The meaning of code values; the numbers are those of ITU-T H.273."""

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
        """The code of neutral chroma, and the number of codes from -0.5 to 0.5."""
        return 1 << (depth - 1), (1 << depth) - 1 if self.full_range else 224 << (depth - 8)


@lru_cache(maxsize=8)
def lightness_table(tags: Tags, depth: int) -> FloatArray:
    """L* of every luma code of a grey pixel, (2**depth,), by the curve of sRGB, with which players show video."""
    black, white = tags.luma_range(depth)
    codes = torch.arange(1 << depth, dtype=torch.float64)
    grey = ((codes - black) / (white - black)).clamp(0, 1)
    return lab.lightness_from_luminance(lab.linear_from_srgb(grey)).float().numpy()


def luma_at_chroma(luma: Samples, layout: str, interlaced: bool = False) -> Samples:
    """The mean luma around each chroma sample: codes (H, W) -> codes (ceil(H / down), ceil(W / across)).

    A chroma sample lies on every second column ("left") and between two rows, as in MPEG-2 and its successors. In an
    interlaced film these are two rows of the same field, and the nearer one has three times the weight: chroma lies a
    quarter of the way down in the first field and three quarters in the second, and thus evenly over both fields.
    """
    across, down = LAYOUTS[layout]
    if (across, down) == (1, 1):
        return luma
    wide = luma.astype(np.uint32)
    if down == 2:
        wide = _field_row_pairs(wide) if interlaced else _row_pairs(wide)
    padded = np.pad(wide, ((0, 0), (1, 1 + luma.shape[1] % 2)), mode="edge")
    mixed = padded[:, 0:-2:2] + 2 * padded[:, 1:-1:2] + padded[:, 2::2]
    total = 4 * (4 if interlaced and down == 2 else down)
    return ((mixed + total // 2) // total).astype(luma.dtype)


def _row_pairs(rows: Samples, upper: int = 1, lower: int = 1) -> Samples:
    """Weighted sums of rows 0 and 1, 2 and 3, and so on; a last single row is paired with itself."""
    if rows.shape[0] % 2:
        rows = np.concatenate([rows, rows[-1:]])
    return upper * rows[0::2] + lower * rows[1::2]


def _field_row_pairs(rows: Samples) -> Samples:
    upper, lower = _row_pairs(rows[0::2], 3, 1), _row_pairs(rows[1::2], 1, 3)
    out = np.empty((upper.shape[0] + lower.shape[0], rows.shape[1]), rows.dtype)
    out[0::2], out[1::2] = upper, lower
    return out


def chroma_planes(
    luma: Samples, chroma: UpsampledChroma, tags: Tags, depth: int, layout: str, interlaced: bool = False
) -> tuple[Samples, Samples]:
    """Luma codes (H, W), and chroma upsampled to the size of the chroma planes -> the planes Cb and Cr, same dtype."""
    at_chroma = luma_at_chroma(luma, layout, interlaced)
    lightness = torch.from_numpy(lightness_table(tags, depth)[at_chroma])
    black, white = tags.luma_range(depth)
    grey = torch.from_numpy(((at_chroma.astype(np.float32) - black) / (white - black)).clip(0, 1))
    cb, cr = colour_differences(lightness, chroma.rows(lightness, 0), grey, tags.weights)
    neutral, codes = tags.chroma_range(depth)
    top = (1 << depth) - 1
    planes = (torch.stack([cb, cr]) * codes + neutral).round_().clamp_(0, top).numpy().astype(luma.dtype)
    return planes[0], planes[1]


def colour_differences(
    lightness: Tensor, ab: Tensor, luma: Tensor, weights: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """L* (h, w), ab (2, h, w) and luma Y' (h, w) in [0, 1] -> Cb and Cr (h, w) in [-0.5, 0.5].

    R', G' and B' of the result stay within [0, 1]. The factors 0.5 / (1 - Kb) and 0.5 / (1 - Kr) are those of BT.601
    and BT.709.

    Args:
        weights: Kr and Kb.
    """
    kr, kb = weights
    colour = lab.srgb_from_linear(merge.merge_linear(lightness, ab))
    own = kr * colour[0] + (1 - kr - kb) * colour[1] + kb * colour[2]
    difference = colour - own
    headroom = torch.where(difference > 0, 1 - luma, luma)
    scale = (headroom / difference.abs().clamp_min(1e-6)).clamp_max(1).amin(dim=0)
    return difference[2] * scale * (0.5 / (1 - kb)), difference[0] * scale * (0.5 / (1 - kr))
