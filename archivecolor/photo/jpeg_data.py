"""Checks whether a JPEG's compressed data are complete and undamaged.

libjpeg decodes damaged data to anything and only warns, and Pillow drops its warnings. libjxl repacks JPEG files
without loss, and so refuses data that cannot be unpacked to the last bit. Here libjxl decides.
"""

from __future__ import annotations

import ctypes
import importlib
import re
from functools import lru_cache

from archivecolor.imaging.arrays import Samples

_SUCCESS = 0
_START_OF_SCAN, _END_OF_IMAGE, _COMMENT, _FILL = 0xDA, 0xD9, 0xFE, 0xFF
_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker in compressed data: neither a stuffed byte, nor a restart marker, nor a fill byte."""
_COEFFICIENTS = frozenset(range(64))


@lru_cache(maxsize=1)
def _libjxl() -> ctypes.CDLL | None:
    """The libjxl of imagecodecs, through the extension module that is linked with it; None if there is none."""
    try:
        library = ctypes.CDLL(importlib.import_module("imagecodecs._jpegxl").__file__)
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        for name, result, arguments in (
            ("JxlEncoderCreate", pointer, [pointer]),
            ("JxlEncoderDestroy", None, [pointer]),
            ("JxlEncoderFrameSettingsCreate", pointer, [pointer, pointer]),
            ("JxlEncoderAddJPEGFrame", ctypes.c_int, [pointer, ctypes.c_char_p, size]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (ImportError, OSError, AttributeError, TypeError):
        return None
    return library


def is_sound(data: bytes) -> bool | None:
    """Whether the scans of a baseline or progressive JPEG, grey or with three channels, can be unpacked completely.

    Returns:
        None without libjxl.
    """
    library = _libjxl()
    if library is None:
        return None
    bare = _without_metadata(data)
    encoder = library.JxlEncoderCreate(None)
    try:
        settings = library.JxlEncoderFrameSettingsCreate(encoder, None)
        return bool(library.JxlEncoderAddJPEGFrame(settings, bare, len(bare)) == _SUCCESS)
    finally:
        library.JxlEncoderDestroy(encoder)


def has_every_scan(data: bytes) -> bool:
    """Whether the scans together have every bit of every coefficient (ITU-T T.81, G.1.1.1).

    A progressive JPEG that was cut between two scans has no damaged data, but is not the whole picture.
    """
    missing: dict[int, frozenset[int]] = {}
    at = 2
    while (match := _MARKER.search(data, at)) is not None and data[match.start() + 1] != _END_OF_IMAGE:
        marker, at = data[match.start() + 1], match.end()
        size = int.from_bytes(data[at : at + 2], "big")
        segment, at = data[at + 2 : at + size], at + max(size, 2)
        if marker in _FRAMES and len(segment) >= 6:
            missing = dict.fromkeys(segment[6 : 6 + 3 * segment[5] : 3], _COEFFICIENTS)
        elif marker == _START_OF_SCAN and len(segment) >= 4 + 2 * segment[0]:
            channels = segment[1 : 1 + 2 * segment[0] : 2]
            first, last, approximation = segment[1 + 2 * segment[0] : 4 + 2 * segment[0]]
            if approximation & 0x0F == 0:  # the scan goes down to the last bit
                complete = frozenset(range(first, last + 1))
                missing |= {channel: missing.get(channel, _COEFFICIENTS) - complete for channel in channels}
    return bool(missing) and not any(missing.values())


def _without_metadata(data: bytes) -> bytes:
    """The JPEG without the segments that do not affect its pixels: a damaged profile does not damage the picture."""
    parts, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _START_OF_SCAN:
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _FILL:
            end = at + 1
        elif not (0xE0 <= marker <= 0xEF or marker == _COMMENT):
            parts.append(data[at:end])
        at = end
    return b"".join([*parts, data[at:]])


def ends_in_fill(samples: Samples) -> bool:
    """Whether the last row of (H, W) or (H, W, 3) is exactly middle grey and the first is not.

    libjpeg fills missing data with middle grey; a real picture may end in it as well.
    """
    return bool((samples[-1] == 128).all() and not (samples[0] == 128).all())


def fill_share(samples: Samples) -> float:
    """Share of the 8 x 8 blocks of (H, W) or (H, W, 3) that are exactly middle grey, with which libjpeg fills missing
    data."""
    height, width = (side // 8 * 8 for side in samples.shape[:2])
    if not height or not width:
        return 0.0
    grey = (samples[:height, :width] == 128).reshape(height // 8, 8, width // 8, 8, -1)
    return float(grey.all(axis=(1, 3, 4)).mean())
