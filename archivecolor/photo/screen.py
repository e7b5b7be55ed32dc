"""The rows of a page as a screen shows them: sRGB of 8 bits."""

from __future__ import annotations

from collections.abc import Iterator

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
