"""Reads SGI pictures of 16 bits, which Pillow would cut to 8."""

from __future__ import annotations

import numpy as np

from archivecolor.errors import UnreadableError
from archivecolor.imaging.arrays import Samples
from archivecolor.photo import limits

_HEADER_BYTES = 512


def is_deep(data: bytes) -> bool:
    """Whether the bytes are those of an SGI picture of 16 bits."""
    return data[:2] == b"\x01\xda" and data[3:4] == b"\x02"


def deep_samples(data: bytes) -> Samples:
    """The samples (H, W, C), uint16, of an SGI picture of 16 bits (The SGI Image File Format, 1.0)."""
    width, height, channels = (int.from_bytes(data[at : at + 2], "big") for at in (6, 8, 10))
    dimensions = int.from_bytes(data[4:6], "big")
    height, channels = (height if dimensions > 1 else 1), (channels if dimensions > 2 else 1)
    count = height * channels
    if data[2] == 0:
        values = np.frombuffer(data, ">u2", count * width, _HEADER_BYTES)
    else:
        starts = np.frombuffer(data, ">u4", count, _HEADER_BYTES).tolist()
        sizes = np.frombuffer(data, ">u4", count, _HEADER_BYTES + 4 * count).tolist()
        values = np.concatenate(
            [_unpacked(data[at : at + size], width) for at, size in zip(starts, sizes, strict=True)]
        )
    from_below = values.reshape(channels, height, width)
    return np.ascontiguousarray(from_below[:, ::-1].transpose(1, 2, 0)).astype(np.uint16)


def _unpacked(row: bytes, width: int) -> Samples:
    """A run-length coded row. Each run begins with a word: its lower seven bits count, its eighth bit means a copy."""
    words = np.frombuffer(row, ">u2", len(row) // 2)
    parts, at, length = [], 0, 0
    while at < len(words) and (count := int(words[at]) & 0x7F) and length < width:
        is_copy = bool(words[at] & 0x80)
        parts.append(words[at + 1 : at + 1 + count] if is_copy else words[at + 1 : at + 2].repeat(count))
        at, length = at + 1 + (count if is_copy else 1), length + len(parts[-1])
    if length < width:
        raise UnreadableError(limits.DAMAGED)
    return np.concatenate(parts)[:width]
