"""Large pictures, a few rows at a time: from a TIFF's strips or tiles to a reduced copy, and to tiles again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import tifffile

from archivecolor.errors import UnreadableError
from archivecolor.imaging.arrays import DoubleArray, Samples
from archivecolor.photo import limits
from archivecolor.photo.page import BAND_ROWS


def bands(page: tifffile.TiffPage, tif: tifffile.TiffFile) -> Iterator[Samples]:
    """The decoded rows of a tifffile page, (h, W) or (h, W, C), in the file's own numbers, BAND_ROWS at a time.

    One strip or row of tiles is decoded at a time, so a file with a single compressed strip is decoded as a whole. A
    long uncompressed strip is read in parts.
    """
    plain = page.compression == 1 and page.predictor == 1 and page.fillorder == 1 and not page.is_tiled
    whole_bytes = page.bitspersample == 8 * np.dtype(page.dtype).itemsize
    source = _uncompressed(page, tif) if plain and whole_bytes else _decoded(page, tif.filehandle)
    for band in _in_bands(source):
        yield band[..., 0] if band.shape[2] == 1 else band


def _planes(page: tifffile.TiffPage) -> int:
    return int(page.samplesperpixel) if page.planarconfig == 2 else 1


def _uncompressed(page: tifffile.TiffPage, tif: tifffile.TiffFile) -> Iterator[Samples]:
    height, width, planes = page.imagelength, page.imagewidth, _planes(page)
    strip = min(page.rowsperstrip or height, height)
    strips = -(-height // strip)
    channels = page.samplesperpixel // planes
    kind = np.dtype(page.dtype).newbyteorder(tif.byteorder)
    step = width * channels * kind.itemsize
    for first in range(0, height, strip):
        last = min(first + strip, height)
        for top in range(first, last, BAND_ROWS):
            count = min(BAND_ROWS, last - top)
            parts = []
            for plane in range(planes):
                tif.filehandle.seek(page.dataoffsets[plane * strips + first // strip] + (top - first) * step)
                data = tif.filehandle.read(count * step)
                if len(data) < count * step:
                    raise UnreadableError(limits.TRUNCATED)
                parts.append(np.frombuffer(data, kind).reshape(count, width, channels))
            yield np.concatenate(parts, axis=2).astype(page.dtype, copy=False)


def _decoded(page: tifffile.TiffPage, file: tifffile.FileHandle) -> Iterator[Samples]:
    height, width, planes = page.imagelength, page.imagewidth, _planes(page)
    high, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip or height, width)
    high = min(high, height) if not page.is_tiled else high
    across, down = -(-width // wide), -(-height // high)
    tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if _is_jpeg(page) else {}
    for row in range(down):
        count = min(high, height - row * high)
        band = np.zeros((count, width, page.samplesperpixel), page.dtype)
        for plane in range(planes):
            for column in range(across):
                index = (plane * down + row) * across + column
                file.seek(page.dataoffsets[index])
                data = file.read(page.databytecounts[index])
                segment = page.decode(data, index, _fullsize=page.is_tiled, **tables)[0]
                if segment is None or segment.shape[1] < count:
                    raise UnreadableError(limits.DAMAGED)
                if across == planes == 1:
                    band = segment[0, :count, :width]
                    continue
                left = column * wide
                target = band[:, left : left + wide, plane : plane + 1] if planes > 1 else band[:, left : left + wide]
                target[...] = segment[0, :count, : target.shape[1]]
        yield band


def _is_jpeg(page: tifffile.TiffPage) -> bool:
    return int(page.compression) in (6, 7, 34892, 33007)


class Reduced:
    """Reduces a picture by area averages, from one band of rows after the other.

    Args:
        short_side: of the copy, in pixels; at most half of the picture's own.
    """

    def __init__(self, height: int, width: int, short_side: int) -> None:
        share = min(0.5, short_side / min(height, width))
        self._size = max(1, round(height * share)), max(1, round(width * share))
        self._step = height / self._size[0]
        self._sum: DoubleArray | None = None
        self._top = 0
        self._dtype = np.dtype(np.uint8)

    def add(self, rows: Samples) -> None:
        """Adds the next rows, (h, W) or (h, W, 3)."""
        self._dtype = rows.dtype
        narrow = cv2.resize(rows.astype(np.float32), (self._size[1], len(rows)), interpolation=cv2.INTER_AREA)
        if self._sum is None:
            self._sum = np.zeros((self._size[0], *narrow.shape[1:]))
        tops = np.arange(self._top, self._top + len(rows))
        first = int(tops[0] / self._step)
        last = min(int((tops[-1] + 1) / self._step), self._size[0] - 1)
        edges = np.arange(first, last + 1)[:, None] * self._step
        # the share of each row in each row of the copy
        shares = np.minimum(edges + self._step, tops + 1) - np.maximum(edges, tops)
        self._sum[first : last + 1] += np.tensordot(shares.clip(0) / self._step, narrow, axes=1)
        self._top += len(rows)

    def samples(self) -> Samples:
        """The reduced copy, in the depth of the rows."""
        if self._sum is None:
            raise UnreadableError(limits.DAMAGED)
        return np.rint(self._sum).astype(self._dtype)


def tiled(rows: Iterable[Samples], width: int) -> Iterator[Samples]:
    """Bands (BAND_ROWS, W, C) -> the square tiles of the picture, row by row; those at the edges are filled with 0."""
    for band in rows:
        for left in range(0, width, BAND_ROWS):
            part = band[:, left : left + BAND_ROWS]
            tile = np.zeros((BAND_ROWS, BAND_ROWS, *band.shape[2:]), band.dtype)
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


def _in_bands(rows: Iterable[Samples]) -> Iterator[Samples]:
    """The same rows, BAND_ROWS at a time."""
    held: list[Samples] = []
    count = 0
    for more in rows:
        while count + len(more) >= BAND_ROWS:
            missing = BAND_ROWS - count
            yield np.concatenate([*held, more[:missing]])
            held, count, more = [], 0, more[missing:]
        if len(more):
            held.append(more)
            count += len(more)
    if held:
        yield np.concatenate(held)
