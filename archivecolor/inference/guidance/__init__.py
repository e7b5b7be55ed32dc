"""What a person says about the colours: the strength, a reference palette, hints pinned to places.

All of it works on small maps, between the network's prediction and its upsampling. Luminance is only read. A person may
point at something smaller than the network sees; then hints spread on a finer map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from archivecolor.errors import PictureError
from archivecolor.imaging.arrays import BoolArray, FloatArray
from archivecolor.imaging.orientation import Window
from archivecolor.inference.guidance import hints, palette
from archivecolor.options import ColorOptions, Hint, Region

WARMEST = (4.0, 16.0)
"""What --warmth 1 adds to a and b, Lab units, where there is colour: the way from daylight to a lamp."""
_COLOURED = 10.0
"""Chroma from which on a pixel counts as coloured; a grey one is not tinted."""


def adjusted(options: ColorOptions, ab: FloatArray) -> FloatArray:
    """ab (2, h, w) with the strength and the warmth."""
    ab = ab * np.float32(options.strength)
    if options.warmth:
        share = np.minimum(np.hypot(*ab) / _COLOURED, 1) * np.float32(options.warmth)
        ab = np.asarray(ab + share * np.array(WARMEST, np.float32)[:, None, None], np.float32)
    return ab


def apply_guidance(
    options: ColorOptions,
    lightness: FloatArray,
    ab: FloatArray,
    height: int,
    width: int,
    finer: Callable[[FloatArray], tuple[FloatArray, FloatArray]] | None = None,
    photograph: BoolArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Applies strength and warmth, then the palette, then the hints to the network's colours. Hints come last and win.

    Args:
        lightness: L* (h, w) of the small copy, upright.
        ab: (2, h, w), Lab units, on the same grid.
        height, width: of the picture itself, upright; hints are given in its pixels.
        photograph: (h, w): where the photographs of a sheet are. What is beside them gets no colour but that of hints.
        finer: ab on this grid -> L* and ab on the grid on which hints spread.

    Returns:
        L* and ab; with hints, on the grid on which they spread.

    Raises:
        PictureError: a hint lies outside the picture.
    """
    ab = adjusted(options, ab)
    if photograph is None:
        photograph = np.ones(lightness.shape, bool)
    if options.palette:
        inside = palette.transfer(lightness[None, photograph], ab[:, None, photograph], options.palette)
        ab = ab.copy()
        ab[:, photograph] = inside[:, 0]
    ab = ab * photograph
    if pinned := options.photo_hints:
        if finer:
            lightness, ab = finer(ab)
        places = [hint_position(hint, lightness.shape, height, width) for hint in pinned]
        ab = hints.apply_hints(lightness, ab, places, [hints.ab_of(hint.colour) for hint in pinned])
    return lightness, ab


def neutral_windows(regions: Sequence[Region], height: int, width: int, orientation: int) -> tuple[Window, ...]:
    """The regions of an upright picture in the picture as it is stored. What lies beyond its edges is cut off.

    Args:
        height, width: of the picture, upright.
        orientation: EXIF orientation of the stored picture.

    Raises:
        PictureError: a region lies outside the picture.
    """
    windows = []
    for region in regions:
        if region.x >= width or region.y >= height:
            raise PictureError(_outside(f"--keep-neutral {region}", height, width))
        bottom, right = min(region.y + region.height, height), min(region.x + region.width, width)
        upright = Window(region.y / height, bottom / height, region.x / width, right / width)
        windows.append(upright.to_stored(orientation))
    return tuple(windows)


def resolves_hints(pinned: Sequence[Hint], lightness: FloatArray, finest: FloatArray, height: int, width: int) -> bool:
    """Whether L* (h, w) has the same tone as the finest map at the place of each hint, and not the tone of the
    surroundings.

    Args:
        height, width: of the picture itself, upright.

    Raises:
        PictureError: a hint lies outside the picture.
    """
    smooth = cv2.blur(finest, (3, 3))  # grain is not a tone
    differences = [
        lightness[hint_position(hint, lightness.shape, height, width)]
        - smooth[hint_position(hint, smooth.shape, height, width)]
        for hint in pinned
    ]
    return lightness is finest or max(map(abs, differences), default=0) <= hints.STEP_L


def hint_position(hint: Hint, small: tuple[int, ...], height: int, width: int) -> tuple[int, int]:
    """(row, column) of a hint on the small map.

    Raises:
        PictureError: it lies outside the picture.
    """
    if hint.x >= width or hint.y >= height:
        raise PictureError(_outside(f"--hint {hint}", height, width))
    return int((hint.y + 0.5) * small[0] / height), int((hint.x + 0.5) * small[1] / width)


def _outside(flag: str, height: int, width: int) -> str:
    return f"{flag}: lies outside the picture, which has {width} x {height} pixels as it is seen"
