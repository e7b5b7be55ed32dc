"""Resizing pictures and maps."""

from __future__ import annotations

import cv2

from archivecolor.imaging.arrays import Samples


def resize(picture: Samples, height: int, width: int) -> Samples:
    """(H, W) or (H, W, C) -> the same at `height` x `width`.

    Area average where it shrinks, linear where it grows: neither rings.
    """
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def resize_to_long_side(picture: Samples, long_side: int) -> Samples:
    """(H, W) or (H, W, C) -> the same with a long side of at most `long_side` pixels; a smaller picture as it is."""
    height, width = picture.shape[:2]
    scale = min(1.0, long_side / max(height, width))
    return resize(picture, max(1, round(height * scale)), max(1, round(width * scale)))
