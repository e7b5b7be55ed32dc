"""Small copies of picture files, read without holding all of a huge scan where the format allows it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np

from archivecolor import files
from archivecolor.imaging import luminance
from archivecolor.imaging.arrays import ByteArray
from archivecolor.imaging.orientation import to_upright
from archivecolor.imaging.resize import resize, resize_to_long_side
from archivecolor.options import Strips
from archivecolor.photo.jpeg_data import ends_in_fill
from archivecolor.photo.kinds import HEAD_BYTES, kind_of
from archivecolor.photo.page import Page
from archivecolor.photo.probe import measure
from archivecolor.photo.read import read
from archivecolor.photo.read_jpeg import read_reduced

HELD_MEGAPIXELS = 50.0
"""A TIFF above this many megapixels is reduced while it is read."""
WHOLE_MEGAPIXELS = 20.0
"""`read_page_of_side` reads pictures up to this many megapixels whole."""
_one_huge_picture = threading.Lock()


def thumbnail(path: Path, long_side: int, max_megapixels: float = 500) -> ByteArray:
    """A picture's first page, upright, sRGB, uint8 (h, w, 3), its long side `long_side` pixels or its own if smaller.

    A JPEG is decoded at an eighth, a quarter or half of its size where that is still large enough, which takes a
    fraction of the time and the memory.

    Raises:
        UnreadableError, UnsupportedError, TooLargeError: as for `read`.
    """
    page = _reduced_jpeg(path, max_megapixels, long_side=long_side)
    if page is None:
        page = read(path, max_megapixels, Strips(HELD_MEGAPIXELS, long_side)).pages[0]
    small = luminance.to_srgb8(resize_to_long_side(page.samples, long_side), page.icc)
    return np.ascontiguousarray(to_upright(small, page.orientation, (0, 1)))


def read_page_of_side(path: Path, short_side: int, max_megapixels: float = 500) -> Page:
    """The first page of a picture file. A huge one is reduced: its short side is `short_side`, or its own if smaller.

    Up to `WHOLE_MEGAPIXELS` the page is what `read` returns. Of all threads, one at a time reads a huge picture,
    because formats other than JPEG and TIFF are decoded whole.

    Raises:
        UnreadableError, UnsupportedError, TooLargeError: as for `read`.
    """
    if not _is_huge(path):
        return read(path, max_megapixels).pages[0]
    with _one_huge_picture:
        page = _reduced_jpeg(path, max_megapixels, short_side=short_side)
        if page is None or ends_in_fill(page.samples):  # `read` finds out whether a part of the picture is missing
            page = read(path, max_megapixels, Strips(WHOLE_MEGAPIXELS, short_side)).pages[0]
        if page.scan and min(page.samples.shape[:2]) < short_side:  # such a copy has at most half of the picture's side
            page = read(path, max_megapixels).pages[0]
    height, width = page.samples.shape[:2]
    scale = min(1.0, short_side / min(height, width))
    return replace(page, samples=resize(page.samples, round(height * scale), round(width * scale)))


def _is_huge(path: Path) -> bool:
    try:
        files.check_regular(path)
        return measure(path) > WHOLE_MEGAPIXELS
    except OSError:  # `read` raises the right error
        return False


def _reduced_jpeg(path: Path, max_megapixels: float, long_side: int = 0, short_side: int = 0) -> Page | None:
    """The page of an ordinary JPEG at reduced size; None for any other file, also for a damaged one."""
    try:
        with path.open("rb") as file:
            if kind_of(file.read(HEAD_BYTES)) != "jpeg":
                return None
        return read_reduced(path.read_bytes(), max_megapixels, long_side, short_side)
    except Exception:  # `read` raises the right error
        return None
