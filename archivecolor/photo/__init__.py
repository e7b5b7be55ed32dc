"""Photographs in and out of files: pages with depth, profile, metadata and resolution, none of them lost on the way.

`read` -> Photo of Pages -> (someone colours the samples) -> `write`. Inside: `page` is what a photo is; `kinds`
tells files apart; `exif`, `containers` and `samples` know bytes and numbers; `read_*` and `write` know the formats.
"""

from __future__ import annotations

from archivecolor.photo.page import FORMAT_SUFFIXES, SRGB_ICC, SUFFIXES, Page, Photo, Scan
from archivecolor.photo.probe import is_picture, measure
from archivecolor.photo.read import read
from archivecolor.photo.thumbnail import fitted, thumbnail
from archivecolor.photo.write import suffix_for, writable_format, write

WRITABLE = tuple(FORMAT_SUFFIXES)
"""The formats that can be written."""

__all__ = [
    "SRGB_ICC",
    "SUFFIXES",
    "WRITABLE",
    "Page",
    "Photo",
    "Scan",
    "fitted",
    "is_picture",
    "measure",
    "read",
    "suffix_for",
    "thumbnail",
    "writable_format",
    "write",
]
