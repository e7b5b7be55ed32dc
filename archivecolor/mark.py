"""The visible mark: a small line of text burnt into a corner. Nothing outside its strip changes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from archivecolor import orient
from archivecolor.errors import UsageError

Samples = NDArray[Any]
Box = tuple[slice, slice]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

AUTO = "Colour added by AI"
SHARE = 0.022
"""Height of the letters in heights of the picture: legible in a print or on a screen, and out of the way."""
SMALLEST_PX = 9
_STRIP, _INK = 0.15, 0.92
"""Greys of the strip and of the letters, as shares of white."""
_STRIP_COVERS = 0.65


def words(mark: str) -> str:
    """The text that is burnt in for what was asked."""
    return AUTO if mark == "auto" else mark


def check(mark: str, font: Path | None) -> None:
    """Raises UsageError when the font cannot be read or lacks a letter of the text."""
    try:
        chosen = _font(font, 24)
    except OSError as error:
        raise UsageError(f"--mark-font {font}: cannot be read as a font ({error})") from error
    lacking = bytes(chosen.getmask("\uffff"))
    strange = sorted({letter for letter in words(mark) if letter != " " and bytes(chosen.getmask(letter)) == lacking})
    if strange:
        raise UsageError(
            f"--mark: the font has no {' '.join(strange)}; use other letters, or name a font that has them "
            "with --mark-font"
        )


def burn(rgb: Samples, mark: str, font: Path | None = None, orientation: int = 1) -> tuple[Samples, bool]:
    """Puts the mark into the lower right corner of a picture as it is to be seen.

    Args:
        rgb: (H, W, 3) in uint8 or uint16, as stored.
        orientation: its EXIF orientation.

    Returns:
        The marked samples, and whether there was room for the mark.
    """
    seen = orient.upright(rgb, orientation, axes=(0, 1))
    cover = _cover(seen.shape[0], seen.shape[1], words(mark), font)
    if cover is None:
        return rgb, False
    ink, box = cover
    full = np.iinfo(rgb.dtype).max
    strip = (1 - _STRIP_COVERS) * seen[box] + _STRIP_COVERS * _STRIP * full
    marked = rgb.copy()
    letters = ink[..., None]
    orient.upright(marked, orientation, axes=(0, 1))[box] = np.rint(strip * (1 - letters) + letters * _INK * full)
    return marked, True


def unmarked(height: int, width: int, mark: str, font: Path | None = None, orientation: int = 1) -> NDArray[np.bool_]:
    """(H, W), as stored: True where `burn` leaves a picture of this size as it was."""
    free = np.ones((height, width), bool)
    seen = orient.upright(free, orientation)
    cover = _cover(seen.shape[0], seen.shape[1], words(mark), font)
    if cover is not None:
        seen[cover[1]] = False
    return free


def _cover(height: int, width: int, text: str, font: Path | None) -> tuple[NDArray[np.float32], Box] | None:
    """How much the letters cover of each pixel of the strip, 0 to 1, and where the strip lies; None without room.

    The letters shrink until they fit into nine tenths of the width; under `SMALLEST_PX` nobody could read them.
    """
    size = max(SMALLEST_PX, round(SHARE * height))
    while size >= SMALLEST_PX:
        letters = _letters(text, font, size)
        h, w = letters.shape
        if h <= height / 2 and w <= 0.9 * width:
            return letters, (slice(height - h, height), slice(width - w, width))
        size = size * 9 // 10
    return None


@lru_cache(maxsize=64)
def _letters(text: str, font: Path | None, size: int) -> NDArray[np.float32]:
    """(h, w), 0 to 1: the text with a margin around it."""
    chosen, margin = _font(font, size), size // 2
    left, top, right, bottom = chosen.getbbox(text)
    high = max(round(bottom - top), size)
    image = Image.new("L", (round(right - left) + 2 * margin, high + margin))
    ImageDraw.Draw(image).text((margin - left, margin // 2 - top), text, fill=255, font=chosen)
    return np.asarray(image, np.float32) / np.float32(255)


def _font(font: Path | None, size: int) -> Font:
    return ImageFont.truetype(font, size) if font else ImageFont.load_default(size)
