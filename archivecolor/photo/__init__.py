"""Reads and writes photographs: pages with depth, profile, metadata and resolution, without loss.

`read` -> Photo of Pages -> (the samples are colorized) -> `write`. `page` defines these types; `kinds` recognizes
files; `exif`, `containers` and `samples` handle bytes and numbers; `read_*` and `write` handle the formats.
"""

from __future__ import annotations

from archivecolor.photo.kinds import HEAD_BYTES
from archivecolor.photo.page import FORMAT_SUFFIXES, SRGB_ICC, SUFFIXES, Page, Photo, Scan
from archivecolor.photo.probe import is_other_original, is_picture, is_picture_content, measure
from archivecolor.photo.read import read
from archivecolor.photo.screen import screen_file
from archivecolor.photo.thumbnail import read_page_of_side, thumbnail
from archivecolor.photo.write import decisive_orientation, suffix_for, writable_format, write

WRITABLE = tuple(FORMAT_SUFFIXES)
"""The formats that can be written."""

__all__ = [
    "HEAD_BYTES",
    "SRGB_ICC",
    "SUFFIXES",
    "WRITABLE",
    "Page",
    "Photo",
    "Scan",
    "decisive_orientation",
    "is_other_original",
    "is_picture",
    "is_picture_content",
    "measure",
    "read",
    "read_page_of_side",
    "screen_file",
    "suffix_for",
    "thumbnail",
    "writable_format",
    "write",
]
