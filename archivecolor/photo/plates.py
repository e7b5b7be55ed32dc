"""Finds the infrared plates that scanner programs keep as pages of their own: they are no photographs."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from archivecolor.imaging.arrays import FloatArray
from archivecolor.photo.page import Page

_SIDE = 96
"""Pages are compared as squares of so many pixels."""
_FLAT = 0.12
"""The tones of a plate that shows little but dust span less than this share of the full range."""
_ALIKE = 0.6
"""The least correlation of a plate with its photograph, where silver or the dyes are dark in infrared, too."""


def with_plates_marked(pages: list[Page]) -> list[Page]:
    """The pages of a file; those that are plates of the page before have `is_plate` and a note."""
    some_marked = not all(page.subfiletype for page in pages)
    return [
        _plate(page, i) if (some_marked and page.subfiletype) or _is_plate(pages, i) else replace(page, subfiletype=0)
        for i, page in enumerate(pages)
    ]


def _plate(page: Page, i: int) -> Page:
    note = f"page {i + 1} is infrared or a mask of page {i}: not coloured"
    return replace(page, is_plate=True, notes=(*page.notes, note))


def _is_plate(pages: list[Page], i: int) -> bool:
    """Whether a single grey page follows an RGB page of the same size and depth, and shows the same or next to
    nothing. Another photograph on a sheet of the same size does neither."""
    if i == 0:
        return False
    before, page = pages[i - 1], pages[i]
    followed = i + 1 < len(pages) and pages[i + 1].samples.ndim == 2 and _form(pages[i + 1]) == _form(page)
    if before.samples.ndim != 3 or page.samples.ndim != 2 or _form(before) != _form(page) or followed:
        return False
    tones = _small(page)
    if np.subtract(*np.percentile(tones, (99, 1))) < _FLAT:
        return True
    photograph = _small(before)
    return photograph.std() > 0 and abs(np.corrcoef(tones.ravel(), photograph.ravel())[0, 1]) > _ALIKE


def _form(page: Page) -> tuple[object, ...]:
    return page.height, page.width, page.samples.dtype, page.orientation


def _small(page: Page) -> FloatArray:
    """A reduced copy in grey, 0..1."""
    small = cv2.resize(page.samples, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return (small.mean(axis=2) if small.ndim == 3 else small) / np.float32(np.iinfo(page.samples.dtype).max)
