"""Writes TIFF with tifffile: all pages in order, each with its own metadata."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile

from archivecolor.imaging.arrays import Samples
from archivecolor.imaging.orientation import to_upright
from archivecolor.photo import exif, exiftool, tiff_tags
from archivecolor.photo import samples as convert
from archivecolor.photo.encoding import turn_upright
from archivecolor.photo.page import BAND_ROWS, SRGB_ICC, Page, Photo, Scan
from archivecolor.photo.screen import screen_bands, screen_file
from archivecolor.photo.strips import tiled

_BIG = 3_900_000_000
# tifffile writes no EXIF pointers, so the unused tags before them reserve their places until the pages are written


class _Strict(io.BufferedRandom):
    """A file that reports a full disk. tifffile ignores errors when it closes a file, and so does numpy when it writes
    to a file descriptor: the last bytes would be missing silently."""

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


def write_tiff(part: Path, photo: Photo, software: str) -> tuple[str, ...]:
    """Writes all pages without loss; uncompressed if the source was an uncompressed TIFF.

    Returns:
        Notes on what was not carried.
    """
    big = sum(map(_bytes, photo.pages)) > _BIG
    packed = photo.compressed or photo.format != "tiff"
    with _Strict(io.FileIO(part, "w+")) as file, tifffile.TiffWriter(file, bigtiff=big, byteorder="<") as tif:
        for page in photo.pages:
            _write_page(tif, page, software, packed)
    notes = _add_exif(part, photo.pages, big)
    notes += tuple(dict.fromkeys(note for page in photo.pages for note in tiff_tags.from_exif(page.exif)[1]))
    if any(page.comments for page in photo.pages):
        notes += ("comment not carried by TIFF",)
    if any(exif.MAKER_NOTE in tags for page in photo.pages for tags in _sub_ifds(page).values()):
        alone = len(photo.pages) == 1 and not big
        notes += exiftool.copy_maker_notes(part, photo.path if alone else None)
    return notes


def write_pyramid(part: Path, page: Page, software: str, quality: int) -> tuple[str, ...]:
    """Writes a page in tiles of JPEG, and after it reduced copies of it, each half as large, as pages: the form that
    image servers read (IIPImage, Cantaloupe, libvips). It is upright, because few of them read the orientation. Chroma
    has full size, for the colour is what is new.

    Returns:
        Notes on what was not carried.
    """
    with tempfile.TemporaryFile(dir=part.parent) as scratch:
        if page.scan is None or page.orientation == 1:
            return _write_levels(part, turn_upright(page), software, quality)
        seen = to_upright(screen_file(page, scratch), page.orientation, (0, 1))  # of all rows, one band is in memory
        words = turn_upright(replace(page, samples=page.samples[:1, :1], icc=page.icc and SRGB_ICC, scan=None))
        return _write_levels(part, replace(words, samples=seen), software, quality)


def _write_levels(part: Path, page: Page, software: str, quality: int) -> tuple[str, ...]:
    big = _bytes(page) > _BIG
    levels = [page]
    with _Strict(io.FileIO(part, "w+")) as file, tifffile.TiffWriter(file, bigtiff=big, byteorder="<") as tif:
        while True:
            level, halves = levels[-1], list[Samples]()
            tif.write(
                _jpeg_tiles(level, halves),
                shape=(level.height, level.width, 3),
                dtype=np.uint8,
                tile=(BAND_ROWS, BAND_ROWS),
                photometric="rgb",  # tifffile turns it into YCbCr
                subsampling=(1, 1),
                planarconfig="contig",
                compression="jpeg",
                compressionargs={"level": quality},
                subfiletype=1 if len(levels) > 1 else 0,
                **(_words(page, software) if len(levels) == 1 else {"software": False}),
                metadata=None,
                maxworkers=1,
            )
            if max(level.height, level.width) <= BAND_ROWS:
                break
            levels.append(Page(np.concatenate(halves)))
    notes = _add_exif(part, tuple(levels), big)
    return notes + (("comment not carried by TIFF",) if page.comments else ())


def _jpeg_tiles(page: Page, halves: list[Samples]) -> Iterator[Samples]:
    """The tiles of a page. Its rows at half size are added to `halves`.

    At the edges the last pixels are repeated: JPEG would smear the border of an empty area into the picture."""
    for band in map(np.ascontiguousarray, screen_bands(page)):
        high, wide = (-(-n // 2) for n in band.shape[:2])
        halves.append(cv2.resize(band, (wide, high), interpolation=cv2.INTER_AREA).reshape(high, wide, 3))
        below = BAND_ROWS - len(band)
        for left in range(0, page.width, BAND_ROWS):
            part = band[:, left : left + BAND_ROWS]
            yield np.pad(part, ((0, below), (0, BAND_ROWS - part.shape[1]), (0, 0)), mode="edge")


def _bytes(page: Page) -> int:
    return page.height * page.width * _channels(page) * page.samples.itemsize


def _has_alpha(page: Page) -> bool:
    return page.scan.has_alpha if page.scan else page.alpha is not None


def _extra_channels(page: Page) -> int:
    if page.scan:
        return page.scan.extra_channels
    return 0 if page.extra is None else int(page.extra.shape[2])


def _channels(page: Page) -> int:
    return (3 if page.samples.ndim == 3 else 1) + _has_alpha(page) + _extra_channels(page)


def _pixels(page: Page) -> dict[str, Any]:
    """What tifffile writes: the samples, or for a scan its tiles, which are computed one by one."""
    scan: Scan | None = page.scan
    if scan is None:
        return {"data": convert.stacked(page.samples, page.alpha, page.extra)}
    rows = (np.ascontiguousarray(convert.stacked(*band)) for band in scan.bands())
    shape = (scan.height, scan.width, *([_channels(page)] if _channels(page) > 1 else []))
    return {
        "data": tiled(rows, scan.width),
        "shape": shape,
        "dtype": page.samples.dtype,
        "tile": (BAND_ROWS, BAND_ROWS),
    }


def _write_page(tif: tifffile.TiffWriter, page: Page, software: str, packed: bool) -> None:
    tif.write(
        **_pixels(page),
        photometric="rgb" if page.samples.ndim == 3 else "minisblack",
        subfiletype=1 if page.subfiletype else 0,  # tifffile writes no masks of more than one bit
        planarconfig="contig" if _channels(page) > 1 else None,
        extrasamples=["unassalpha"] * _has_alpha(page) + ["unspecified"] * _extra_channels(page) or None,
        compression="zlib" if packed else None,
        predictor=2 if packed else None,
        **_words(page, software),
        metadata=None,
        maxworkers=1,
    )


def _words(page: Page, software: str) -> dict[str, Any]:
    """The metadata of a page, for tifffile."""
    description = page.description or exif.text(page.exif, exif.DESCRIPTION)
    return {
        "resolution": page.dpi or page.density,
        "resolutionunit": "inch" if page.dpi else "none" if page.density else None,
        "description": description.encode() if description else None,
        "software": software.encode(),
        "iccprofile": page.icc,
        "extratags": _extratags(page),
    }


def _extratags(page: Page) -> list[tiff_tags.Tag]:
    known = {tag[0] for tag in page.tags}
    found: list[tiff_tags.Tag] = [(exif.ORIENTATION, "H", 1, page.orientation, True), *page.tags]
    found += [tag for tag in tiff_tags.from_exif(page.exif)[0] if tag[0] not in known]
    if page.xmp:
        found.append((700, 1, len(page.xmp), page.xmp, True))
    if page.iptc:
        found.append((33723, 7, len(page.iptc), page.iptc, True))
    if page.photoshop:
        found.append((34377, 7, len(page.photoshop), page.photoshop, True))
    return [*found, *((pointer - 1, 4, 1, 0, True) for pointer in _sub_ifds(page))]


def _sub_ifds(page: Page) -> dict[int, dict[int, exif.Entry]]:
    try:
        return exif.sub_ifds(page.exif, exif.first_ifd(page.exif)) if page.exif else {}
    except ValueError:
        return {}


def _add_exif(part: Path, pages: tuple[Page, ...], big: bool) -> tuple[str, ...]:
    """Appends each page's EXIF and GPS directories and points to them, which tifffile cannot do."""
    wanted = [_sub_ifds(page) for page in pages]
    lost = any(page.exif and not exif.main_tags(page.exif) for page in pages)
    notes: tuple[str, ...] = ("damaged EXIF not carried",) if lost else ()
    if not any(wanted):
        return notes
    with tifffile.TiffFile(part) as tif:
        pages_written: list[Any] = list(tif.pages)
        places = [
            {code: page.tags[code - 1].offset for code in found}
            for page, found in zip(pages_written, wanted, strict=True)
        ]
    with part.open("r+b") as file:
        for page, found, place in zip(pages, wanted, places, strict=True):
            source = exif.byte_order(page.exif or exif.EMPTY)
            for pointer, entries in found.items():
                at = file.seek(0, 2)
                at += file.write(bytes(at % 2))
                swapped = {tag: exif.reordered(entry, source, "<") for tag, entry in entries.items()}
                file.write(exif.directory_bytes(swapped, "<", at, big))
                file.seek(place[pointer])
                file.write(struct.pack("<HHQQ", pointer, 18, 1, at) if big else struct.pack("<HHII", pointer, 4, 1, at))
    return notes
