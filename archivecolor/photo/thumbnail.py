"""A small upright sRGB copy of a picture file, for reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from archivecolor.imaging import luminance
from archivecolor.imaging.arrays import ByteArray
from archivecolor.imaging.orientation import to_upright
from archivecolor.imaging.resize import resize_to_long_side
from archivecolor.options import Strips
from archivecolor.photo.kinds import HEAD_BYTES, kind_of
from archivecolor.photo.page import Page
from archivecolor.photo.read import read
from archivecolor.photo.read_jpeg import read_reduced

HELD_MEGAPIXELS = 50.0
"""A TIFF above this many megapixels is reduced while it is read."""


def thumbnail(path: Path, long_side: int, max_megapixels: float = 500) -> ByteArray:
    """A picture's first page, upright, sRGB, uint8 (h, w, 3), its long side `long_side` pixels or its own if smaller.

    A JPEG is decoded at an eighth, a quarter or half of its size where that is still large enough, which takes a
    fraction of the time and the memory.

    Raises:
        UnreadableError, UnsupportedError, TooLargeError: as for `read`.
    """
    page = _reduced_jpeg(path, long_side, max_megapixels)
    if page is None:
        page = read(path, max_megapixels, Strips(HELD_MEGAPIXELS, long_side)).pages[0]
    small = luminance.to_srgb8(resize_to_long_side(page.samples, long_side), page.icc)
    return np.ascontiguousarray(to_upright(small, page.orientation, (0, 1)))


def _reduced_jpeg(path: Path, long_side: int, max_megapixels: float) -> Page | None:
    """The page of an ordinary JPEG at reduced size; None for any other file, also for a damaged one."""
    try:
        with path.open("rb") as file:
            if kind_of(file.read(HEAD_BYTES)) != "jpeg":
                return None
        return read_reduced(path.read_bytes(), long_side, max_megapixels)
    except Exception:  # `read` raises the right error
        return None
