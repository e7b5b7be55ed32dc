"""Whether a JPEG's compressed data are whole: libjpeg makes something of any damage, and Pillow does not hear its
warnings. libjxl, which repacks JPEG files bit for bit, refuses to unpack what is not in order."""

from __future__ import annotations

import ctypes
import importlib
from functools import lru_cache
from typing import Any

from archivecolor.imaging.arrays import Samples

_SUCCESS = 0
_START_OF_SCAN, _COMMENT = 0xDA, 0xFE


@lru_cache(maxsize=1)
def _libjxl() -> Any:
    """imagecodecs' libjxl, through the extension module that is linked with it; None where that cannot be had."""
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


def in_order(data: bytes) -> bool:
    """Whether all the data of a baseline or progressive JPEG can be unpacked and nothing is left over; True where this
    cannot be told (other kinds, no libjxl)."""
    library = _libjxl()
    if library is None:
        return True
    bare = _without_metadata(data)
    encoder = library.JxlEncoderCreate(None)
    try:
        settings = library.JxlEncoderFrameSettingsCreate(encoder, None)
        return bool(library.JxlEncoderAddJPEGFrame(settings, bare, len(bare)) == _SUCCESS)
    finally:
        library.JxlEncoderDestroy(encoder)


def _without_metadata(data: bytes) -> bytes:
    """The JPEG without the segments that say nothing of its pixels: a damaged profile is no damage to the picture."""
    out, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _START_OF_SCAN:
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:
            end = at + 1  # a fill byte
        elif not (0xE0 <= marker <= 0xEF or marker == _COMMENT):
            out.append(data[at:end])
        at = end
    return b"".join([*out, data[at:]])


def missing_share(samples: Samples) -> float:
    """Share of the 8 x 8 blocks that are exactly middle grey: what libjpeg puts where it has no data."""
    height, width = (side // 8 * 8 for side in samples.shape[:2])
    if not height or not width:
        return 0.0
    grey = (samples[:height, :width] == 128).reshape(height // 8, 8, width // 8, 8, -1)
    return float(grey.all(axis=(1, 3, 4)).mean())
