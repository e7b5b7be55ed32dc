"""Reads the 8-bit kinds with Pillow: JPEG, WebP, AVIF, BMP, GIF, ... and HEIC with pillow-heif.

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

from archivecolor.errors import TooLargeError, UnreadableError, UnsupportedError
from archivecolor.photo import exif, jpeg_data, limits, profiles
from archivecolor.photo import samples as convert
from archivecolor.photo.page import Page, Photo

_FORMAT_NAMES = {"JPEG": "jpeg", "MPO": "jpeg", "DIB": "bmp", "PPM": "pnm", "JPEG2000": "jp2"}
_VECTOR_FORMATS = {"EPS", "WMF", "MPEG", "HDF5", "GRIB", "BUFR", "PDF"}
_UNCOMPRESSED = {"BMP", "DIB", "PPM", "SGI", "XBM"}
_ANIMATED_FORMATS = {"GIF", "WEBP", "PNG", "AVIF", "TIFF", "ICNS"}
_LOSSY = {"JPEG", "MPO", "PCD", "AVIF"}
_REPACKABLE = (0xC0, 0xC1, 0xC2)
"""Frames of baseline, extended and progressive JPEG."""
_SIZES_SEARCHED = 1 << 16
_MAX_FILL_SHARE = 0.002
"""The largest usable share of filled blocks in a JPEG with damaged data."""
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
        return _read_jpeg_after_junk(data, max_megapixels, error)
    if image.format in _VECTOR_FORMATS:
        raise UnsupportedError(f"{image.format} is not a photograph: render it to TIFF first")
    notes = _frames_note(image)
    page = page_with_metadata(image)
    name = image.format or ""
    return Photo(
        _FORMAT_NAMES.get(name, name.lower()),
        (replace(page, notes=notes + page.notes),),
        compressed=name not in _UNCOMPRESSED,
        lossless=name not in _LOSSY,
    )


def read_jpeg(data: bytes, max_megapixels: float) -> Photo:
    """JPEG of 8 bits, grey, RGB, CMYK or YCCK; 12 bits and lossless through imagecodecs."""
    frame, precision, width, height, channels = _jpeg_frame(data)
    if precision > 8:
        limits.check_size(width, height, max_megapixels)
        decoded = np.asarray(imagecodecs.jpeg_decode(data)) if precision <= 16 else np.empty((0, 0), np.uint16)
        if decoded.shape[:2] != (height, width):
            raise UnreadableError(limits.DAMAGED)
        samples, notes = convert.to_full_range(decoded, precision)
        return Photo("jpeg", (Page(samples, notes=notes),), lossless=False)
    image = open_image(data, max_megapixels)
    page = page_with_metadata(image)
    sound = jpeg_data.is_sound(data) if frame in _REPACKABLE and channels in (1, 3) else None
    if jpeg_data.ends_in_fill(page.samples) and channels != 4 and not (sound and jpeg_data.has_every_scan(data)):
        raise UnreadableError("damaged: the lower part of the picture is missing; scan it or copy it again")
    if sound is False:
        page = _with_damage_note(page)
    page = replace(page, iptc=image.info.get("photoshop", {}).get(0x0404) or None, dpi=_jfif_dpi(image) or page.dpi)
    return Photo("jpeg", (page,), lossless=False)


def _with_damage_note(page: Page) -> Page:
    """The page of a JPEG with damaged data, with a note.

    Raises:
        UnreadableError: parts of the picture are missing.
    """
    if jpeg_data.fill_share(page.samples) > _MAX_FILL_SHARE:
        raise UnreadableError("damaged: parts of the picture are missing; scan it or copy it again")
    return replace(page, notes=(*page.notes, "JPEG data damaged in places or unusual: compare it with the source"))


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


def decoded_page(image: Image.Image) -> Page:
    """The decoded samples of an opened picture, without its metadata."""
    image.load()
    mode = image.mode
    if mode == "CMYK":
        rgb, note = convert.rgb_from_cmyk(np.asarray(image), image.info.get("icc_profile"))
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


def page_with_metadata(image: Image.Image) -> Page:
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
        dpi=exif.dpi(block) if image.format in ("JPEG", "MPO", "WEBP", "AVIF") else _dpi(info.get("dpi")),
        description=exif.text(block, exif.DESCRIPTION),
        xmp=_packet(info.get("xmp")),
        comment=comment if isinstance(comment, bytes) and comment else None,
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


def _jfif_dpi(image: Image.Image) -> tuple[float, float] | None:
    scale = {1: 1.0, 2: 2.54}.get(image.info.get("jfif_unit", 0))
    density = image.info.get("jfif_density")
    return exif.sensible_dpi(density[0] * scale, density[1] * scale) if scale and density else None


def _frames_note(image: Image.Image) -> tuple[str, ...]:
    if image.format not in _ANIMATED_FORMATS or not getattr(image, "is_animated", False):
        return ()
    try:
        return (f"first of {getattr(image, 'n_frames', 1)} frames",)
    except (OSError, EOFError, SyntaxError, ValueError) as error:
        raise UnreadableError(limits.TRUNCATED) from error
    finally:
        image.seek(0)


def _read_jpeg_after_junk(data: bytes, max_megapixels: float, error: Exception) -> Photo:
    """A JPEG that begins a little after the start of the file."""
    at = data.find(b"\xff\xd8\xff", 0, 4096)
    if at < 1:
        raise UnreadableError("not a picture of any known kind, or its beginning is damaged; copy it again") from error
    try:
        photo = read_jpeg(data[at:], max_megapixels)
    except TooLargeError:
        raise
    except Exception:
        raise UnreadableError(limits.DAMAGED) from error
    page = photo.pages[0]
    return replace(photo, pages=(replace(page, notes=(f"{at} bytes before the picture skipped", *page.notes)),))


def _jpeg_frame(data: bytes) -> tuple[int, int, int, int, int]:
    """(marker, bits per sample, width, height, channels) of the frame header; (0, 8, 0, 0, 0) when it is not found."""
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(data[i : i + 2], "big") for i in (at + 5, at + 7))
            return marker, data[at + 4], width, height, data[at + 9]
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0, 8, 0, 0, 0


def _riff_chunks(data: bytes) -> list[bytes]:
    names, at = [], 12
    while at + 8 <= len(data):
        names.append(data[at : at + 4])
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return names
