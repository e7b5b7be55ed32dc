"""Reads the 8-bit kinds with Pillow: WebP, BMP, GIF, ...

No kind with 16 bits of colour is read here: Pillow would reduce it to 8 silently.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from PIL import Image, UnidentifiedImageError

from archivecolor.errors import UnreadableError, UnsupportedError
from archivecolor.photo import exif, limits, profiles, read_sgi
from archivecolor.photo import samples as convert
from archivecolor.photo.page import Page, Photo

_FORMAT_NAMES = {"DIB": "bmp", "PPM": "pnm", "JPEG2000": "jp2"}
_VECTOR_FORMATS = {"EPS", "WMF", "MPEG", "HDF5", "GRIB", "BUFR", "PDF"}
_UNCOMPRESSED = {"BMP", "DIB", "PPM", "SGI", "XBM"}
_ANIMATED_FORMATS = {"GIF", "WEBP", "PNG", "AVIF", "TIFF", "ICNS"}
_LOSSY = {"PCD", "AVIF"}
_PCD_SECTOR = 2048
_PCD_ATTRIBUTES = 2048 + 1538
"""Bits 2 and 3 of this byte say how many sizes above the base one a Photo CD picture has."""
_PCD_BASE_END = (96 + 288) * _PCD_SECTOR
_FRAME_HEADER = 16
"""Bytes of position, size and duration before the chunks of a frame in an animated WebP."""
_limit_lock = threading.Lock()


def open_image(data: bytes, max_megapixels: float) -> Image.Image:
    """The picture with its header read and its size checked; pixels are decoded later, by `load`."""
    with pillow_limit(max_megapixels):
        try:
            image = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError as error:
            raise limits.too_large(error, max_megapixels) from error
    limits.check_size(*image.size, max_megapixels)
    return image


@contextmanager
def pillow_limit(max_megapixels: float) -> Iterator[None]:
    """Sets Pillow's own limit, which is one number for the whole process.

    One worker at a time holds it, so only pictures in memory may be opened under it: a slow disk would stop all
    workers.
    """
    with _limit_lock:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = max(1, min(int(max_megapixels * 1e6 / 2) + 1, 1 << 62))
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def read_with_pillow(data: bytes, max_megapixels: float) -> Photo:
    """Any other format that Pillow opens; the first of several frames."""
    try:
        image = open_image(data, max_megapixels)
    except UnidentifiedImageError as error:
        raise UnreadableError("not a picture of any known kind, or its beginning is damaged; copy it again") from error
    if image.format in _VECTOR_FORMATS:
        raise UnsupportedError(f"{image.format} is not a photograph: render it to TIFF first")
    notes = _frames_note(image)
    if read_sgi.is_deep(data):
        colour, alpha = convert.split_alpha(read_sgi.deep_samples(data))
        page = Page(colour, alpha=alpha)
    else:
        page = _page_with_metadata(image)
    name = image.format or ""
    return Photo(
        _FORMAT_NAMES.get(name, name.lower()),
        (replace(page, notes=notes + page.notes),),
        compressed=name not in _UNCOMPRESSED,
        lossless=name not in _LOSSY,
    )


def read_photo_cd(data: bytes, max_megapixels: float) -> Photo:
    """A Photo CD picture (PCD) whose largest size is the base size, 768 x 512.

    Raises:
        UnsupportedError: it has larger sizes, which Pillow does not decode.
    """
    largest = data[_PCD_ATTRIBUTES] >> 2 & 3 if len(data) > _PCD_ATTRIBUTES else 0
    if largest or len(data) > _PCD_BASE_END + _PCD_SECTOR:
        raise UnsupportedError(
            "a Photo CD picture (PCD), of which only a small size can be read here: save its largest size as TIFF "
            "first, for example with pcdtojpeg, or with ImageMagick: magick 'PICTURE.pcd[6]' PICTURE.tif"
        )
    photo = read_with_pillow(data, max_megapixels)
    note = "Photo CD: 768 x 512 pixels, the only size in the file"
    return replace(photo, pages=(replace(photo.pages[0], notes=(*photo.pages[0].notes, note)),))


def read_webp(data: bytes, max_megapixels: float) -> Photo:
    """WebP; the first frame of an animation."""
    photo = read_with_pillow(data, max_megapixels)
    return replace(photo, lossless=_is_lossless_webp(data))


def decoded_page(image: Image.Image, icc: bytes | None = None) -> Page:
    """The decoded samples of an opened picture, without its metadata.

    Args:
        icc: the profile of a CMYK picture, if the picture itself does not have it.
    """
    image.load()
    mode = image.mode
    if mode == "CMYK":
        rgb, note = convert.rgb_from_cmyk(np.asarray(image), icc or image.info.get("icc_profile"))
        return Page(rgb, notes=(note,))
    if mode == "LAB":
        return Page(convert.rgb_from_lab(np.asarray(image), signed=False), notes=("CIELAB converted to sRGB",))
    if mode in ("I", "F"):
        samples, notes = convert.stretch_to_16_bit(np.asarray(image))
        return Page(samples, notes=notes)
    if mode == "1":
        return Page(np.asarray(image.convert("L")), notes=("1 bit read as 8 bit",))
    if mode.startswith("I;16"):
        return Page(np.asarray(image).astype(np.uint16))
    colour, alpha = convert.split_alpha(np.asarray(image.convert(_lossless_mode(image))))
    return Page(colour, alpha=alpha)


def _lossless_mode(image: Image.Image) -> str:
    """The smallest of L, LA, RGB and RGBA that keeps everything in the picture."""
    if image.mode in ("La", "LA"):
        return "LA"
    if image.mode in ("RGBA", "RGBa", "PA") or "transparency" in image.info:
        return "RGBA"
    return "L" if image.mode == "L" else "RGB"


def _page_with_metadata(image: Image.Image) -> Page:
    """The samples of an opened picture with its metadata."""
    return _with_metadata(decoded_page(image), image)


def _with_metadata(page: Page, image: Image.Image) -> Page:
    info = image.info
    block = tiff_block(info.get("exif"))
    icc = info.get("icc_profile")
    # a CMYK or Lab profile was used up when the samples became sRGB
    page = page if image.mode in ("CMYK", "LAB") else profiles.with_profile(page, icc)
    comment = info.get("comment")
    return replace(
        page,
        exif=block,
        orientation=exif.orientation(block),
        dpi=exif.dpi(block) if image.format in ("WEBP", "AVIF") else _dpi(info.get("dpi")),
        density=exif.density(block),
        description=exif.text(block, exif.DESCRIPTION),
        xmp=_packet(info.get("xmp")),
        comments=(comment,) if isinstance(comment, bytes) and comment else (),
    )


def _packet(value: object) -> bytes | None:
    if isinstance(value, str):
        return value.encode()
    return bytes(value) if isinstance(value, bytes) and value else None


def tiff_block(block: bytes | None) -> bytes | None:
    """The EXIF block from its TIFF header on. A block without one can be neither used nor carried."""
    if not block:
        return None
    start = 6 if block.startswith(b"Exif\0\0") else 0
    return block[start:] if block[start : start + 4] in (b"II*\0", b"MM\0*") else None


def _dpi(pair: object) -> tuple[float, float] | None:
    if not isinstance(pair, tuple) or len(pair) != 2:
        return None
    return exif.sensible_dpi(float(pair[0]), float(pair[1]))


def _frames_note(image: Image.Image) -> tuple[str, ...]:
    if image.format not in _ANIMATED_FORMATS or not getattr(image, "is_animated", False):
        return ()
    try:
        return (f"first of {getattr(image, 'n_frames', 1)} frames",)
    except (OSError, EOFError, SyntaxError, ValueError) as error:
        raise UnreadableError(limits.TRUNCATED) from error
    finally:
        image.seek(0)


def _is_lossless_webp(data: bytes) -> bool:
    """Whether the picture, or the first frame of an animation, is compressed without loss."""
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name in (b"VP8L", b"VP8 "):
            return name == b"VP8L"
        if name == b"ANMF":
            at += 8 + _FRAME_HEADER  # the chunks of the frame follow
        else:
            at += 8 + size + size % 2
    return False
