"""What a file is and how large its picture is, without decoding it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from archivecolor.errors import UnsupportedError
from archivecolor.options import Strips
from archivecolor.photo.kinds import HEAD_BYTES
from archivecolor.photo.page import SUFFIXES
from archivecolor.photo.read import NO_STRIPS, open_source, supported_kind
from archivecolor.photo.read_pillow import pillow_limit
from archivecolor.photo.read_tiff import measured

_HEADER_BYTES = 1 << 20
"""Enough for the headers of nearly every picture; more is read only where it is not."""
_MOST_HEADER_BYTES = 1 << 26
"""Never more than this: it is read before the memory budget lets the picture in, and by every worker."""
_UNCHECKED_KINDS = ("gif", "bmp", "")
"""Kinds that only Pillow reads. Some of them (ICO) are decoded when they are opened: Pillow's limit must hold."""
_PILLOW_MEGAPIXELS = 500.0
_NO_LIMIT = 1e9


def is_picture(path: Path) -> bool:
    """Whether a file in a folder counts as a picture: by its suffix, else by its first bytes.

    A file with a picture's suffix counts whatever it holds: an unreadable picture must be reported, not skipped.
    """
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return supported_kind(file.read(HEAD_BYTES)) != ""
    except (OSError, UnsupportedError):
        return False


def measure(path: Path, strips: Strips = NO_STRIPS, file: BinaryIO | None = None) -> float:
    """About how many megapixels of 8 bits `read` will hold, for planning memory.

    The result is the file's size in megabytes where the header cannot be read. `read` does the exact check.

    Args:
        strips: as for `read`.
        file: the file, if it is open already.

    Raises:
        OSError: there is no such file.
    """
    try:
        with open_source(path, file) as source:
            header = source.read(_HEADER_BYTES)
            kind = supported_kind(header[:HEAD_BYTES])
            if kind == "tiff":
                source.seek(0)
                return measured(source, strips)
            try:
                return _held_megapixels(header, kind)
            except Exception:
                return _held_megapixels(header + source.read(_MOST_HEADER_BYTES - _HEADER_BYTES), kind)
    except Exception:  # any decoder may raise anything on a damaged header
        return path.stat().st_size / 1e6


def _held_megapixels(data: bytes, kind: str) -> float:
    """By the header of a picture. The bytes are in memory: no other worker waits for a disk at Pillow's limit."""
    limit = _PILLOW_MEGAPIXELS if kind in _UNCHECKED_KINDS else _NO_LIMIT
    with pillow_limit(limit), Image.open(io.BytesIO(data)) as image:
        deep = image.mode[0] in "IF" or kind == "jp2" or (kind == "png" and data[24] == 16)
        return image.width * image.height * (1 + deep) / 1e6
