"""Writes picture files: whole or not at all, with the same bytes for the same input, and with all metadata."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np

from archivecolor.errors import UnsupportedError, listed
from archivecolor.files import atomic_write, make_folders, write_error
from archivecolor.photo import containers, exif
from archivecolor.photo.encoding import (
    Encoded,
    dropped_notes,
    encode_with_pillow,
    exif_block,
    image,
    photoshop_block,
    stacked,
    to_8_bit,
    turn_upright,
    whole_numbers,
    without_a_place,
)
from archivecolor.photo.page import FORMAT_SUFFIXES, SRGB_ICC, Page, Photo
from archivecolor.photo.screen import screen_samples
from archivecolor.photo.write_jpeg import encode_jpeg
from archivecolor.photo.write_tiff import write_pyramid, write_tiff

_LOSSY_SOURCES = {"heic", "pcd", "mpo"}
_SIDE_LIMITS = {"jpeg": 65_500, "webp": 16_383, "avif": 65_535}
_PNG_KEYWORDS = {315: b"Author", 33432: b"Copyright", 269: b"Title"}

_JP2_TILE, _JP2_DECIBELS, _JP2_LEAST_LOSSY = 1024, 42, 32
"""Of a JP2 for image servers: the side of its tiles, its peak signal-to-noise ratio, and the short side in pixels below
which it is lossless, because nothing is saved there."""
_UPRIGHT_FORMATS = frozenset(("avif", "bmp", "jp2"))
"""Formats whose orientation viewers ignore: pictures are turned upright before they are written."""
_SELF_ORIENTED = frozenset(("avif", "heic", "jxl"))
"""Formats whose container has the orientation; what EXIF and XMP say of it does not count."""


def writable_format(photo: Photo, requested: str) -> str:
    """The format to write: the one requested, or for `same` the source's own.

    A source that is read but not written (gif, pnm, psd, ico, ...) becomes png, which keeps 16 bits and transparency.
    A lossy source (heic, pcd, most jxl) becomes jpeg, unless it has something that jpeg would lose.
    """
    if requested != "same":
        return requested
    if photo.format in FORMAT_SUFFIXES:
        return photo.format
    first = photo.pages[0]
    plain = first.samples.dtype == np.uint8 and first.alpha is None
    lossy = photo.format in _LOSSY_SOURCES or not photo.lossless
    return "jpeg" if plain and lossy else "png"


def decisive_orientation(page: Page, source_format: str, format: str) -> int | None:
    """The orientation of a page once it is written, 1 to 8, where its XMP must state the same: its pixels are turned
    for the format, or the container that it was read from decides; else None."""
    if page.orientation != 1 and format in _UPRIGHT_FORMATS:
        return 1
    return page.orientation if source_format in _SELF_ORIENTED else None


def suffix_for(format: str, source_suffix: str) -> str:
    """The source's own suffix (`.JPG`, `.tiff`) if it fits the format, else the format's usual one."""
    known = FORMAT_SUFFIXES[format]
    return source_suffix if source_suffix.lower() in known else known[0]


def write(
    path: Path,
    photo: Photo,
    format: str,
    quality: int = 95,
    software: str = "archivecolor",
    xmp: bytes | None = None,
    tiled: bool = False,
) -> tuple[str, ...]:
    """Writes the pages, (H, W) or (H, W, 3) in uint8 or uint16, and embeds each page's own `icc`.

    Args:
        format: jpeg, png, tiff, webp, bmp, jp2 or avif. TIFF, PNG and JP2 keep 16 bits; TIFF, PNG, BMP and JP2 keep
            every sample; only TIFF has more than one page.
        quality: 1 to 100, for JPEG, AVIF and WebP; WebP is lossless at 100, or if its source was lossless WebP.
        xmp: replaces every page's own packet.
        tiled: the form for image servers, of one page in 8 bits: a TIFF with JPEG in tiles and reduced copies, or a JP2
            with tiles and levels, not lossless.

    Returns:
        Notes on what the format could not carry.

    Raises:
        UnsupportedError: the format cannot contain this picture.
        OutputError, PictureError: it cannot be written; see `files.write_error`. What was at `path` is still there.
    """
    pages = tuple(_with_valid_profile(page, xmp) for page in photo.pages if format == "tiff" or not page.is_plate)
    lost = _tiff_only_notes(photo, format)
    photo = replace(photo, pages=pages)
    _check_fits(photo, format)
    lost += tuple(note for page in pages for note in _extras_notes(page, format))
    if format == "tiff" and tiled:
        return lost + _write_atomically(path, lambda part: write_pyramid(part, pages[0], software, quality))
    if format == "tiff":
        return lost + _write_atomically(path, lambda part: write_tiff(part, photo, software))
    encode = _jp2_in_tiles if tiled else _ENCODERS[format]
    content, notes = encode(pages[0], photo, quality, software)
    _write_atomically(path, lambda part: _write_bytes(part, content))
    return notes + lost


def _extras_notes(page: Page, format: str) -> Iterator[str]:
    """Notes on what only the format of the source can hold."""
    labels = list(dict.fromkeys(each.label for each in page.extras if each.format != format and each.label))
    if labels:
        yield f"{page.extras[0].format.upper()}: {listed(labels)} not carried by {format.upper()}"


def _write_atomically(path: Path, writer: Callable[[Path], tuple[str, ...]]) -> tuple[str, ...]:
    try:
        make_folders(path.parent)
        with atomic_write(path) as part:
            return writer(part)
    except OSError as error:
        raise write_error(path, error) from error


def _write_bytes(part: Path, content: bytes) -> tuple[str, ...]:
    part.write_bytes(content)
    return ()


def _with_valid_profile(page: Page, xmp: bytes | None) -> Page:
    """The page without a grey profile on colour samples, which strict readers would refuse."""
    grey_on_colour = page.icc is not None and page.samples.ndim == 3 and page.icc[16:20] == b"GRAY"
    icc = SRGB_ICC if grey_on_colour else page.icc
    space = exif.SRGB if icc in (None, SRGB_ICC) else exif.UNCALIBRATED
    block = exif.with_color_space(page.exif, space) if page.exif else page.exif
    return replace(page, icc=icc, exif=block, xmp=page.xmp if xmp is None else xmp)


def _tiff_only_notes(photo: Photo, format: str) -> tuple[str, ...]:
    """Notes on pages and channels that only TIFF can contain."""
    plates = any(page.is_plate for page in photo.pages)
    extra = any(page.extra is not None or (page.scan and page.scan.extra_channels) for page in photo.pages)
    lost = {"infrared page": plates, "infrared or mask channel": extra} if format != "tiff" else {}
    return tuple(f"{part} not carried by {format.upper()}" for part, present in lost.items() if present)


def _check_fits(photo: Photo, format: str) -> None:
    if format not in FORMAT_SUFFIXES:
        raise UnsupportedError(f"{format} cannot be written: use --format {'|'.join(FORMAT_SUFFIXES)}")
    if len(photo.pages) > 1 and format != "tiff":
        raise UnsupportedError(f"{len(photo.pages)} pages do not fit into one {format.upper()}: use --format tiff")
    limit = _SIDE_LIMITS.get(format, 1 << 31)
    for page in photo.pages:
        if max(page.width, page.height) > limit:
            raise UnsupportedError(
                f"{page.width} x {page.height} pixels: {format.upper()} ends at {limit} a side: use --format tiff"
            )


def _png(page: Page, photo: Photo, quality: int, software: str) -> Encoded:
    block, notes = exif_block(page, software)
    parts = []
    if page.icc is not None:
        parts.append(containers.png_chunk(b"iCCP", b"ICC profile\0\0" + containers.deflated(page.icc)))
    if page.dpi is not None:
        parts.append(containers.png_chunk(b"pHYs", struct.pack(">IIB", *(round(v / 0.0254) for v in page.dpi), 1)))
    elif page.density is not None:
        parts.append(containers.png_chunk(b"pHYs", struct.pack(">IIB", *whole_numbers(page.density), 0)))
    if block is not None:
        parts.append(containers.png_chunk(b"eXIf", block))
    if page.xmp is not None:
        parts.append(containers.png_text(containers.XMP_KEYWORD, page.xmp))
    resources = photoshop_block(page)
    if resources:
        parts.append(containers.png_raw_profile(b"iptc", resources))
    chunks = [each.content for each in page.extras if each.format == "png"]
    parts += chunks
    # readers that want one Software take the last, and it must say who made the colours
    parts += [containers.png_text(key, text) for key, text in _png_texts(page, software, _keywords(chunks))]
    # the header chunk must come first; text chunks may stand anywhere
    return containers.png_spliced(bytes(imagecodecs.png_encode(stacked(page), level=6)), b"".join(parts)), notes


def _keywords(chunks: list[bytes]) -> frozenset[bytes]:
    """Those of the text chunks among whole PNG chunks."""
    names = (b"tEXt", b"zTXt", b"iTXt")
    return frozenset(containers.png_keyword(chunk[8:-4]) for chunk in chunks if chunk[4:8] in names)


def _png_texts(page: Page, software: str, present: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """Keyword and text of what the page has for text chunks.

    Args:
        present: the keywords that the file has already.
    """
    texts = [(_PNG_KEYWORDS[code], value) for code, _, _, value, _ in page.tags if code in _PNG_KEYWORDS]
    if page.description:
        texts.append((b"Description", page.description.encode()))
    texts += [(b"Comment", exif.decoded(comment).encode()) for comment in page.comments]
    return [*(each for each in texts if each[0] not in present), (b"Software", software.encode())]


def _webp(page: Page, photo: Photo, quality: int, software: str) -> Encoded:
    page, notes = to_8_bit(page, "WebP")
    block, more = exif_block(page, software, with_dpi=True)
    lossless = quality >= 100 or (photo.format == "webp" and photo.lossless)
    options = {
        "lossless": lossless,
        "exact": True,
        "quality": 100 if lossless else quality,
        "method": 4,
        "exif": b"Exif\0\0" + block if block else None,
        "xmp": page.xmp,
        "icc_profile": page.icc,
    }
    notes += more + dropped_notes(page, "WebP", IPTC=page.iptc, **without_a_place(page))
    return encode_with_pillow(image(page), "WEBP", options), notes


def _avif(page: Page, photo: Photo, quality: int, software: str) -> Encoded:
    page, notes = to_8_bit(turn_upright(page), "AVIF")
    block, more = exif_block(page, software, with_dpi=True)
    # Pillow rewrites a block that names an orientation, and loses what is not ASCII in it
    block = exif.with_tags(block, {}, dropped=exif.ORIENTATION) if block else None
    options = {
        "quality": quality,
        "subsampling": "4:4:4",
        "max_threads": 1,
        "exif": block,
        "xmp": page.xmp,
        "icc_profile": page.icc,
    }
    notes += more + dropped_notes(page, "AVIF", IPTC=page.iptc, **without_a_place(page))
    return encode_with_pillow(image(page), "AVIF", options), notes


def _bmp(page: Page, photo: Photo, quality: int, software: str) -> Encoded:
    page, notes = to_8_bit(turn_upright(page), "BMP")
    foreign = page.icc if page.icc != SRGB_ICC else None
    lost: dict[str, object] = {
        "colour profile": foreign,
        "transparency": page.alpha,
        "EXIF": page.exif,
        "XMP": page.xmp,
    }
    lost |= {"IPTC": page.iptc, "caption": page.description, "shape of the pixels": page.density}
    notes += dropped_notes(page, "BMP", **lost, **without_a_place(page))
    return encode_with_pillow(image(replace(page, alpha=None)), "BMP", {"dpi": page.dpi}), notes


def _jp2(page: Page, photo: Photo, quality: int, software: str) -> Encoded:
    page = turn_upright(page)
    data = imagecodecs.jpeg2k_encode(stacked(page), level=0, codecformat="jp2", reversible=True)
    return _with_boxes(bytes(data), page, software)


def _jp2_in_tiles(page: Page, photo: Photo, quality: int, software: str) -> Encoded:
    """With Pillow, because imagecodecs writes no tiles. The resolution comes first in the stream, and its index (PLT)
    lets a server read one tile at one level alone."""
    page = turn_upright(replace(page, samples=screen_samples(page), scan=None))
    side = min(page.height, page.width, _JP2_TILE)
    options = {
        "tile_size": (_JP2_TILE, _JP2_TILE),
        "num_resolutions": min(6, side.bit_length()),
        "precinct_size": (256, 256),
        "progression": "RPCL",
        "plt": True,
        "mct": 1,
        "irreversible": side >= _JP2_LEAST_LOSSY,
        "quality_mode": "dB",
        "quality_layers": [_JP2_DECIBELS] if side >= _JP2_LEAST_LOSSY else None,
    }
    return _with_boxes(encode_with_pillow(image(page), "JPEG2000", options), page, software)


def _with_boxes(data: bytes, page: Page, software: str) -> Encoded:
    """A JP2 of an upright page with its metadata."""
    block, notes = exif_block(page, software, with_dpi=page.dpi is None)
    notes += dropped_notes(page, "JP2", **without_a_place(page))
    packets = [(containers.UUID_EXIF, block), (containers.UUID_XMP, page.xmp), (containers.UUID_IPTC, page.iptc)]
    tail = b"".join(containers.box(b"uuid", name + packet) for name, packet in packets if packet)
    tail += b"".join(each.content for each in page.extras if each.format == "jp2")
    return _with_jp2_header(data, page) + tail, notes


def _with_jp2_header(data: bytes, page: Page) -> bytes:
    """The JP2 with profile, alpha and resolution in its header box."""
    _, start, end = next(box for box in containers.boxes(data) if box[0] == b"jp2h")
    parts = b"".join(
        containers.box(name, data[a:b]) for name, a, b in containers.boxes(data, start, end) if name != b"colr"
    )
    enumerated = 16 if page.samples.ndim == 3 else 17
    colr = b"\2\0\0" + page.icc if page.icc is not None else struct.pack(">BBBI", 1, 0, 0, enumerated)
    parts += containers.box(b"colr", colr)
    if page.alpha is not None:
        colours = 3 if page.samples.ndim == 3 else 1
        rows = [(i, 0, i + 1) for i in range(colours)] + [(colours, 1, 0)]
        parts += containers.box(
            b"cdef", struct.pack(">H", len(rows)) + b"".join(struct.pack(">3H", *row) for row in rows)
        )
    if page.dpi is not None:
        parts += containers.box(b"res ", containers.box(b"resc", containers.jp2_resolution(page.dpi)))
    return data[: start - 8] + containers.box(b"jp2h", parts) + data[end:]


_ENCODERS: dict[str, Callable[[Page, Photo, int, str], Encoded]] = {
    "jpeg": encode_jpeg,
    "png": _png,
    "webp": _webp,
    "avif": _avif,
    "bmp": _bmp,
    "jp2": _jp2,
}
