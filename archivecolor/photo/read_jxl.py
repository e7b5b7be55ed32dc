"""Reads JPEG XL: imagecodecs decodes the samples; libjxl itself says how large they are, which way up, in what colours.

imagecodecs gives nothing but samples, so the rest is asked from the libjxl that it contains.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import imagecodecs
import numpy as np

from archivecolor.errors import UnreadableError, UnsupportedError, listed
from archivecolor.imaging.arrays import Samples
from archivecolor.photo import containers, exif, libjxl, limits, profiles
from archivecolor.photo import samples as convert
from archivecolor.photo.page import Page, Photo
from archivecolor.photo.read_pillow import tiff_block

Boxes = list[tuple[bytes, int, int]]
CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_BASIC_INFO, _COLOR_ENCODING = 0x40, 0x100
_SUCCESS, _MORE_INPUT = 0, 2
_PROFILE_OF_SAMPLES = 1
_GREY, _D65, _SRGB_PRIMARIES, _SRGB_CURVE = 1, 1, 1, 13
_MAX_PACKET = 1 << 26
_READ_BOXES = frozenset((b"JXL ", b"ftyp", b"jxll", b"jxlc", b"jxlp", b"jxli", b"jbrd", b"Exif", b"xml ", b"free"))
_BOX_WORDS = {b"jhgm": "gain map (jhgm)", b"jumb": "jumb (content credentials)"}


class _BasicInfo(ctypes.Structure):
    """JxlBasicInfo of libjxl's codestream_header.h."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("have_container", "xsize", "ysize", "bits", "exponent_bits")),
        *((name, ctypes.c_float) for name in ("intensity_target", "min_nits")),
        ("relative_to_max_display", ctypes.c_int),
        ("linear_below", ctypes.c_float),
        *((name, ctypes.c_int) for name in ("uses_original_profile", "have_preview", "have_animation", "orientation")),
        *(
            (name, ctypes.c_uint32)
            for name in ("color_channels", "extra_channels", "alpha_bits", "alpha_exponent_bits")
        ),
        ("alpha_premultiplied", ctypes.c_int),
        ("rest", ctypes.c_uint8 * 512),
    )


class _ColorEncoding(ctypes.Structure):
    """JxlColorEncoding of libjxl's color_encoding.h."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("color_space", "white_point")),
        ("white_point_xy", ctypes.c_double * 2),
        ("primaries", ctypes.c_int),
        ("primaries_xy", ctypes.c_double * 6),
        ("transfer_function", ctypes.c_int),
        ("gamma", ctypes.c_double),
        ("rendering_intent", ctypes.c_int),
    )


class _Header(NamedTuple):
    width: int
    height: int
    bits: int
    is_float: bool
    orientation: int
    channels: int
    extra_channels: int
    has_alpha: bool
    is_premultiplied: bool
    is_animated: bool
    is_lossless: bool
    """Whether the samples stand in the colours of the source; only then can they be lossless."""
    icc: bytes | None


def read_jxl(data: bytes, max_megapixels: float) -> Photo:
    """JPEG XL of 8 to 16 bits or floating point, as a container or a bare codestream; the first frame of an animation.

    The samples stay as they are stored: the orientation of the codestream becomes that of the page.
    """
    header = _header(data)
    limits.check_size(header.width, header.height, max_megapixels)
    boxes = list(containers.boxes(data)) if data.startswith(CONTAINER) else []
    if any(end > len(data) for _, _, end in boxes):
        raise UnreadableError(limits.TRUNCATED)
    samples, notes = _samples(data, header)
    colour, alpha = _split(samples, header)
    if header.is_premultiplied and alpha is not None:
        colour = convert.unpremultiply(colour, alpha)
    if header.extra_channels > header.has_alpha:
        notes += (f"{header.extra_channels - header.has_alpha} extra channels left out",)
    notes += ("first frame of an animation",) if header.is_animated else ()
    unknown = [_BOX_WORDS.get(name, name.decode("latin-1").strip()) for name in _names(data, boxes)]
    notes += (f"JPEG XL: {listed(unknown)} not carried",) if unknown else ()
    block = tiff_block(_exif(_packet(data, boxes, b"Exif")))
    page = Page(
        colour,
        alpha=alpha,
        orientation=header.orientation,
        exif=block,
        xmp=_packet(data, boxes, b"xml "),
        dpi=exif.dpi(block),
        density=exif.density(block),
        description=exif.text(block, exif.DESCRIPTION),
        bits=None if header.is_float else header.bits,
        notes=notes,
    )
    is_recoded_jpeg = any(name == b"jbrd" for name, _, _ in boxes)
    lossless = header.is_lossless and not is_recoded_jpeg
    return Photo("jxl", (profiles.with_profile(page, header.icc),), lossless=lossless)


def jxl_megapixels(data: bytes) -> float:
    """Megapixels of 8 bits that the samples will take, by the beginning of a file."""
    header = _header(data)
    return header.width * header.height * (1 + (header.bits > 8)) / 1e6


def _samples(data: bytes, header: _Header) -> tuple[Samples, tuple[str, ...]]:
    decoded = np.asarray(imagecodecs.jpegxl_decode(data, index=0, keeporientation=True))
    if decoded.dtype.kind == "f":
        return convert.stretch_to_16_bit(decoded)
    if decoded.dtype == np.uint16 and header.bits < 16:
        return convert.to_full_range(decoded, header.bits)
    return decoded, (f"{header.bits} bit read as 8 bit",) if header.bits < 8 else ()


def _split(samples: Samples, header: _Header) -> tuple[Samples, Samples | None]:
    """Grey or RGB samples and the alpha, without further channels."""
    if samples.ndim == 3 and samples.shape[:2] != (header.height, header.width):
        samples = np.moveaxis(samples, 0, -1)  # imagecodecs gives grey with extra channels plane by plane
    if samples.ndim == 2:
        return samples, None
    colors = 3 if header.channels == 3 else 1
    colour = samples[..., 0] if colors == 1 else samples[..., :3]
    has_alpha = header.has_alpha and samples.shape[2] > colors
    return np.ascontiguousarray(colour), np.ascontiguousarray(samples[..., colors]) if has_alpha else None


def _names(data: bytes, boxes: Boxes) -> list[bytes]:
    """The names of the boxes that are not read; of a compressed box that of its content."""
    names = (data[start : start + 4] if name == b"brob" else name for name, start, _ in boxes)
    return list(dict.fromkeys(name for name in names if name not in _READ_BOXES))


def _packet(data: bytes, boxes: Boxes, wanted: bytes) -> bytes | None:
    """The content of a box, also of a Brotli-compressed one (ISO/IEC 18181-2, 9.2); None if it is damaged or absent."""
    for name, start, end in boxes:
        if name == wanted:
            return data[start:end] or None
        if name == b"brob" and data[start : start + 4] == wanted:
            try:
                return bytes(imagecodecs.brotli_decode(data[start + 4 : end], out=_MAX_PACKET)) or None
            except (imagecodecs.BrotliError, ValueError):
                return None
    return None


def _exif(content: bytes | None) -> bytes | None:
    """The EXIF block of its box, which begins with the distance to the block."""
    return content[4 + int.from_bytes(content[:4], "big") :] if content else None


# --- libjxl -----------------------------------------------------------------------------------------------------------


def _libjxl() -> ctypes.CDLL:
    library = libjxl.load()
    if library is None:
        raise UnsupportedError(
            "JPEG XL cannot be read with this build of imagecodecs: convert it to PNG first, for example with djxl"
        )
    return library


@contextmanager
def _decoder(library: ctypes.CDLL) -> Iterator[int]:
    decoder = library.JxlDecoderCreate(None)
    try:
        yield decoder
    finally:
        library.JxlDecoderDestroy(decoder)


def _header(data: bytes) -> _Header:
    library = _libjxl()
    with _decoder(library) as decoder:
        library.JxlDecoderSetKeepOrientation(decoder, 1)
        library.JxlDecoderSubscribeEvents(decoder, _BASIC_INFO | _COLOR_ENCODING)
        library.JxlDecoderSetInput(decoder, data, len(data))
        library.JxlDecoderCloseInput(decoder)
        _expect(library.JxlDecoderProcessInput(decoder), _BASIC_INFO)
        info = _BasicInfo()
        library.JxlDecoderGetBasicInfo(decoder, ctypes.byref(info))
        _expect(library.JxlDecoderProcessInput(decoder), _COLOR_ENCODING)
        icc = _profile(library, decoder)
    return _Header(
        width=info.xsize,
        height=info.ysize,
        bits=info.bits,
        is_float=info.exponent_bits > 0,
        orientation=info.orientation if 1 <= info.orientation <= 8 else 1,
        channels=info.color_channels,
        extra_channels=info.extra_channels,
        has_alpha=info.alpha_bits > 0,
        is_premultiplied=bool(info.alpha_premultiplied),
        is_animated=bool(info.have_animation),
        is_lossless=bool(info.uses_original_profile),
        icc=icc,
    )


def _expect(status: int, event: int) -> None:
    if status != event:
        raise UnreadableError(limits.TRUNCATED if status == _MORE_INPUT else limits.DAMAGED)


def _profile(library: ctypes.CDLL, decoder: int) -> bytes | None:
    """The profile of the samples; None for sRGB."""
    encoding = _ColorEncoding()
    status = library.JxlDecoderGetColorAsEncodedProfile(decoder, _PROFILE_OF_SAMPLES, ctypes.byref(encoding))
    is_srgb = encoding.white_point == _D65 and encoding.transfer_function == _SRGB_CURVE
    if status == _SUCCESS and is_srgb and (encoding.color_space == _GREY or encoding.primaries == _SRGB_PRIMARIES):
        return None
    size = ctypes.c_size_t(0)
    library.JxlDecoderGetICCProfileSize(decoder, _PROFILE_OF_SAMPLES, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(min(size.value, _MAX_PACKET))
    status = library.JxlDecoderGetColorAsICCProfile(decoder, _PROFILE_OF_SAMPLES, buffer, len(buffer))
    return buffer.raw if status == _SUCCESS else None
