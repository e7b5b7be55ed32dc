"""A picture file in memory: pages of samples with profile, resolution and metadata."""

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
"""The formats that can be written, each with its suffixes; the first one is the usual one."""

READ_ONLY_SUFFIXES = {
    "jp2": (".j2k", ".j2c", ".jpc"),
    "heic": (".heic", ".heif", ".hif"),
    "jxl": (".jxl",),
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
"""Lower-case suffixes, with the dot, of the files in a folder that count as pictures."""


BAND_ROWS = 256
"""Rows in memory of a picture that is too large for it. It is written in tiles of this side."""


@dataclass(frozen=True)
class Scan:
    """The rows of a page that is too large for memory."""

    height: int
    width: int
    has_alpha: bool
    bands: Callable[[], Iterator[tuple[Samples, Samples | None]]]
    """Reads the page again and yields (samples, further channels), for BAND_ROWS rows at a time from the top; the last
    band may have fewer. The further channels are the alpha, (h, W), or it and those of `extra`, (h, W, n), or None.
    Raises PictureError."""
    extra_channels: int = 0
    """How many channels of `Page.extra` there are."""


@dataclass(frozen=True)
class Extra:
    """A part of a file that only its own format can hold."""

    format: str
    """jpeg, png or jp2."""
    label: str
    """What it is, for notes: `Creation Time`, `tIME`. Empty where the page has the same in another field."""
    content: bytes
    """The whole segment, chunk or box, as it is written."""


@dataclass(frozen=True)
class Page:
    """One picture with all metadata of its file."""

    samples: Samples
    """uint8 or uint16, (H, W) grey or (H, W, 3) RGB; rows as stored, orientation not applied. With a `scan`, a
    reduced copy (area averages), and `alpha` is None."""
    icc: bytes | None = None
    """The ICC profile of the samples; None is sRGB, or grey with the sRGB curve."""
    alpha: Samples | None = None
    """(H, W), same dtype, not premultiplied."""
    extra: Samples | None = None
    """(H, W, n), same dtype: channels of a TIFF that are no colour and no transparency, such as infrared and masks."""
    orientation: int = 1
    """EXIF orientation, 1 to 8."""
    dpi: tuple[float, float] | None = None
    """Pixels per inch, across and down."""
    density: tuple[float, float] | None = None
    """Pixels across and down per unit of a length that the file does not state (JFIF unit 0, TIFF unit 1, PNG unit 0),
    where they differ: only their ratio, the pixel aspect, has a meaning. Never beside `dpi`."""
    bits: int | None = None
    """Bits per sample in the file, for notes; None if they are those of `samples`, or not known."""
    exif: bytes | None = None
    """TIFF-structured EXIF block, without the `Exif` prefix."""
    xmp: bytes | None = None
    iptc: bytes | None = None
    """Raw IPTC-IIM records."""
    description: str | None = None
    """The picture's own caption; it is never changed."""
    tags: tuple[tuple[int, str | int, int, Any, bool], ...] = ()
    """Further TIFF tags as (code, type, count, value, True), the form of tifffile's `extratags`."""
    notes: tuple[str, ...] = ()
    """Notes for the user on what reading changed."""
    comments: tuple[bytes, ...] = ()
    """The file's comments (JPEG, GIF, PNG), as stored and in order."""
    photoshop: bytes | None = None
    """Photoshop resources without a field of their own, such as clipping paths, as `photoshop.packed` makes them."""
    is_plate: bool = False
    """An infrared plate or a mask of the page before it: it is kept as it is and never coloured."""
    subfiletype: int = 0
    """TIFF's NewSubfileType."""
    scan: Scan | None = None
    """The rows of the picture, if it is too large for memory."""
    extras: tuple[Extra, ...] = ()
    """What only an output of the same format can carry."""

    @property
    def height(self) -> int:
        return self.scan.height if self.scan else int(self.samples.shape[0])

    @property
    def width(self) -> int:
        return self.scan.width if self.scan else int(self.samples.shape[1])


@dataclass(frozen=True)
class Photo:
    """A picture file: one page, or the pages of a TIFF in order."""

    format: str
    """By the content: jpeg, png, tiff, webp, bmp, jp2, avif, heic, gif, pnm, psd, ..."""
    pages: tuple[Page, ...]
    compressed: bool = True
    """Whether the source had compressed samples."""
    lossless: bool = True
    """Whether the source's compression keeps every sample."""
    path: Path | None = None
    """The file that it was read from."""
