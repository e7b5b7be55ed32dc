"""Reads the 8-bit kinds with Pillow: WebP, AVIF, BMP, GIF, ... and HEIC with pillow-heif.

No kind with 16 bits of colour is read here: Pillow would reduce it to 8 silently.
"""

from __future__ import annotations

import importlib
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import imagecodecs
import numpy as np
from PIL import Image, UnidentifiedImageError

from archivecolor.errors import UnreadableError, UnsupportedError
from archivecolor.photo import exif, limits, profiles
from archivecolor.photo import samples as convert
from archivecolor.photo.page import Page, Photo

_FORMAT_NAMES = {"DIB": "bmp", "PPM": "pnm", "JPEG2000": "jp2"}
_VECTOR_FORMATS = {"EPS", "WMF", "MPEG", "HDF5", "GRIB", "BUFR", "PDF"}
_UNCOMPRESSED = {"BMP", "DIB", "PPM", "SGI", "XBM"}
_ANIMATED_FORMATS = {"GIF", "WEBP", "PNG", "AVIF", "TIFF", "ICNS"}
_LOSSY = {"PCD", "AVIF"}
_SIZES_SEARCHED = 1 << 16
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
    page = _page_with_metadata(image)
    name = image.format or ""
    return Photo(
        _FORMAT_NAMES.get(name, name.lower()),
        (replace(page, notes=notes + page.notes),),
        compressed=name not in _UNCOMPRESSED,
        lossless=name not in _LOSSY,
    )


def read_webp(data: bytes, max_megapixels: float) -> Photo:
    """WebP; the first frame of an animation."""
    photo = read_with_pillow(data, max_megapixels)
    return replace(photo, lossless=any(name == b"VP8L" for name in _riff_chunks(data)))


def read_avif(data: bytes, max_megapixels: float) -> Photo:
    """AVIF, also of 10 or 12 bits; the first frame of an animation."""
    _check_declared_sizes(data, max_megapixels)
    photo = read_with_pillow(data, max_megapixels)
    at = data.find(b"av1C")
    flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
    if not flags & 0x40:
        return photo
    bits = 12 if flags & 0x20 else 10
    deep = np.asarray(imagecodecs.avif_decode(data, index=0))
    if deep.shape[:2] != photo.pages[0].samples.shape[:2]:
        return photo
    deep, notes = convert.to_full_range(deep, bits)
    colour, alpha = convert.split_alpha(deep)
    page = replace(photo.pages[0], samples=colour, alpha=alpha, notes=photo.pages[0].notes + notes)
    return replace(photo, pages=(page,))


def read_heic(data: bytes, max_megapixels: float) -> Photo:
    """HEIC, if pillow-heif is installed; its decoder turns the picture upright."""
    try:
        pillow_heif = importlib.import_module("pillow_heif")
    except ImportError:
        raise UnsupportedError("HEIC needs one more package: pip install 'archivecolor[heic]'") from None
    _check_declared_sizes(data, max_megapixels)
    image = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    width, height = image.size
    limits.check_size(width, height, max_megapixels)
    bits = int(image.info.get("bit_depth", 8))
    colour, alpha = convert.split_alpha(np.asarray(image))
    notes = () if bits == 8 else (f"{bits} bit read as 16 bit",)
    iptc = [part["data"] for part in image.info.get("metadata", ()) if part.get("type") == "iptc"]
    page = Page(
        colour,
        alpha=alpha,
        exif=_tiff_block(image.info.get("exif")),
        xmp=image.info.get("xmp"),
        iptc=iptc[0] if iptc else None,
        notes=notes,
    )
    page = profiles.with_profile(page, image.info.get("icc_profile"))
    page = replace(page, description=exif.text(page.exif, exif.DESCRIPTION), dpi=exif.dpi(page.exif))
    return Photo("heic", (page,), lossless=False)


def _check_declared_sizes(data: bytes, max_megapixels: float) -> None:
    """Checks every size in the header of an AVIF or HEIC: their decoders refuse large ones without saying so."""
    at = data.find(b"ispe\0\0\0\0", 0, _SIZES_SEARCHED)
    while at >= 0:
        width, height = (int.from_bytes(data[i : i + 4], "big") for i in (at + 8, at + 12))
        limits.check_size(width, height, max_megapixels)
        at = data.find(b"ispe\0\0\0\0", at + 16, _SIZES_SEARCHED)


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
    block = _tiff_block(info.get("exif"))
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


def _tiff_block(block: bytes | None) -> bytes | None:
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


def _riff_chunks(data: bytes) -> list[bytes]:
    names, at = [], 12
    while at + 8 <= len(data):
        names.append(data[at : at + 4])
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return names
