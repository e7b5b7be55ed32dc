"""Reads TIFF and BigTIFF page by page with tifffile, the only library that reads every depth, layout and compression
exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile
from PIL import Image

from archivecolor.errors import PictureError, UnreadableError, UnsupportedError
from archivecolor.imaging.arrays import Samples
from archivecolor.options import Strips
from archivecolor.photo import limits
from archivecolor.photo import samples as convert
from archivecolor.photo.page import Page, Photo, Scan
from archivecolor.photo.strips import Reduced, bands
from archivecolor.photo.tiff_tags import value_of, with_metadata

_REDUCED, _MASK = 1, 4
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _TRANSPARENCY, _CMYK, _YCBCR, _CIELAB, _ICCLAB = (*range(7), 8, 9)
_COLOR_CHANNELS = {
    _WHITE_IS_ZERO: 1,
    _BLACK_IS_ZERO: 1,
    _PALETTE: 1,
    _TRANSPARENCY: 1,
    _RGB: 3,
    _YCBCR: 3,
    _CIELAB: 3,
    _ICCLAB: 3,
    _CMYK: 4,
}
_CAMERA_RAW = (32803, 34892)
_DNG_VERSION = 50706
_UNCOMPRESSED = 1
_LOSSY_COMPRESSIONS = (6, 7, 34892, 33003, 33005, 34712, 50001, 22610)
_MAX_PAGES = 10_000
_SCAN_MEGAPIXELS = 50.0
"""Memory for a page that is coloured strip by strip: its reduced copy, a row of tiles, and colours of its width."""


def read_tiff(path: Path, file: BinaryIO, max_megapixels: float, strips: Strips) -> Photo:
    """All full pages of a TIFF; thumbnails, masks and SubIFDs are left out with a note.

    Args:
        path: opened again to read the rows of a `scan`.
        file: the open file.
    """
    with tifffile.TiffFile(file) as tif:
        every = _pages(tif)
        _check_is_photograph(tif, every)
        pages = _full_pages(every)
        pixels = sum(page.imagewidth * page.imagelength for page in pages)
        if len(pages) > 1:
            limits.check_size(1, pixels, max_megapixels, len(pages))
        for page in pages:
            _check_page(page, tif.filehandle.size, max_megapixels)
        large = pixels > strips.above * 1e6 and all(map(can_read_in_bands, pages))
        read = [
            _read_page_in_bands(path, tif, page, every.index(page), strips.short_side)
            if large
            else _read_page(file, tif, page, every.index(page))
            for page in pages
        ]
        compressed = any(int(page.compression) != _UNCOMPRESSED for page in pages)
        lossless = not any(int(page.compression) in _LOSSY_COMPRESSIONS for page in pages)
    left_out = len(every) - len(read)
    if left_out:
        first = read[0]
        read[0] = replace(first, notes=(*first.notes, f"{left_out} smaller copies or masks in the file left out"))
    return Photo("tiff", tuple(read), compressed=compressed, lossless=lossless)


def _pages(tif: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Every directory of the file; a damaged or hostile file may have any number of them."""
    count = len(tif.pages)
    if not count:
        raise UnreadableError(limits.DAMAGED)
    if count > _MAX_PAGES:
        raise UnsupportedError(
            f"{count} pages, over the limit of {_MAX_PAGES}: split the file, for example with tiffsplit"
        )
    return [page.aspage() for page in tif.pages]


def _check_is_photograph(tif: tifffile.TiffFile, pages: list[tifffile.TiffPage]) -> None:
    first = pages[0]
    raw = _DNG_VERSION in first.tags or any(int(page.photometric or 0) in _CAMERA_RAW for page in pages)
    reduced_only = all(page.subfiletype & _REDUCED for page in pages) and first.subifds
    if raw or reduced_only:
        raise UnsupportedError("a camera raw file: develop it to TIFF first")
    if tif.is_ome and len(pages) > 1:
        raise UnsupportedError(
            f"a scientific image stack (OME-TIFF of {len(pages)} planes), not photographs: "
            "export the planes you want as plain TIFF"
        )


def _full_pages(pages: list[tifffile.TiffPage]) -> list[tifffile.TiffPage]:
    return [page for page in pages if not page.subfiletype & (_REDUCED | _MASK)] or pages[:1]


def _check_page(page: tifffile.TiffPage, file_size: int, max_megapixels: float) -> None:
    """Refuses pages that would decode to something other than the picture."""
    limits.check_size(page.imagewidth, page.imagelength, max_megapixels)
    if page.imagedepth != 1 or len(page.shape) > 3:
        raise UnsupportedError("a volume, not a photograph: export its slices as plain TIFF")
    if not page.dataoffsets or len(page.dataoffsets) != len(page.databytecounts):
        raise UnreadableError(limits.DAMAGED)
    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        if offset <= 0 or size <= 0:
            raise UnreadableError("damaged: parts of the picture were never written; scan it or copy it again")
        if offset + size > file_size:
            raise UnreadableError(limits.TRUNCATED)


def can_read_in_bands(page: tifffile.TiffPage) -> bool:
    """Whether a page can be read a few rows at a time: floats cannot, because their black and white depend on all
    rows."""
    known = page.photometric is not None and int(page.photometric) in _COLOR_CHANNELS
    return known and page.dtype in (np.bool_, np.uint8, np.uint16) and not _is_left_to_pillow(page)


def measured(file: BinaryIO, strips: Strips) -> float:
    """Megapixels of 8 bits that reading the open file takes in memory, for all pages."""
    with tifffile.TiffFile(file) as tif:
        pages = _full_pages(_pages(tif))
        pixels = sum(page.imagewidth * page.imagelength for page in pages)
        if pixels > strips.above * 1e6 and all(map(can_read_in_bands, pages)):
            return _SCAN_MEGAPIXELS
        return pixels * max(np.dtype(page.dtype).itemsize for page in pages) / 1e6


def _read_page_in_bands(
    path: Path, tif: tifffile.TiffFile, page: tifffile.TiffPage, index: int, short_side: int
) -> Page:
    """The page as a reduced copy of itself and a `Scan`."""
    height, width = page.imagelength, page.imagewidth
    reduced, has_alpha = Reduced(height, width, short_side), False
    notes: dict[str, None] = {}
    for decoded in bands(page, tif):
        colour, alpha, said = _to_page_samples(decoded, page)
        reduced.add(colour)
        notes |= dict.fromkeys(said)
        has_alpha = alpha is not None

    def again() -> Iterator[tuple[Samples, Samples | None]]:
        try:
            with tifffile.TiffFile(path) as tif:
                same_page = tif.pages[index].aspage()
                for decoded in bands(same_page, tif):
                    yield _to_page_samples(decoded, same_page)[:2]
        except (PictureError, GeneratorExit):
            raise
        except Exception as error:
            raise limits.as_picture_error(error) from error

    copy = Page(reduced.samples(), notes=tuple(notes), scan=Scan(height, width, has_alpha, again))
    return with_metadata(copy, tif, page)


def _read_page(file: BinaryIO, tif: tifffile.TiffFile, page: tifffile.TiffPage, index: int) -> Page:
    if page.photometric is None or int(page.photometric) not in _COLOR_CHANNELS:
        raise UnsupportedError("stored in an unusual colour system: save it as RGB or grey TIFF first")
    colour, alpha, notes = _to_page_samples(_decoded(file, page, index), page)
    if page.subifds:
        notes += (f"{len(page.subifds)} smaller copies (SubIFDs) left out",)
    return with_metadata(Page(colour, alpha=alpha, notes=notes), tif, page)


def _to_page_samples(decoded: Samples, page: tifffile.TiffPage) -> tuple[Samples, Samples | None, tuple[str, ...]]:
    """Rows in the file's own numbers -> grey or RGB samples, their alpha, and notes on what was changed."""
    colour, extra, notes = _split_channels(decoded, page)
    colour, depth_notes = _to_depth(colour, page)
    colour, colour_notes = _to_rgb(colour, page)
    alpha, alpha_notes = _alpha(extra, page, colour)
    if alpha is not None and int(page.extrasamples[0]) == 1 and alpha.min() < np.iinfo(alpha.dtype).max:
        colour = convert.unpremultiply(colour, alpha)
        alpha_notes += ("colours divided by their transparency",)
    return colour, alpha, notes + depth_notes + colour_notes + alpha_notes


def _decoded(file: BinaryIO, page: tifffile.TiffPage, index: int) -> Samples:
    """Samples as (H, W) or (H, W, C), in the file's own numbers."""
    if _is_left_to_pillow(page):
        with Image.open(file) as image:  # 8 bit by definition, and tifffile does not undo its subsampling
            image.seek(index)
            return np.asarray(image.convert("RGB"))
    samples = page.asarray(maxworkers=1)
    if page.axes == "SYX":
        samples = np.moveaxis(samples, 0, -1)
    elif page.axes not in ("YX", "YXS"):
        raise UnsupportedError("a volume, not a photograph: export its slices as plain TIFF")
    return np.asarray(samples)


def _is_left_to_pillow(page: tifffile.TiffPage) -> bool:
    subsampled = int(page.photometric) == _YCBCR and tuple(page.subsampling or (1, 1)) != (1, 1)
    return subsampled and not _is_image_codec(page)


def _is_image_codec(page: tifffile.TiffPage) -> bool:
    return int(page.compression) in _LOSSY_COMPRESSIONS


def _split_channels(samples: Samples, page: tifffile.TiffPage) -> tuple[Samples, Samples | None, tuple[str, ...]]:
    """The colour channels, the first extra channel (H, W), and a note on the others."""
    wanted = _COLOR_CHANNELS[int(page.photometric)]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    spare = channels - wanted
    if spare < 0 or (wanted == 1 and spare > 1):
        raise UnsupportedError(
            f"{channels} channels of unknown meaning, as in microscopy or remote sensing: export grey or RGB TIFF"
        )
    if samples.ndim == 2:
        return samples, None, ()
    colour = samples[..., 0] if wanted == 1 else samples[..., :wanted]
    extra = samples[..., wanted] if spare else None
    notes = (f"{spare - 1} extra channels left out",) if spare > 1 else ()
    return np.ascontiguousarray(colour), extra, notes


def _to_depth(samples: Samples, page: tifffile.TiffPage) -> tuple[Samples, tuple[str, ...]]:
    """uint8 or uint16 of full range; palette indices stay as they are."""
    if int(page.photometric) == _PALETTE:
        return samples, ()
    if samples.dtype == np.bool_:
        return samples.astype(np.uint8) * np.uint8(255), ("1 bit read as 8 bit",)
    if samples.dtype in (np.uint8, np.uint16):
        return convert.to_full_range(samples, int(page.bitspersample))
    if samples.dtype.kind in "uif":
        return convert.stretch_to_16_bit(samples)
    raise UnsupportedError(f"samples of type {samples.dtype}, not a photograph: export it as 16-bit TIFF")


def _to_rgb(samples: Samples, page: tifffile.TiffPage) -> tuple[Samples, tuple[str, ...]]:
    photometric = int(page.photometric)
    if photometric == _WHITE_IS_ZERO:
        return convert.invert(samples), ()
    if photometric == _PALETTE:
        return _apply_palette(samples, page), ("palette read as RGB",)
    if photometric == _CMYK:
        if value_of(page, 332) not in (None, 1):
            raise UnsupportedError("printing inks other than CMYK: convert it to RGB first")
        rgb, note = convert.rgb_from_cmyk(samples, value_of(page, 34675))
        return rgb, (note,)
    if photometric in (_CIELAB, _ICCLAB):
        return convert.rgb_from_lab(samples, signed=photometric == _CIELAB), ("CIELAB converted to sRGB",)
    if photometric == _YCBCR and not _is_image_codec(page) and tuple(page.subsampling or (1, 1)) == (1, 1):
        return convert.rgb_from_ycbcr(samples), ("YCbCr converted to RGB",)
    return samples, ()


def _apply_palette(indices: Samples, page: tifffile.TiffPage) -> Samples:
    table = np.asarray(page.colormap)
    if table.ndim != 2 or table.shape[0] != 3:
        raise UnreadableError(limits.DAMAGED)
    # some writers fill the 16-bit table with 8-bit numbers
    eight = table if table.max() < 256 else convert.to_8_bit(table.astype(np.uint16))
    where = np.minimum(indices.astype(np.intp), table.shape[1] - 1)
    return np.ascontiguousarray(eight.astype(np.uint8).T[where])


def _alpha(extra: Samples | None, page: tifffile.TiffPage, colour: Samples) -> tuple[Samples | None, tuple[str, ...]]:
    if extra is None:
        return None, ()
    if int(page.extrasamples[0] if page.extrasamples else 0) not in (1, 2):
        return None, ("1 extra channel (infrared or mask) left out",)
    depth, _ = _to_depth(np.ascontiguousarray(extra), page)
    if depth.dtype != colour.dtype:
        return None, ("transparency of another depth left out",)
    return depth, ()
