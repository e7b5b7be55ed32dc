"""The directories of a TIFF: which are pages of the picture, and tags that libtiff mends, too, when it reads them."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import tifffile

from archivecolor.errors import UnreadableError, UnsupportedError
from archivecolor.photo import limits

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, TRANSPARENCY, CMYK, YCBCR, CIELAB, ICCLAB = (*range(7), 8, 9)
_UNCOMPRESSED, _OLD_JPEG, _JPEG = 1, 6, 7
IMAGE_CODECS = (6, 7, 34892, 33003, 33005, 34712, 50001, 22610)
"""Compressions that may be lossy and that convert the colour system themselves."""
_FAX = (2, 3, 4, 32771)
_REDUCED, _MASK = 1, 4
_PHOTOMETRIC, _DNG_VERSION = 262, 50706
_CAMERA_RAW, _LINEAR_RAW = 32803, 34892
_MAX_PAGES = 10_000
_ABSURD = 1 << 31
"""A strip that states so many bytes and does not have them is damaged, not mistaken."""
_NEVER_WRITTEN = "damaged: parts of the picture were never written; scan it or copy it again"


@dataclass(frozen=True)
class Directory:
    """A directory of a TIFF, mended."""

    page: tifffile.TiffPage
    index: int
    notes: tuple[str, ...]
    """What was mended or left out."""


def directories(tif: tifffile.TiffFile) -> list[Directory]:
    """Every directory of the file; a damaged or hostile file may have any number of them.

    Raises:
        UnreadableError: there is none.
        UnsupportedError: there are too many.
    """
    count = len(tif.pages)
    if not count:
        raise UnreadableError(limits.DAMAGED)
    if count > _MAX_PAGES:
        raise UnsupportedError(
            f"{count} pages, over the limit of {_MAX_PAGES}: split the file, for example with tiffsplit"
        )
    pages = [page.aspage() for page in tif.pages]
    occupied: list[int] = []
    made = []
    for index, page in enumerate(pages):
        notes = _mend_photometric(page)
        if _has_odd_sizes(page, tif.filehandle.size):
            occupied = occupied or _occupied(tif, pages)
            notes += _mend_sizes(page, occupied)
        if page.subifds:
            notes += (f"{len(page.subifds)} smaller copies (SubIFDs) left out",)
        made.append(Directory(page, index, notes))
    return made


def full_pages(every: list[Directory]) -> list[Directory]:
    """The pages without thumbnails and small masks. If all call themselves reduced, the largest of them."""
    full = [one for one in every if not one.page.subfiletype & (_REDUCED | _MASK)]
    if full:
        return [one for one in every if one in full or _is_marked_plate(one, every)]
    most = max(_pixels(one.page) for one in every)
    return [one for one in every if _pixels(one.page) == most and not one.page.subfiletype & _MASK] or every[:1]


def _is_marked_plate(one: Directory, every: list[Directory]) -> bool:
    """Whether a page that is marked as a mask or a copy has all pixels and tones of the one before, as infrared has."""
    page, before = one.page, every[one.index - 1].page if one.index else one.page
    same = all(getattr(page, name) == getattr(before, name) for name in ("imagewidth", "imagelength", "bitspersample"))
    return page is not before and same and page.samplesperpixel == 1 and page.bitspersample != 1


def check_is_photograph(tif: tifffile.TiffFile, every: list[Directory]) -> None:
    """Raises UnsupportedError for camera raw files and scientific stacks."""
    pages = [one.page for one in every]
    kinds = {int(page.photometric or 0) for page in pages}
    if _LINEAR_RAW in kinds and _CAMERA_RAW not in kinds:
        raise UnsupportedError("a raw scan (linear DNG): save it as TIFF in the scanner's program")
    raw = _DNG_VERSION in pages[0].tags or _CAMERA_RAW in kinds or _is_canon_raw(tif)
    if raw or (pages[0].subifds and all(page.subfiletype & _REDUCED for page in pages)):
        raise UnsupportedError("a camera raw file: develop it to TIFF first")
    if tif.is_ome and len(pages) > 1:
        raise UnsupportedError(
            f"a scientific image stack (OME-TIFF of {len(pages)} planes), not photographs: "
            "export the planes you want as plain TIFF"
        )


def _is_canon_raw(tif: tifffile.TiffFile) -> bool:
    tif.filehandle.seek(8)
    return bool(tif.filehandle.read(2) == b"CR")


def check_page(page: tifffile.TiffPage, file_size: int, max_megapixels: float) -> None:
    """Refuses pages that would decode to something other than the picture."""
    limits.check_size(page.imagewidth, page.imagelength, max_megapixels)
    if page.imagedepth != 1 or len(page.shape) > 3:
        raise UnsupportedError("a volume, not a photograph: export its slices as plain TIFF")
    if not page.dataoffsets or len(page.dataoffsets) != len(page.databytecounts):
        raise UnreadableError(limits.DAMAGED)
    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
        if offset <= 0 or size <= 0:
            raise UnreadableError(_NEVER_WRITTEN)
        if offset + size > file_size:
            raise UnreadableError(limits.TRUNCATED)
    needed = _needed_sizes(page)
    if any(size < least for size, least in zip(page.databytecounts, needed, strict=False)):
        raise UnreadableError(_NEVER_WRITTEN)


def subsampling_of(page: tifffile.TiffPage) -> tuple[int, int]:
    """How many values of Y, across and down, have one value of Cb and Cr in the file; (1, 1) for other systems."""
    if int(page.photometric or 0) != YCBCR or int(page.compression) in IMAGE_CODECS:
        return 1, 1
    horizontal, vertical = page.subsampling or (2, 2)  # the default of TIFF 6.0
    return int(horizontal), int(vertical)


def _pixels(page: tifffile.TiffPage) -> int:
    return int(page.imagewidth * page.imagelength)


def _mend_photometric(page: tifffile.TiffPage) -> tuple[str, ...]:
    """Sets the colour system of a page that does not state it, as libtiff does."""
    if _PHOTOMETRIC in page.tags or int(page.compression) == _OLD_JPEG or int(page.compression) in _FAX:
        return ()
    channels = int(page.samplesperpixel) - len(page.extrasamples or ())
    rgb = YCBCR if int(page.compression) == _JPEG else RGB
    page.photometric = {1: BLACK_IS_ZERO, 3: rgb}.get(channels)  # type: ignore[assignment]
    named = {1: "grey with black as zero", 3: "RGB"}.get(channels)
    return (f"the file does not state its colour system (PhotometricInterpretation): read as {named}",)


# --- sizes of strips and tiles ----------------------------------------------------------------------------------------


def segment_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    """(rows, columns) of a tile, or of a strip."""
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return min(int(page.rowsperstrip or page.imagelength), int(page.imagelength)), int(page.imagewidth)


def _needed_sizes(page: tifffile.TiffPage) -> list[int]:
    """The bytes of each uncompressed strip or tile; empty for a compressed page."""
    if int(page.compression) != _UNCOMPRESSED or not isinstance(page.bitspersample, int) or not page.imagelength:
        return []
    rows, width = segment_shape(page)
    if not rows or not width:
        return []
    down, across = -(-page.imagelength // rows), -(-page.imagewidth // width) if page.is_tiled else 1
    last = rows if page.is_tiled else page.imagelength - (down - 1) * rows
    planes, channels = (int(page.samplesperpixel), 1) if page.planarconfig == 2 else (1, int(page.samplesperpixel))
    if across * down * planes != len(page.dataoffsets):
        return []

    def size(count: int) -> int:
        horizontal, vertical = subsampling_of(page)
        if (horizontal, vertical) != (1, 1):
            return int(-(-count // vertical) * -(-width // horizontal) * (horizontal * vertical + 2))
        return int(count * -(-width * channels * page.bitspersample // 8))

    plane = [size(rows)] * (across * (down - 1)) + [size(last)] * across
    return plane * planes


def _is_one_strip(page: tifffile.TiffPage) -> bool:
    return not page.is_tiled and segment_shape(page)[0] >= page.imagelength


def _has_odd_sizes(page: tifffile.TiffPage, file_size: int) -> bool:
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    short = any(size < least for (_, size), least in zip(segments, _needed_sizes(page), strict=False))
    return short or any(size == 0 or offset + size > file_size for offset, size in segments)


def _occupied(tif: tifffile.TiffFile, pages: list[tifffile.TiffPage]) -> list[int]:
    """Where known parts of the file begin: directories, values of tags, strips and tiles, and the end."""
    end = tif.filehandle.size
    places = {end}
    for page in pages:
        places |= {page.offset, *page.dataoffsets, *(tag.valueoffset for tag in page.tags.values())}
    return sorted(place for place in places if place <= end)


def _mend_sizes(page: tifffile.TiffPage, occupied: list[int]) -> tuple[str, ...]:
    """Replaces sizes of strips that cannot be true, if what they should be lies in the file before anything else."""
    needed = _needed_sizes(page) or [0] * len(page.dataoffsets)
    if len(needed) != len(page.dataoffsets) or len(needed) != len(page.databytecounts):
        return ()
    sizes = []
    for offset, size, least in zip(page.dataoffsets, page.databytecounts, needed, strict=True):
        after = bisect_right(occupied, offset)
        space = occupied[after] - offset if offset > 0 and after < len(occupied) else 0
        beyond_end = occupied[-1] < offset + size < offset + _ABSURD
        if least and least <= space and (beyond_end or (size < least and _is_one_strip(page))):
            size = least
        elif not least and not size and _is_one_strip(page):
            size = space
        sizes.append(size)
    if tuple(sizes) == tuple(page.databytecounts):
        return ()
    page.databytecounts = tuple(sizes)
    return ("the file states a wrong size of its strips (StripByteCounts): read by the size of the picture",)
