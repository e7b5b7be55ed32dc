"""The metadata of a TIFF page: profile, captions, metadata blocks and resolution, from its tags."""

from __future__ import annotations

import mmap
from dataclasses import replace
from typing import Any

import numpy as np
import tifffile
from PIL import ExifTags

from archivecolor.photo import exif, photoshop, profiles
from archivecolor.photo import samples as convert
from archivecolor.photo.page import Page

_CMYK, _YCBCR, _CIELAB, _ICCLAB = 5, 6, 8, 9
_DESCRIPTION, _SOFTWARE, _PAGE_NUMBER, _ASCII = 270, 305, 297, 2
_MIN_SAMPLE, _MAX_SAMPLE, _S_MIN_SAMPLE, _S_MAX_SAMPLE = 280, 281, 340, 341
_YCBCR_COEFFICIENTS, _REFERENCE_BLACK_WHITE = 529, 532
_PHOTOSHOP, _PHOTOSHOP_LAYERS, _ICC = 34377, 37724, 34675
_LAYOUT = frozenset(
    (
        *range(254, 267),
        *range(273, 285),
        288,
        289,
        292,
        293,
        296,
        *range(320, 326),
        317,
        330,
        *range(332, 340),
        *range(340, 348),
        *range(512, 522),
        529,
        530,
        531,
        32995,
        32996,
        32997,
        32998,
        34016,
        34925,
        50674,
    )
)
"""Tags about the layout of the samples in the file, which is new in the output."""
_READ = frozenset((_DESCRIPTION, _SOFTWARE, 700, 33723, _ICC, _PHOTOSHOP, exif.EXIF_IFD, exif.GPS_IFD))
"""Tags with a field of their own in `Page`, and those of the program that wrote the file."""
_NAMES = {50255: "Photoshop annotations"}
Tag = tuple[int, str | int, int, Any, bool]
"""(code, type, count, value, True), the form of tifffile's `extratags`."""
_BLOCKS = {_DESCRIPTION: "caption", 700: "XMP", 33723: "IPTC", _ICC: "colour profile", _PHOTOSHOP: "Photoshop data"}
_MAX_BYTES = 1 << 26
"""The largest value that is read: parsing takes ten times the memory."""
_X_POSITION, _Y_POSITION = 286, 287
_KEPT_NUMBERS = frozenset((_X_POSITION, _Y_POSITION, _PAGE_NUMBER))
"""Tags without offsets that are kept as they are."""
_STRUCTS = {3: "H", 5: "2I"}
"""TIFF's types of numbers that are kept, as types of `struct`."""
_TONES = {
    290: "",
    291: "grey curve (GrayResponseCurve)",
    301: "tone curves (TransferFunction)",
    318: "white point (WhitePoint)",
    319: "primary colours (PrimaryChromaticities)",
    _REFERENCE_BLACK_WHITE: "black and white (ReferenceBlackWhite)",
}
"""Tags about the meaning of the source's samples, which does not hold for the output."""


def with_metadata(page: Page, tif: tifffile.TiffFile, source: tifffile.TiffPage) -> Page:
    orientation = value_of(source, 274)
    xmp = value_of(source, 700)
    dpi, density = _resolution(source)
    page = replace(
        page,
        orientation=orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1,
        dpi=dpi,
        density=density,
        exif=_exif(tif, source),
        xmp=_as_bytes(xmp),
        iptc=_iptc(tif, source),
        photoshop=photoshop.carried(photoshop.resources(_as_bytes(value_of(source, _PHOTOSHOP)) or b"")),
        description=None if source.is_shaped or source.is_imagej else _text(source, 270),
        tags=_tags(source),
        subfiletype=int(source.subfiletype) & 5,
        notes=(*page.notes, *_dropped_tags_notes(source)),
    )
    converted = int(source.photometric) in (_CMYK, _CIELAB, _ICCLAB)
    return page if converted else profiles.with_profile(page, _as_bytes(value_of(source, 34675)))


def value_of(page: tifffile.TiffPage, code: int) -> Any:
    """The value of a tag; None if there is none, or if it is too large to be true."""
    tag = page.tags.get(code)
    return None if tag is None or _is_huge(tag) else tag.value


def _is_huge(tag: tifffile.TiffTag) -> bool:
    return tag.valuebytecount > _MAX_BYTES


def _as_bytes(value: Any) -> bytes | None:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, tuple) and value and all(isinstance(v, int) and 0 <= v < 256 for v in value):
        return bytes(value)
    return bytes(value) if isinstance(value, bytes) and value else None


def _text(page: tifffile.TiffPage, code: int) -> str | None:
    value = value_of(page, code)
    if isinstance(value, bytes):
        value = exif.decoded(value.split(b"\0")[0])
    return value.strip("\0").strip() or None if isinstance(value, str) else None


def _tags(page: tifffile.TiffPage) -> tuple[Tag, ...]:
    """All texts, also of private tags, the words of a catalogue, and the numbers in `_KEPT_NUMBERS`."""
    found = _words(page)
    for tag in page.tags.values():
        if tag.dtype == _ASCII and tag.code not in _READ | _LAYOUT:
            text = _text(page, tag.code)
            found += [(tag.code, "s", 0, text.encode(), True)] if text else []
        elif tag.code in _KEPT_NUMBERS and int(tag.dtype) in _STRUCTS:
            found.append((tag.code, _STRUCTS[int(tag.dtype)], tag.count, tag.value, True))
    return tuple(found)


def _words(page: tifffile.TiffPage) -> list[Tag]:
    words: list[Tag] = []
    for code in sorted(exif.WORDS.intersection(page.tags.keys())):
        value = value_of(page, code)
        raw = _as_bytes(value)
        if isinstance(value, int) and 0 <= value < 1 << 16:
            words.append((code, "H", 1, value, True))
        elif raw is not None:
            words.append((code, "B", len(raw), raw, True))
    return words


def from_exif(block: bytes | None) -> tuple[list[Tag], tuple[str, ...]]:
    """The texts and words of an EXIF block's IFD0 as tags of a TIFF, and a note on what else is in it."""
    tags: list[Tag] = []
    others = []
    for code, entry in exif.main_tags(block).items():
        if block is None or code in _READ | _LAYOUT | _TONES.keys() | {exif.ORIENTATION}:
            continue
        if entry.kind == exif.TEXT:
            text = exif.text(block, code)
            tags += [(code, "s", 0, text.encode(), True)] if text else []
        elif code in exif.WORDS and entry.kind in (exif.BYTE, exif.UNDEFINED):
            tags.append((code, "B", entry.length, entry.value, True))
        elif code in exif.WORDS and (number := exif.integer(block, entry)) is not None:
            tags.append((code, "H", 1, max(0, min(number, 65535)), True))
        else:
            others.append(code)
    return tags, (f"EXIF tags {_named(others)} not carried by TIFF",) if others else ()


def _named(codes: list[int]) -> str:
    """Tags by number, and by name where it is known."""
    names = {code: _NAMES.get(code) or ExifTags.TAGS.get(code) for code in sorted(set(codes))}
    return ", ".join(f"{code} ({name})" if name else str(code) for code, name in names.items())


def _dropped_tags_notes(page: tifffile.TiffPage) -> tuple[str, ...]:
    """Notes that name what is not carried. Unknown tags may contain offsets in the old file."""
    codes = {tag.code for tag in page.tags.values()}
    notes: tuple[str, ...] = ("Photoshop layers not carried: keep the source",) if _PHOTOSHOP_LAYERS in codes else ()
    huge = [_BLOCKS[tag.code] for tag in page.tags.values() if tag.code in _BLOCKS and _is_huge(tag)]
    notes += tuple(f"{name} not carried: over {_MAX_BYTES >> 20} MiB" for name in huge)
    if int(page.photometric) == _YCBCR or _is_full_range(page, value_of(page, _REFERENCE_BLACK_WHITE)):
        codes.discard(_REFERENCE_BLACK_WHITE)
    tones = [_TONES[code] for code in sorted(codes & _TONES.keys()) if _TONES[code]]
    if tones:
        notes += (f"neither applied nor carried: {', '.join(tones)}",)
    carried = _READ | _LAYOUT | _TONES.keys() | {_PHOTOSHOP_LAYERS} | {tag[0] for tag in _tags(page)}
    unknown = [tag.code for tag in page.tags.values() if tag.dtype != _ASCII and tag.code not in carried]
    if unknown:
        notes += (f"TIFF tags {_named(unknown)} not carried",)
    return notes


def _resolution(page: tifffile.TiffPage) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """The fields `dpi` and `density` of the page."""
    x, y, unit = value_of(page, 282), value_of(page, 283), value_of(page, 296)
    if not all(isinstance(v, tuple) and len(v) == 2 and v[1] for v in (x, y)):
        return None, None
    x, y = x[0] / x[1], y[0] / y[1]
    if unit == 1:
        return None, exif.sensible_dpi(x, y) if x != y else None
    scale = {None: 1.0, 2: 1.0, 3: 2.54}.get(None if unit is None else int(unit), 0.0)
    return exif.sensible_dpi(x * scale, y * scale), None


# --- what samples mean ------------------------------------------------------------------------------------------------


def stated_range(page: tifffile.TiffPage) -> tuple[float, float] | None:
    """Black and white that a page states for 32-bit and floating-point samples."""
    low = _numbers(value_of(page, _S_MIN_SAMPLE)) or _numbers(value_of(page, _MIN_SAMPLE)) or (0.0,)
    high = _numbers(value_of(page, _S_MAX_SAMPLE)) or _numbers(value_of(page, _MAX_SAMPLE))
    return (min(low), max(high)) if high and min(low) < max(high) else None


def stated_top(page: tifffile.TiffPage) -> int | None:
    """The largest value that a page of 8 or 16 bits states, if it means that fewer bits are used: 4095 for 12 of 16.

    By TIFF 6.0, MaxSampleValue is a statistic, so any other number says nothing about white.
    """
    if page.bitspersample not in (8, 16) or int(page.sampleformat) != 1:
        return None
    high = _numbers(value_of(page, _S_MAX_SAMPLE)) or _numbers(value_of(page, _MAX_SAMPLE))
    top = int(max(high)) if high and max(high) < 65536 else 0
    bits = top.bit_length()
    return top if top == (1 << bits) - 1 and 0 < bits <= page.bitspersample - 2 else None


def ycbcr_coding(page: tifffile.TiffPage) -> tuple[tuple[float, float, float], tuple[float, ...] | None]:
    """YCbCrCoefficients and ReferenceBlackWhite, as for `samples.rgb_from_ycbcr`."""
    luma = _fractions(value_of(page, _YCBCR_COEFFICIENTS))
    reference = _fractions(value_of(page, _REFERENCE_BLACK_WHITE))
    sound = len(luma) == 3 and luma[1] > 0
    distinct = len(reference) == 6 and all(reference[i] != reference[i + 1] for i in (0, 2, 4))
    return (luma[0], luma[1], luma[2]) if sound else convert.REC_601, reference if distinct else None


def _is_full_range(page: tifffile.TiffPage, reference: Any) -> bool:
    """Whether a ReferenceBlackWhite says what holds anyway."""
    values = _fractions(reference)
    top = (1 << page.bitspersample) - 1 if isinstance(page.bitspersample, int) else 0
    return not any(values[::2]) and all(white == top for white in values[1::2])


def _numbers(value: Any) -> tuple[float, ...]:
    """A tag's values, if all are finite numbers."""
    values = value if isinstance(value, tuple) else (value,)
    sound = all(isinstance(v, (int, float)) and np.isfinite(v) for v in values)
    return tuple(float(v) for v in values) if sound else ()


def _fractions(value: Any) -> tuple[float, ...]:
    """A tag's rationals, if all are sound."""
    values = _numbers(value)
    return tuple(n / d for n, d in zip(values[::2], values[1::2], strict=False)) if all(values[1::2]) else ()


# --- other metadata ---------------------------------------------------------------------------------------------------


def _exif(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> bytes | None:
    """The page's EXIF and GPS directories as a separate block, without damaged ones."""
    if not (exif.EXIF_IFD in page.tags or exif.GPS_IFD in page.tags):
        return None
    try:
        with mmap.mmap(tif.filehandle.fileno(), 0, access=mmap.ACCESS_READ) as block:
            return exif.standalone(block, page.offset)
    except (ValueError, OSError):
        return None


def _iptc(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> bytes | None:
    """The bytes of the records. Many writers declare them as LONG, so readers swap them."""
    tag = page.tags.get(33723)
    if tag is None:
        resources = _as_bytes(value_of(page, _PHOTOSHOP))
        return photoshop.iptc(photoshop.resources(resources))[0] if resources else None
    if isinstance(tag.value, bytes):
        return tag.value or None
    values = tag.value if isinstance(tag.value, tuple) else (tag.value,)
    if int(tag.dtype) != 4:
        return _as_bytes(values)
    for order in (tif.byteorder, "<", ">"):
        raw = np.array(values, order + "u4").tobytes()
        if raw[:1] == b"\x1c":
            return raw
    return None
