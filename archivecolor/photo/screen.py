"""The rows of a page as a screen shows them: sRGB of 8 bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from archivecolor.imaging import luminance
from archivecolor.imaging.arrays import ByteArray
from archivecolor.photo.page import BAND_ROWS, Page


def screen_bands(page: Page) -> Iterator[ByteArray]:
    """The rows of a page as stored, uint8 (h, W, 3) in sRGB, a few at a time from the top. Alpha is left out.

    Raises:
        PictureError: a page with a scan cannot be read again.
        UnreadableError: the profile is damaged or is for another kind of picture.
    """
    if page.scan:
        for samples, _ in page.scan.bands():
            yield luminance.to_srgb8(samples, page.icc)
        return
    for top in range(0, page.height, BAND_ROWS):
        yield luminance.to_srgb8(page.samples[top : top + BAND_ROWS], page.icc)


def screen_samples(page: Page) -> ByteArray:
    """All rows of `screen_bands`, uint8 (H, W, 3).

    Raises:
        PictureError: see there.
    """
    whole = np.empty((page.height, page.width, 3), np.uint8)
    top = 0
    for band in screen_bands(page):
        whole[top : top + len(band)] = band
        top += len(band)
    return whole


def screen_file(page: Page, file: BinaryIO) -> ByteArray:
    """The same as a map of an empty file, for what is too large for memory.

    Raises:
        OSError: the file cannot be written.
        PictureError: see `screen_bands`.
    """
    for band in screen_bands(page):  # not through a map: a full disk would end the process
        file.write(np.ascontiguousarray(band).data)
    file.flush()
    return np.memmap(file, np.uint8, "r", shape=(page.height, page.width, 3))
