"""A small upright sRGB copy of a picture file, for reports and sheets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from archivecolor import orient, tone
from archivecolor.photo.page import Page
from archivecolor.photo.read import kind_of, read
from archivecolor.photo.read_pillow import opened, page_with_envelope


def thumbnail(path: Path, short_side: int, max_megapixels: float = 500) -> NDArray[np.uint8]:
    """A picture's first page, upright, sRGB, uint8 (h, w, 3), its short side `short_side` pixels or its own if smaller.

    A JPEG is decoded at an eighth, a quarter or half of its size where that is still large enough, which takes a
    fraction of the time and the memory.

    Raises:
        UnreadableError, UnsupportedError, TooLargeError: as for `read`.
    """
    page = _reduced_jpeg(path, short_side, max_megapixels) or read(path, max_megapixels).pages[0]
    height, width = page.samples.shape[:2]
    scale = min(1.0, short_side / min(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(page.samples, size, interpolation=cv2.INTER_AREA) if scale < 1 else page.samples
    return np.ascontiguousarray(orient.upright(tone.srgb_bytes(small, page.icc), page.orientation, (0, 1)))


def _reduced_jpeg(path: Path, short_side: int, max_megapixels: float) -> Page | None:
    """The page of an ordinary JPEG with fewer samples than it has; None for whatever else, damaged ones among it."""
    try:
        data = path.read_bytes()
        if kind_of(data[:4096]) != "jpeg":
            return None
        image = opened(data, max_megapixels)
        scale = short_side / min(image.size)
        image.draft(None, (max(1, int(image.width * scale)), max(1, int(image.height * scale))))
        return page_with_envelope(image)
    except Exception:  # `read` finds the words for it
        return None
