"""What a file is and how large its picture is, without decoding it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from archivecolor import files
from archivecolor.errors import UnsupportedError
from archivecolor.options import Strips
from archivecolor.photo.kinds import HEAD_BYTES, kind_of
from archivecolor.photo.page import SUFFIXES
from archivecolor.photo.read import NO_STRIPS, open_source, supported_kind
from archivecolor.photo.read_jxl import jxl_megapixels
from archivecolor.photo.read_pillow import pillow_limit
from archivecolor.photo.read_tiff import measured

_HEADER_BYTES = 1 << 20
"""Enough for the headers of nearly every picture. More is read only if necessary."""
_MOST_HEADER_BYTES = 1 << 26
"""The limit, because every worker reads it before the memory budget applies."""
_OTHER_ORIGINALS = frozenset(("raw", "pdf", "eps", "djvu", "psb"))
_UNCHECKED_KINDS = ("gif", "bmp", "")
"""Kinds that only Pillow reads. Some of them (ICO) are decoded when they are opened: Pillow's limit must hold."""
_PILLOW_MEGAPIXELS = 500.0
_NO_LIMIT = 1e9


def is_picture(path: Path) -> bool:
    """Whether a file in a folder counts as a picture: by its suffix, else by its first bytes.

    A file with a picture's suffix always counts: an unreadable picture must be reported, not skipped.
    """
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        files.check_regular(path)
        with path.open("rb") as file:
            return is_picture_content(file.read(HEAD_BYTES))
    except OSError:
        return False


def is_picture_content(head: bytes) -> bool:
    """Whether the first HEAD_BYTES bytes of a file are those of a picture that can be read."""
    try:
        return supported_kind(head) != ""
    except UnsupportedError:
        return False


def is_other_original(head: bytes) -> bool:
    """Whether the first HEAD_BYTES bytes are those of a kind that often holds scans, and that another program must
    convert first. In a folder such files get a row, which says so."""
    return kind_of(head) in _OTHER_ORIGINALS


def measure(path: Path, strips: Strips = NO_STRIPS, file: BinaryIO | None = None) -> float:
    """Estimates the megapixels of 8 bits that `read` will have in memory.

    The result is the file's size in megabytes if the header cannot be read. `read` does the exact check.

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
    """Estimates by the header of a picture. The bytes are in memory, so no worker waits for a disk while it holds
    Pillow's limit."""
    if kind == "jxl":
        return jxl_megapixels(data)
    limit = _PILLOW_MEGAPIXELS if kind in _UNCHECKED_KINDS else _NO_LIMIT
    with pillow_limit(limit), Image.open(io.BytesIO(data)) as image:
        deep = image.mode[0] in "IF" or kind == "jp2" or (kind == "png" and data[24] == 16)
        return image.width * image.height * (1 + deep) / 1e6
