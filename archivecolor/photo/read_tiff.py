"""Reads TIFF and BigTIFF page by page with tifffile, the only library that reads every depth, layout and compression
exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile

from archivecolor.errors import PictureError, UnreadableError, UnsupportedError
from archivecolor.imaging.arrays import Samples
from archivecolor.options import Strips
from archivecolor.photo import limits
from archivecolor.photo import samples as convert
from archivecolor.photo.page import Page, Photo, Scan
from archivecolor.photo.plates import with_plates_marked
from archivecolor.photo.strips import Reduced, bands
from archivecolor.photo.tiff_layout import (
    BLACK_IS_ZERO,
    CIELAB,
    CMYK,
    ICCLAB,
    IMAGE_CODECS,
    PALETTE,
    RGB,
    TRANSPARENCY,
    WHITE_IS_ZERO,
    YCBCR,
    Directory,
    check_is_photograph,
    check_page,
    directories,
    full_pages,
    subsampling_of,
)
from archivecolor.photo.tiff_tags import stated_range, stated_top, value_of, with_metadata, ycbcr_coding
from archivecolor.photo.tiff_ycbcr import read_ycbcr

_COLOR_CHANNELS = {
    WHITE_IS_ZERO: 1,
    BLACK_IS_ZERO: 1,
    PALETTE: 1,
    TRANSPARENCY: 1,
    RGB: 3,
    YCBCR: 3,
    CIELAB: 3,
    ICCLAB: 3,
    CMYK: 4,
}
_UNCOMPRESSED = 1
_ASSOCIATED, _UNASSOCIATED = 1, 2
_TRANSPARENT = (_ASSOCIATED, _UNASSOCIATED)
"""Kinds of extra samples."""
_MAX_MASKS = 3
"""More channels than grey and so many are no scan with saved selections."""
_GEOGRAPHIC_TAGS = (33550, 34735, 42112, 42113)
_PHOTOSHOP_RESOURCES = 34377
_SCAN_MEGAPIXELS = 50.0
"""Memory for a page that is coloured strip by strip: its reduced copy, a row of tiles, and colours of its width."""


def read_tiff(path: Path, file: BinaryIO, max_megapixels: float, strips: Strips) -> Photo:
    """All full pages of a TIFF; thumbnails, masks and SubIFDs are left out with a note.

    Args:
        path: opened again to read the rows of a `scan`.
        file: the open file.
    """
    with tifffile.TiffFile(file) as tif:
        every = directories(tif)
        check_is_photograph(tif, every)
        full = full_pages(every)
        pages = [one.page for one in full]
        pixels = sum(page.imagewidth * page.imagelength for page in pages)
        if len(pages) > 1:
            limits.check_size(1, pixels, max_megapixels, len(pages))
        for page in pages:
            check_page(page, tif.filehandle.size, max_megapixels)
        large = pixels > strips.above * 1e6 and all(map(can_read_in_bands, pages))
        read = [
            _read_page_in_bands(path, tif, one, strips.short_side) if large else _read_page(tif, one) for one in full
        ]
        read = with_plates_marked(read)
        compressed = any(int(page.compression) != _UNCOMPRESSED for page in pages)
        lossless = not any(int(page.compression) in IMAGE_CODECS for page in pages)
    left_out = len(every) - len(read)
    if left_out:
        first = read[0]
        read[0] = replace(first, notes=(*first.notes, f"{left_out} smaller copies or masks in the file left out"))
    return Photo("tiff", tuple(read), compressed=compressed, lossless=lossless)


def can_read_in_bands(page: tifffile.TiffPage) -> bool:
    """Whether a page can be read a few rows at a time. Not if black and white depend on all rows, as for floats."""
    known = page.photometric is not None and int(page.photometric) in _COLOR_CHANNELS
    plain = page.dtype in (np.bool_, np.uint8, np.uint16) and stated_top(page) is None
    return known and plain and subsampling_of(page) == (1, 1)


def measured(file: BinaryIO, strips: Strips) -> float:
    """Megapixels of 8 bits that reading the open file takes in memory, for all pages."""
    with tifffile.TiffFile(file) as tif:
        pages = [one.page for one in full_pages(directories(tif))]
        pixels = sum(page.imagewidth * page.imagelength for page in pages)
        if pixels > strips.above * 1e6 and all(map(can_read_in_bands, pages)):
            return _SCAN_MEGAPIXELS
        return pixels * max(np.dtype(page.dtype).itemsize for page in pages) / 1e6


def _read_page_in_bands(path: Path, tif: tifffile.TiffFile, one: Directory, short_side: int) -> Page:
    """The page as a reduced copy of itself and a `Scan`."""
    page = one.page
    height, width = page.imagelength, page.imagewidth
    reduced, has_alpha, extra_channels = Reduced(height, width, short_side), False, 0
    notes = dict.fromkeys(one.notes)
    for decoded in bands(page, tif):
        colour, alpha, extra, page_notes = _to_page_samples(decoded, page)
        reduced.add(colour)
        notes |= dict.fromkeys(page_notes)
        has_alpha, extra_channels = alpha is not None, 0 if extra is None else extra.shape[2]

    def again() -> Iterator[tuple[Samples, Samples | None]]:
        try:
            with tifffile.TiffFile(path) as tif:
                same_page = directories(tif)[one.index].page
                for decoded in bands(same_page, tif):
                    colour, *others, _ = _to_page_samples(decoded, same_page)
                    yield colour, convert.stacked(*others)
        except (PictureError, GeneratorExit):
            raise
        except Exception as error:
            raise limits.as_picture_error(error) from error

    copy = Page(reduced.samples(), notes=tuple(notes), scan=Scan(height, width, has_alpha, again, extra_channels))
    return with_metadata(copy, tif, page)


def _read_page(tif: tifffile.TiffFile, one: Directory) -> Page:
    page = one.page
    if page.photometric is None or int(page.photometric) not in _COLOR_CHANNELS:
        raise UnsupportedError("stored in an unusual colour system: save it as RGB or grey TIFF first")
    colour, alpha, extra, notes = _to_page_samples(_decoded(tif, page), page)
    return with_metadata(Page(colour, alpha=alpha, extra=extra, notes=one.notes + notes), tif, page)


def _to_page_samples(
    decoded: Samples, page: tifffile.TiffPage
) -> tuple[Samples, Samples | None, Samples | None, tuple[str, ...]]:
    """Rows in the file's own numbers -> grey or RGB samples, their alpha, further channels (H, W, n), and notes on
    what was changed."""
    colour, alpha, extra, notes = _split_channels(decoded, page)
    colour, depth_notes = _to_depth(colour, page, stated_range(page))
    colour, colour_notes = _to_rgb(colour, page)
    alpha, alpha_notes = _in_depth(alpha, page, colour, "transparency")
    extra, extra_notes = _in_depth(extra, page, colour, "infrared or masks")
    associated = next((kind for kind in _extra_kinds(page) if kind in _TRANSPARENT), None) == _ASSOCIATED
    if alpha is not None and associated and alpha.min() < np.iinfo(alpha.dtype).max:
        colour = convert.unpremultiply(colour, alpha)
        alpha_notes += ("colours divided by their transparency",)
    return colour, alpha, extra, notes + depth_notes + colour_notes + alpha_notes + extra_notes


def _decoded(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> Samples:
    """Samples as (H, W) or (H, W, C), in the file's own numbers."""
    if subsampling_of(page) != (1, 1):
        return read_ycbcr(page, tif.filehandle)
    samples = page.asarray(maxworkers=1)
    if page.axes == "SYX":
        samples = np.moveaxis(samples, 0, -1)
    elif page.axes not in ("YX", "YXS"):
        raise UnsupportedError("a volume, not a photograph: export its slices as plain TIFF")
    return np.asarray(samples)


def _extra_kinds(page: tifffile.TiffPage) -> tuple[int, ...]:
    """What each channel beyond the colours is: 0 unknown, 1 and 2 transparency."""
    return tuple(int(kind) for kind in page.extrasamples or ())


def _split_channels(
    samples: Samples, page: tifffile.TiffPage
) -> tuple[Samples, Samples | None, Samples | None, tuple[str, ...]]:
    """The colour channels, the transparency (H, W), the others (H, W, n), and a note on these."""
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    wanted = _COLOR_CHANNELS[int(page.photometric)]
    if int(page.photometric) in (CIELAB, ICCLAB) and channels - len(_extra_kinds(page)) == 1:
        wanted = 1
    spare = channels - wanted
    if spare < 0 or (wanted == 1 and spare > 1 and not _has_masks(page, spare)):
        raise UnsupportedError(
            f"{channels} channels of unknown meaning, as in microscopy or remote sensing: export grey or RGB TIFF"
        )
    if samples.ndim == 2:
        return samples, None, None, ()
    colour = samples[..., 0] if wanted == 1 else samples[..., :wanted]
    transparent = [wanted + i for i, kind in enumerate(_extra_kinds(page)[:spare]) if kind in _TRANSPARENT][:1]
    others = [i for i in range(wanted, channels) if i not in transparent]
    alpha = samples[..., transparent[0]] if transparent else None
    count = "1 extra channel" if len(others) == 1 else f"{len(others)} extra channels"
    notes = (f"{count} (infrared or mask), not coloured",) if others else ()
    return np.ascontiguousarray(colour), alpha, samples[..., others] if others else None, notes


def _has_masks(page: tifffile.TiffPage, spare: int) -> bool:
    """Whether the channels beyond grey are saved selections and not bands of a scientific picture."""
    scientific = page.is_ome or page.is_imagej or any(code in page.tags for code in _GEOGRAPHIC_TAGS)
    return not scientific and (spare <= _MAX_MASKS or _PHOTOSHOP_RESOURCES in page.tags)


def _to_depth(
    samples: Samples, page: tifffile.TiffPage, stated: tuple[float, float] | None = None
) -> tuple[Samples, tuple[str, ...]]:
    """uint8 or uint16 of full range; palette indices stay as they are.

    Args:
        stated: black and white of 32-bit and floating-point samples, if the file states them.
    """
    photometric = int(page.photometric)
    if photometric == PALETTE:
        return samples, ()
    if samples.dtype == np.bool_:
        return samples.astype(np.uint8) * np.uint8(255), ("1 bit read as 8 bit",)
    if samples.dtype in (np.uint8, np.uint16):
        top = stated_top(page)
        if top is not None and samples.max() <= top:
            return convert.spread(samples, top)
        return convert.to_full_range(samples, int(page.bitspersample))
    if samples.dtype.kind not in "uif" or photometric in (YCBCR, CIELAB, ICCLAB):
        raise UnsupportedError(f"samples of type {samples.dtype}, not a photograph: export it as 16-bit TIFF")
    return convert.stretch_to_16_bit(samples, stated)


def _to_rgb(samples: Samples, page: tifffile.TiffPage) -> tuple[Samples, tuple[str, ...]]:
    photometric = int(page.photometric)
    if photometric == WHITE_IS_ZERO:
        return convert.invert(samples), ()
    if photometric == PALETTE:
        return _apply_palette(samples, page), ("palette read as RGB",)
    if photometric == CMYK:
        if value_of(page, 332) not in (None, 1):
            raise UnsupportedError("printing inks other than CMYK: convert it to RGB first")
        rgb, note = convert.rgb_from_cmyk(samples, value_of(page, 34675))
        return rgb, (note,)
    if photometric in (CIELAB, ICCLAB):
        is_icc = photometric == ICCLAB
        if samples.ndim == 2:
            return convert.grey_from_lightness(samples, is_icc), ("CIELAB lightness read as grey",)
        return convert.rgb_from_lab(samples, not is_icc, is_icc), ("CIELAB converted to sRGB",)
    if photometric == YCBCR and int(page.compression) not in IMAGE_CODECS:
        return convert.rgb_from_ycbcr(samples, *ycbcr_coding(page)), ("YCbCr converted to RGB",)
    return samples, ()


def _apply_palette(indices: Samples, page: tifffile.TiffPage) -> Samples:
    table = np.asarray(page.colormap)
    if table.ndim != 2 or table.shape[0] != 3:
        raise UnreadableError(limits.DAMAGED)
    # some writers fill the 16-bit table with 8-bit numbers
    eight = table if table.max() < 256 else convert.to_8_bit(table.astype(np.uint16))
    where = np.minimum(indices.astype(np.intp), table.shape[1] - 1)
    return np.ascontiguousarray(eight.astype(np.uint8).T[where])


def _in_depth(
    channels: Samples | None, page: tifffile.TiffPage, colour: Samples, name: str
) -> tuple[Samples | None, tuple[str, ...]]:
    """Channels that are no colours in the depth of the colours, or a note."""
    if channels is None:
        return None, ()
    depth, _ = _to_depth(np.ascontiguousarray(channels), page)
    if depth.dtype != colour.dtype:
        return None, (f"{name} of another depth left out",)
    return depth, ()
