"""Decodes TIFF pages with subsampled YCbCr, whose chroma tifffile does not bring to full size."""

from __future__ import annotations

import numpy as np
import tifffile

from archivecolor.errors import UnreadableError, UnsupportedError
from archivecolor.imaging.arrays import ByteArray
from archivecolor.photo import limits
from archivecolor.photo.tiff_layout import segment_shape, subsampling_of


def read_ycbcr(page: tifffile.TiffPage, file: tifffile.FileHandle) -> ByteArray:
    """YCbCr of full size (H, W, 3), each value of Cb and Cr repeated, as libtiff does."""
    if page.bitspersample != 8 or page.planarconfig != 1 or page.samplesperpixel != 3:
        raise UnsupportedError("YCbCr stored in an unusual way: save it as RGB TIFF first")
    height, width = int(page.imagelength), int(page.imagewidth)
    rows, columns = segment_shape(page)
    across = -(-width // columns)
    if len(page.dataoffsets) != -(-height // rows) * across:
        raise UnreadableError(limits.DAMAGED)
    horizontal, vertical = subsampling_of(page)
    blocks = -(-rows // vertical) * -(-columns // horizontal)
    largest = max(rows * columns * 3, blocks * (horizontal * vertical + 2))  # a few bytes can unpack to gigabytes
    picture = np.empty((height, width, 3), np.uint8)
    for index, (offset, size) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        top, left = index // across * rows, index % across * columns
        file.seek(offset)
        data = file.read(size)
        if int(page.compression) != 1:
            data = bytes(tifffile.TIFF.DECOMPRESSORS[int(page.compression)](data, out=largest))
        count = rows if page.is_tiled else min(rows, height - top)
        target = picture[top : top + count, left : left + columns]
        target[...] = _full_size(data, count, columns, page)[: target.shape[0], : target.shape[1]]
    return picture


def _full_size(data: bytes, rows: int, columns: int, page: tifffile.TiffPage) -> ByteArray:
    """A decompressed strip or tile at full size: blocks of values of Y, each followed by one of Cb and one of Cr (TIFF
    6.0, section 21)."""
    if page.subsampling is None and len(data) >= rows * columns * 3:  # the writer kept all chroma and did not say so
        return np.frombuffer(data, np.uint8, rows * columns * 3).reshape(rows, columns, 3)
    horizontal, vertical = subsampling_of(page)
    down, across, size = -(-rows // vertical), -(-columns // horizontal), horizontal * vertical + 2
    if len(data) < down * across * size:
        raise UnreadableError(limits.DAMAGED)
    blocks = np.frombuffer(data, np.uint8, down * across * size).reshape(down, across, size)
    luma = blocks[..., :-2].reshape(down, across, vertical, horizontal).swapaxes(1, 2)
    chroma = blocks[..., -2:].repeat(vertical, axis=0).repeat(horizontal, axis=1)
    return np.dstack([luma.reshape(down * vertical, across * horizontal), chroma])[:rows, :columns]
