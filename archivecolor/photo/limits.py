"""Checks sizes before pixels are decoded, and turns errors of libraries into plain ones."""

from __future__ import annotations

import logging
import math
import re
import warnings

from archivecolor import files
from archivecolor.errors import PictureError, TooLargeError, UnreadableError, UnsupportedError

TRUNCATED = "truncated: the file ends before the picture does; scan it or copy it again"
DAMAGED = "damaged: the picture in the file cannot be decoded; scan it or copy it again"
_SIGNS_OF_TRUNCATION = ("truncat", "too small", "too short", "premature", "end of file", "eof", "not enough", "cut off")


def silence_libraries() -> None:
    """Keeps tifffile's log and Pillow's warnings off the terminal: their messages become notes or errors."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"(PIL|tifffile)(\..*)?")


def check_size(width: int, height: int, max_megapixels: float, pages: int = 1) -> None:
    """Raises TooLargeError over the limit, UnreadableError for a side of zero.

    Args:
        pages: the number of pages, for the message; `height` is then their sum.
    """
    if width <= 0 or height <= 0:
        raise UnreadableError(f"damaged: the file says the picture is {width} x {height} pixels; scan it again")
    megapixels = width * height / 1e6
    if megapixels > max_megapixels:
        what = f"{width} x {height} pixels" if pages == 1 else f"{pages} pages together"
        raise TooLargeError(
            f"{what} = {megapixels:.0f} megapixels, over the limit of {max_megapixels:g}; "
            f"lift the limit with --max-megapixels {math.ceil(megapixels)}"
        )


def too_large(refusal: Exception, max_megapixels: float) -> TooLargeError:
    """The error for a picture that Pillow refused; only its message has the size."""
    pixels = re.search(r"\((\d+) pixels\)", str(refusal))
    megapixels = math.ceil(int(pixels[1]) / 1e6) if pixels else "N"
    return TooLargeError(
        f"{megapixels} megapixels, over the limit of {max_megapixels:g}; "
        f"lift the limit with --max-megapixels {megapixels}"
    )


def as_picture_error(error: Exception) -> PictureError:
    """Turns an exception of a library into an error that a reader without knowledge of the library understands."""
    if isinstance(error, MemoryError):
        return TooLargeError("not enough memory for a picture of this size; use a machine with more of it")
    if files.is_system_error(error):
        return files.read_error(error)
    if isinstance(error, NotImplementedError):
        return UnsupportedError("stored in a way that cannot be read here; save it as plain TIFF or PNG first")
    words = str(error).lower()
    if isinstance(error, EOFError) or any(sign in words for sign in _SIGNS_OF_TRUNCATION):
        return UnreadableError(TRUNCATED)
    return UnreadableError(DAMAGED)
