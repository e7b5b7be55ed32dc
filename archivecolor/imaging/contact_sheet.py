"""Several pictures on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt

import cv2
import numpy as np

from archivecolor.imaging.arrays import ByteArray

_SQUARE_SHEET_GAP = 0.004
"""Between pictures, as a share of the sheet's long side."""


def contact_sheet(
    rows: Sequence[Sequence[ByteArray]],
    gap: int = 0,
    margin: int = 0,
    background: tuple[int, int, int] = (0, 0, 0),
    cell: tuple[int, int] | None = None,
) -> ByteArray:
    """Rows of sRGB pictures (h, w, 3) -> one picture (H, W, 3). Each picture lies in the top left corner of its cell.

    Args:
        gap: pixels between cells.
        margin: pixels around all of them.
        cell: height and width of a cell; None: those of the largest picture.
    """
    height, width = cell or (
        max(picture.shape[0] for row in rows for picture in row),
        max(picture.shape[1] for row in rows for picture in row),
    )
    down, across = len(rows), max(map(len, rows))
    size = (down * (height + gap) - gap + 2 * margin, across * (width + gap) - gap + 2 * margin, 3)
    sheet = np.full(size, background, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = margin + i * (height + gap), margin + j * (width + gap)
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return sheet


def square_contact_sheet(pictures: Sequence[ByteArray], long_side: int) -> ByteArray:
    """Pictures (h, w, 3) of one size, reduced, in about as many rows as columns on black.

    Args:
        long_side: of the sheet, at most, in pixels.
    """
    across = ceil(sqrt(len(pictures)))
    gap = max(1, round(_SQUARE_SHEET_GAP * long_side))
    height, width = pictures[0].shape[:2]
    scale = min(1.0, (long_side - gap * (across - 1)) / across / max(height, width))
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    reduced = [np.asarray(cv2.resize(p, size, interpolation=cv2.INTER_AREA), np.uint8) for p in pictures]
    return contact_sheet([reduced[i : i + across] for i in range(0, len(reduced), across)], gap)
