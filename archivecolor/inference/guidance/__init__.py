"""A person's word on the colours: the strength, a palette to move towards, hints pinned to places.

All of it works on small maps, between the network's answer and its spreading; luminance is only read. What a
person points at may be smaller than what the network sees: hints spread on a finer map then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from archivecolor.errors import PictureError
from archivecolor.imaging.arrays import FloatArray
from archivecolor.inference.guidance import hints, palette
from archivecolor.options import ColorOptions, Hint


def apply_guidance(
    options: ColorOptions, lightness: FloatArray, ab: FloatArray, height: int, width: int,
    finer: Callable[[FloatArray], tuple[FloatArray, FloatArray]] | None = None,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """The network's colours with the strength, then the palette, then the hints: what is pinned has the last word.

    Args:
        lightness: L* (h, w) of the small copy, upright.
        ab: (2, h, w), Lab units, on the same grid.
        height, width: of the picture itself, upright, in whose pixels hints are counted.
        finer: colours on that grid -> L* and colours on the grid on which hints are to spread.

    Returns:
        L* and ab, on that grid where there are hints.

    Raises:
        PictureError: a hint lies outside the picture.
    """
    ab = ab * np.float32(options.strength)
    if options.palette:
        ab = palette.moved(lightness, ab, options.palette)
    if options.hints:
        if finer:
            lightness, ab = finer(ab)
        places = [place(hint, lightness.shape, height, width) for hint in options.hints]
        ab = hints.pinned(lightness, ab, places, [hints.ab_of(hint.colour) for hint in options.hints])
    return lightness, ab


def resolves_hints(pinned: Sequence[Hint], lightness: FloatArray, finest: FloatArray, height: int, width: int) -> bool:
    """Whether L* (h, w) has, at each place that is pinned, the tone that the finest map has there, and not that of what
    lies around it.

    Args:
        height, width: of the picture itself, upright.

    Raises:
        PictureError: a hint lies outside the picture.
    """
    plain = cv2.blur(finest, (3, 3))  # grain is no tone of its own
    missed = [
        lightness[place(hint, lightness.shape, height, width)] - plain[place(hint, plain.shape, height, width)]
        for hint in pinned
    ]
    return lightness is finest or max(map(abs, missed), default=0) <= hints.STEP_L


def place(hint: Hint, small: tuple[int, ...], height: int, width: int) -> tuple[int, int]:
    """(row, column) of a hint on the small map.

    Raises:
        PictureError: it lies outside the picture.
    """
    if hint.x >= width or hint.y >= height:
        raise PictureError(
            f"--hint {hint}: lies outside the picture, which has {width} x {height} pixels as it is seen"
        )
    return int((hint.y + 0.5) * small[0] / height), int((hint.x + 0.5) * small[1] / width)
