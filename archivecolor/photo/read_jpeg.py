"""Reads JPEG: 8 bits with Pillow, more with imagecodecs, the metadata of all by its segments."""

from __future__ import annotations

from dataclasses import replace

import imagecodecs
import numpy as np

from archivecolor.errors import TooLargeError, UnreadableError, UnsupportedError
from archivecolor.photo import jpeg_data, jpeg_metadata, jpeg_segments, limits
from archivecolor.photo import samples as convert
from archivecolor.photo.jpeg_segments import Frame, Jpeg
from archivecolor.photo.page import Page, Photo
from archivecolor.photo.read_pillow import decoded_page, open_image

_REPACKABLE = (0xC0, 0xC1, 0xC2)
"""Frames of baseline, extended and progressive JPEG."""
_MAX_FILL_SHARE = 0.002
"""The largest usable share of filled blocks in a JPEG with damaged data."""
_CMYK_CHANNELS = 4
_JUNK_SEARCHED = 4096


def read_jpeg(data: bytes, max_megapixels: float) -> Photo:
    """JPEG of 8 bits, grey, RGB, CMYK or YCCK; of 9 to 16 bits, grey or RGB."""
    jpeg = jpeg_segments.split(data)
    frame = jpeg.frame
    if frame is None:
        raise UnreadableError(limits.DAMAGED)
    limits.check_size(frame.width, frame.height, max_megapixels)
    page = _deep_page(jpeg, frame) if frame.bits > 8 else _page(jpeg, frame, max_megapixels)
    return Photo("jpeg", (page,), lossless=False)


def read_jpeg_after_junk(data: bytes, max_megapixels: float) -> Photo | None:
    """A JPEG that begins a little after the start of the file; None if there is none."""
    at = data.find(b"\xff\xd8\xff", 0, _JUNK_SEARCHED)
    if at < 1:
        return None
    try:
        photo = read_jpeg(data[at:], max_megapixels)
    except TooLargeError:
        raise
    except Exception as error:
        raise UnreadableError(limits.DAMAGED) from error
    page = photo.pages[0]
    return replace(photo, pages=(replace(page, notes=(f"{at} bytes before the picture skipped", *page.notes)),))


def read_reduced(data: bytes, max_megapixels: float, long_side: int = 0, short_side: int = 0) -> Page:
    """The page of a JPEG of 8 bits at an eighth, a quarter, half or all of its size, with its long side at least
    `long_side` and its short side at least `short_side` where the picture's are."""
    jpeg = jpeg_segments.split(data)
    image = open_image(jpeg.picture, max_megapixels)
    scale = max(long_side / max(image.size), short_side / min(image.size))
    image.draft(None, (max(1, int(image.width * scale)), max(1, int(image.height * scale))))
    page = decoded_page(image, jpeg_metadata.profile(jpeg))
    return jpeg_metadata.with_metadata(page, jpeg, image.mode == "CMYK")


def _page(jpeg: Jpeg, frame: Frame, max_megapixels: float) -> Page:
    data = jpeg.picture
    image = open_image(data, max_megapixels)
    page = decoded_page(image, jpeg_metadata.profile(jpeg))
    sound = jpeg_data.is_sound(data) if frame.marker in _REPACKABLE and frame.channels in (1, 3) else None
    is_complete = jpeg_data.has_every_scan(data)
    if frame.channels != _CMYK_CHANNELS and jpeg_data.ends_in_fill(page.samples) and not (sound and is_complete):
        raise UnreadableError("damaged: the lower part of the picture is missing; scan it or copy it again")
    if sound is False:
        page = _with_damage_note(page)
    elif not is_complete:
        page = replace(page, notes=(*page.notes, "JPEG without its last scans: details are missing; copy it again"))
    return jpeg_metadata.with_metadata(page, jpeg, image.mode == "CMYK")


def _deep_page(jpeg: Jpeg, frame: Frame) -> Page:
    if frame.bits > 16:
        raise UnreadableError(limits.DAMAGED)
    if frame.channels == _CMYK_CHANNELS:
        raise UnsupportedError(f"a CMYK JPEG of {frame.bits} bits: save it as TIFF first")
    decoded = np.asarray(imagecodecs.jpeg_decode(jpeg.picture))
    if decoded.shape[:2] != (frame.height, frame.width):
        raise UnreadableError(limits.DAMAGED)
    samples, notes = convert.to_full_range(decoded, frame.bits)
    return jpeg_metadata.with_metadata(Page(samples, notes=notes, bits=frame.bits), jpeg, is_converted=False)


def _with_damage_note(page: Page) -> Page:
    """The page of a JPEG with damaged data, with a note.

    Raises:
        UnreadableError: parts of the picture are missing.
    """
    if jpeg_data.fill_share(page.samples) > _MAX_FILL_SHARE:
        raise UnreadableError("damaged: parts of the picture are missing; scan it or copy it again")
    return replace(page, notes=(*page.notes, "JPEG data damaged in places or unusual: compare it with the source"))
