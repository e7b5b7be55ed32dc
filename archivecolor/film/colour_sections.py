"""Which parts of a film are in colour: a documentary may cut from black and white to colour and back.

Frames are judged in blocks of a few, by their mean: chroma noise of tape differs from frame to frame, the colours of
things do not. Where a block of one kind follows one of the other, the new part begins with the frame at which the
chroma of single frames changes most.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np

from archivecolor.imaging import luminance
from archivecolor.imaging.arrays import FloatArray, Samples

if TYPE_CHECKING:
    from av.video import VideoFrame

BLOCK = 8
"""Frames that are judged together."""
_SIDE = 64
"""Pixels of the longer side of the copies that FFmpeg's scaler makes. Its filter mixes neighbours; what is judged are
copies of half and a quarter of that size, in which noise is white."""
_NEAR_CUT = 3
"""A part begins at a cut that is no more than this many frames away."""


class ColourDetector:
    """Takes a film's frames one by one, and then says which are in colour."""

    def __init__(self) -> None:
        self._saturation: list[float] = []
        """Of each frame: spread of its colour differences."""
        self._in_colour: list[bool] = []
        """Of each block."""
        self._total: FloatArray | None = None
        self._summed = 0

    def add(self, picture: VideoFrame | None) -> None:
        """Examines the next frame; None for one without a picture."""
        if picture is not None:
            scale = _SIDE / max(picture.width, picture.height)
            width, height = (max(16, 4 * round(side * scale / 4)) for side in (picture.width, picture.height))
            rgb = picture.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray().astype(np.float32)
            self._total = rgb if self._total is None else self._total + rgb
            self._summed += 1
            self._saturation.append(float((rgb - rgb[..., 1:2])[..., ::2].std(axis=(0, 1)).mean()))
        else:
            self._saturation.append(self._saturation[-1] if self._saturation else 0.0)
        if len(self._saturation) % BLOCK == 0:
            self._judge_block()

    def _judge_block(self) -> None:
        before = self._in_colour[-1] if self._in_colour else False
        self._in_colour.append(before if self._total is None else has_colour(self._total / np.float32(self._summed)))
        self._total, self._summed = None, 0

    def sections(self, cuts: Sequence[int]) -> list[tuple[int, int]]:
        """First frame and end (one past the last) of every part in colour.

        Args:
            cuts: first frames of shots.
        """
        count = len(self._saturation)
        if count % BLOCK:
            self._judge_block()
        firsts = [0]
        for number, (before, after) in enumerate(pairwise(self._in_colour)):
            if before != after:
                firsts.append(self._change(number * BLOCK, min(count, (number + 2) * BLOCK), cuts))
        states = [in_colour for in_colour, _ in groupby(self._in_colour)]
        parts = zip(states, firsts, [*firsts[1:], count], strict=True) if count else ()
        return [(first, end) for in_colour, first, end in parts if in_colour and end > first]

    def _change(self, start: int, end: int, cuts: Sequence[int]) -> int:
        """The frame in (start, end) with which the other kind begins."""
        values = np.array(self._saturation[start:end])
        n = np.arange(1, len(values))
        before = np.cumsum(values)[:-1]
        step = (values.sum() - before) / (len(values) - n) - before / n
        change = start + 1 + int(np.argmax(np.abs(step) * np.sqrt(n * (len(values) - n))))
        near = [cut for cut in cuts if abs(cut - change) <= _NEAR_CUT]
        return min(near, key=lambda cut: abs(cut - change)) if near else change


def has_colour(rgb: FloatArray) -> bool:
    """Whether a small sRGB picture (h, w, 3) of 0 to 255 holds the colours of things, beyond a tint and noise.

    White noise has a quarter of its variance in a copy of half the size, colours of things have nearly all of theirs.

    Args:
        rgb: its sides are multiples of 4.
    """
    half = _halved(rgb)
    chroma, chroma_of_half = (luminance.residual_chroma(_codes16(each)) for each in (half, _halved(half)))
    return (4 * chroma_of_half**2 - chroma**2) / 3 >= luminance.MONOCHROME_CHROMA**2


def _halved(rgb: FloatArray) -> FloatArray:
    height, width = rgb.shape[:2]
    mean = rgb.reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3))
    return np.asarray(mean, np.float32)


def _codes16(rgb: FloatArray) -> Samples:
    return np.rint(rgb * 257).clip(0, 65535).astype(np.uint16)
