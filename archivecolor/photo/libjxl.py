"""The functions of libjxl that imagecodecs does not offer, by ctypes."""

from __future__ import annotations

import ctypes
import importlib
from functools import lru_cache

_POINTER, _SIZE, _STATUS = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_FUNCTIONS = (
    ("JxlEncoderCreate", _POINTER, [_POINTER]),
    ("JxlEncoderDestroy", None, [_POINTER]),
    ("JxlEncoderFrameSettingsCreate", _POINTER, [_POINTER, _POINTER]),
    ("JxlEncoderAddJPEGFrame", _STATUS, [_POINTER, ctypes.c_char_p, _SIZE]),
    ("JxlDecoderCreate", _POINTER, [_POINTER]),
    ("JxlDecoderDestroy", None, [_POINTER]),
    ("JxlDecoderSetKeepOrientation", _STATUS, [_POINTER, ctypes.c_int]),
    ("JxlDecoderSubscribeEvents", _STATUS, [_POINTER, ctypes.c_int]),
    ("JxlDecoderSetInput", _STATUS, [_POINTER, ctypes.c_char_p, _SIZE]),
    ("JxlDecoderCloseInput", None, [_POINTER]),
    ("JxlDecoderProcessInput", _STATUS, [_POINTER]),
    ("JxlDecoderGetBasicInfo", _STATUS, [_POINTER, _POINTER]),
    ("JxlDecoderGetColorAsEncodedProfile", _STATUS, [_POINTER, ctypes.c_int, _POINTER]),
    ("JxlDecoderGetICCProfileSize", _STATUS, [_POINTER, ctypes.c_int, _POINTER]),
    ("JxlDecoderGetColorAsICCProfile", _STATUS, [_POINTER, ctypes.c_int, ctypes.c_char_p, _SIZE]),
)
"""Name, type of the result, types of the arguments."""


@lru_cache(maxsize=1)
def load() -> ctypes.CDLL | None:
    """The libjxl of imagecodecs, through the extension module that is linked with it; None if there is none."""
    try:
        library = ctypes.CDLL(importlib.import_module("imagecodecs._jpegxl").__file__)
        for name, result, arguments in _FUNCTIONS:
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (ImportError, OSError, AttributeError, TypeError):
        return None
    return library
