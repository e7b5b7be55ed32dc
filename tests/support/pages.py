"""Pages with known samples, and pages read back."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from archivecolor import photo
from archivecolor.photo import Page, Photo, exif
from support.paths import SHARED

ARCHIVE = SHARED / "archive"
XMP = b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"/><?xpacket end="w"?>'
IPTC = b"\x1c\x02\x78\x00\x05Wagen"


def ramp(shape: tuple[int, ...], dtype: type, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def smooth(height: int, width: int) -> Any:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], -1).astype(np.uint8)


def exif_of(**tags: exif.Value) -> bytes:
    codes = {"description": 270, "orientation": 274, "artist": 315}
    return exif.with_tags(exif.EMPTY, {codes[name]: value for name, value in tags.items()})


def again(tmp_path: Path, page: Page, format: str, **options: Any) -> Page:
    path = tmp_path / f"out{photo.suffix_for(format, '')}"
    photo.write(path, Photo(format, (page,)), format, **options)
    return photo.read(path).pages[0]


LOSSLESS = [("tiff", 16), ("png", 16), ("jp2", 16), ("tiff", 8), ("png", 8), ("jp2", 8), ("bmp", 8)]


def photo_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
