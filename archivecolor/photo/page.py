"""What a picture file is in memory: pages of samples, each in its envelope of profile, resolution and metadata."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archivecolor.imaging.arrays import Samples

# LittleCMS's built-in sRGB, kept as bytes so that every version of it writes the same file; dated 2026-01-01.
SRGB_ICC = base64.b64decode(
    b"AAACTGxjbXMEQAAAbW50clJHQiBYWVogB+oAAQABAAAAAAAAYWNzcEFQUEwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPbWAAEAAAAA0y1s"
    b"Y21zAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAALZGVzYwAAAQgAAAA2Y3BydAAAAUAAAABMd3RwdAAA"
    b"AYwAAAAUY2hhZAAAAaAAAAAsclhZWgAAAcwAAAAUYlhZWgAAAeAAAAAUZ1hZWgAAAfQAAAAUclRSQwAAAggAAAAgZ1RSQwAAAggAAAAgYlRS"
    b"QwAAAggAAAAgY2hybQAAAigAAAAkbWx1YwAAAAAAAAABAAAADGVuVVMAAAAaAAAAHABzAFIARwBCACAAYgB1AGkAbAB0AC0AaQBuAABtbHVj"
    b"AAAAAAAAAAEAAAAMZW5VUwAAADAAAAAcAE4AbwAgAGMAbwBwAHkAcgBpAGcAaAB0ACwAIAB1AHMAZQAgAGYAcgBlAGUAbAB5WFlaIAAAAAAA"
    b"APbWAAEAAAAA0y1zZjMyAAAAAAABDEIAAAXe///zJQAAB5MAAP2Q///7of///aIAAAPcAADAblhZWiAAAAAAAABvoAAAOPUAAAOQWFlaIAAA"
    b"AAAAACSfAAAPhAAAtsNYWVogAAAAAAAAYpcAALeHAAAY2XBhcmEAAAAAAAMAAAACZmYAAPKnAAANWQAAE9AAAApbY2hybQAAAAAAAwAAAACj"
    b"1wAAVHsAAEzNAACZmgAAJmYAAA9c"
)
"""A small valid sRGB profile."""

FORMAT_SUFFIXES = {
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
    "png": (".png", ".apng"),
    "tiff": (".tif", ".tiff", ".btf", ".tf8"),
    "webp": (".webp",),
    "bmp": (".bmp", ".dib"),
    "jp2": (".jp2", ".jpf", ".jpx"),
    "avif": (".avif", ".avifs"),
}
"""The formats that can be written, each with the suffixes it may keep; the first is the usual one."""

READ_ONLY_SUFFIXES = {
    "jp2": (".j2k", ".j2c", ".jpc"),
    "heic": (".heic", ".heif", ".hif"),
    "gif": (".gif",),
    "pnm": (".ppm", ".pgm", ".pbm", ".pnm"),
    "psd": (".psd",),
    "pcd": (".pcd",),
    "ico": (".ico",),
    "tga": (".tga",),
    "sgi": (".sgi", ".rgb"),
    "pcx": (".pcx",),
}

SUFFIXES = frozenset(
    suffix for table in (FORMAT_SUFFIXES, READ_ONLY_SUFFIXES) for group in table.values() for suffix in group
)
"""Lower-case suffixes, with the dot, that count as pictures when folders are walked."""


BAND_ROWS = 256
"""Rows that are held of a picture too large to be held; it is written in tiles of this side."""


@dataclass(frozen=True)
class Scan:
    """The rows of a page that is too large to be held."""

    height: int
    width: int
    has_alpha: bool
    bands: Callable[[], Iterator[tuple[Samples, Samples | None]]]
    """Reads the page again: (samples, alpha), as `Page` has them, of BAND_ROWS rows at a time from the top on; the last
    may be fewer. Raises PictureError."""


@dataclass(frozen=True)
class Page:
    """One picture with everything its file says about it."""

    samples: Samples
    """uint8 or uint16, (H, W) grey or (H, W, 3) RGB; rows as stored, orientation not applied. Where there is a `scan`,
    a copy of it that area averages have reduced, and `alpha` is None."""
    icc: bytes | None = None
    """The grey or RGB profile the samples are in; None = sRGB, or grey with the sRGB curve."""
    alpha: Samples | None = None
    """(H, W), same dtype, not premultiplied."""
    orientation: int = 1
    """EXIF orientation, 1 to 8."""
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    """TIFF-structured EXIF block, without the `Exif` prefix."""
    xmp: bytes | None = None
    iptc: bytes | None = None
    """Raw IPTC-IIM records."""
    description: str | None = None
    """The picture's own caption, never altered."""
    tags: tuple[tuple[int, str, int, Any, bool], ...] = ()
    """Further TIFF tags as (code, type, count, value, True), the form of tifffile's `extratags`."""
    notes: tuple[str, ...] = ()
    """What reading changed that a user must know."""
    comment: bytes | None = None
    """The file's comment segment (JPEG, GIF), as stored."""
    scan: Scan | None = None
    """The picture itself, where it is too large to be held."""

    @property
    def height(self) -> int:
        return self.scan.height if self.scan else int(self.samples.shape[0])

    @property
    def width(self) -> int:
        return self.scan.width if self.scan else int(self.samples.shape[1])


@dataclass(frozen=True)
class Photo:
    """A picture file: one page, or the pages of a TIFF in their order."""

    format: str
    """Decided by the content: jpeg, png, tiff, webp, bmp, jp2, avif, heic, gif, pnm, psd, ..."""
    pages: tuple[Page, ...]
    compressed: bool = True
    """False when the source held its samples uncompressed."""
    lossless: bool = True
    """False when the source's own compression loses detail."""
    path: Path | None = None
    """Where it was read from."""
