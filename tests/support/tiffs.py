"""TIFFs with tags as no library writes them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

SHORT, LONG, RATIONAL, UNDEFINED, FLOAT = 3, 4, 5, 7, 11
Tags = dict[int, tuple[int, tuple[float, ...] | bytes] | None]
_CODES = {1: "B", SHORT: "H", LONG: "I", RATIONAL: "II", UNDEFINED: "B", FLOAT: "f"}


def grey_tags(samples: Any) -> Tags:
    """The tags of a page of one channel, or of as many as the last axis has."""
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    return {
        256: (LONG, (width,)),
        257: (LONG, (height,)),
        258: (SHORT, (8 * samples.itemsize,) * channels),
        259: (SHORT, (1,)),
        262: (SHORT, (2 if channels == 3 else 1,)),
        277: (SHORT, (channels,)),
        278: (LONG, (height,)),
    }


def write_tiff(path: Path, tags: Tags, *strips: bytes, behind: bytes = b"") -> Path:
    """A little-endian TIFF of one page: its strips, `behind`, then its directory. A tag of None is left out."""
    data, offsets = bytearray(8), []
    for strip in strips:
        offsets.append(len(data))
        data += strip
    data += behind + bytes(len(behind) % 2 + len(data) % 2)
    at = len(data) + len(data) % 2
    data = data.ljust(at, b"\0")
    every: Tags = {273: (LONG, tuple(offsets)), 279: (LONG, tuple(map(len, strips)))} | tags
    kept = {code: tag for code, tag in sorted(every.items()) if tag is not None}
    rows, values = struct.pack("<H", len(kept)), b""
    after = at + 2 + 12 * len(kept) + 4
    for code, (kind, content) in kept.items():
        packed = content if isinstance(content, bytes) else struct.pack(f"<{len(content)}{_CODES[kind][0]}", *content)
        count = len(content) // len(_CODES[kind])
        place = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", after + len(values))
        values += packed + bytes(len(packed) % 2) if len(packed) > 4 else b""
        rows += struct.pack("<HHI", code, kind, count) + place
    path.write_bytes(b"II*\0" + struct.pack("<I", at) + bytes(data[8:]) + rows + bytes(4) + values)
    return path


def ycbcr_data(ycc: Any, horizontal: int, vertical: int) -> bytes:
    """Subsampled data units of a picture (H, W, 3) whose sides are multiples of both, from its own Cb and Cr codes."""
    down, across = ycc.shape[0] // vertical, ycc.shape[1] // horizontal
    luma = ycc[..., 0].reshape(down, vertical, across, horizontal).swapaxes(1, 2).reshape(down, across, -1)
    return np.dstack([luma, ycc[::vertical, ::horizontal, 1:]]).astype(np.uint8).tobytes()
