"""The metadata of a TIFF page: profile, captions, metadata blocks and resolution, from its tags."""

from __future__ import annotations

import mmap
from dataclasses import replace
from typing import Any

import numpy as np
import tifffile
from PIL import ExifTags

from archivecolor.photo import exif, photoshop, profiles
from archivecolor.photo.page import Page

_CMYK, _CIELAB, _ICCLAB = 5, 8, 9
_DESCRIPTION, _SOFTWARE, _PAGE_NUMBER, _ASCII = 270, 305, 297, 2
_PHOTOSHOP = 34377
_LAYOUT = frozenset(
    (
        *range(254, 267),
        *range(273, 285),
        288,
        289,
        290,
        291,
        292,
        293,
        296,
        301,
        *range(317, 326),
        330,
        *range(332, 340),
        *range(340, 348),
        *range(512, 522),
        529,
        530,
        531,
        532,
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
_CARRIED = frozenset(
    (_DESCRIPTION, _SOFTWARE, _PAGE_NUMBER, 700, 33723, _PHOTOSHOP, 34675, exif.EXIF_IFD, exif.GPS_IFD)
)
"""Tags with a field of their own in `Page`, and those of the program that wrote the file."""
_NAMES = {37724: "Photoshop layers", 50255: "Photoshop annotations"}
Tag = tuple[int, str, int, Any, bool]
"""(code, type, count, value, True), the form of tifffile's `extratags`."""


def with_metadata(page: Page, tif: tifffile.TiffFile, source: tifffile.TiffPage) -> Page:
    orientation = value_of(source, 274)
    xmp = value_of(source, 700)
    page = replace(
        page,
        orientation=orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1,
        dpi=_dpi(source),
        exif=_exif(tif, source),
        xmp=_as_bytes(xmp),
        iptc=_iptc(tif, source),
        photoshop=photoshop.carried(photoshop.resources(_as_bytes(value_of(source, _PHOTOSHOP)) or b"")),
        description=None if source.is_shaped or source.is_imagej else _text(source, 270),
        tags=_tags(source),
        notes=(*page.notes, *_dropped_tags_note(source)),
    )
    converted = int(source.photometric) in (_CMYK, _CIELAB, _ICCLAB)
    return page if converted else profiles.with_profile(page, _as_bytes(value_of(source, 34675)))


def value_of(page: tifffile.TiffPage, code: int) -> Any:
    tag = page.tags.get(code)
    return None if tag is None else tag.value


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
    """All texts, also of private tags, the words of a catalogue, and the page's number."""
    texts = [
        (tag.code, _text(page, tag.code))
        for tag in page.tags.values()
        if tag.dtype == _ASCII and tag.code not in _CARRIED | _LAYOUT
    ]
    found: list[Tag] = [(code, "s", 0, text.encode(), True) for code, text in texts if text]
    found += _words(page)
    number = value_of(page, _PAGE_NUMBER)
    if isinstance(number, tuple) and len(number) == 2 and all(isinstance(n, int) and 0 <= n < 65536 for n in number):
        found.append((_PAGE_NUMBER, "H", 2, number, True))
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
        if block is None or code in _CARRIED | _LAYOUT | {exif.ORIENTATION}:
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


def _dropped_tags_note(page: tifffile.TiffPage) -> tuple[str, ...]:
    """A note that names unknown tags: they may contain offsets in the old file, so they are not carried."""
    carried = _CARRIED | _LAYOUT | {code for code, *_ in _words(page)}
    codes = [t.code for t in page.tags.values() if t.dtype != _ASCII and t.code not in carried]
    return (f"TIFF tags {_named(codes)} not carried",) if codes else ()


def _dpi(page: tifffile.TiffPage) -> tuple[float, float] | None:
    x, y, unit = value_of(page, 282), value_of(page, 283), value_of(page, 296)
    scale = {None: 1.0, 2: 1.0, 3: 2.54}.get(None if unit is None else int(unit))
    if scale is None or not all(isinstance(v, tuple) and len(v) == 2 and v[1] for v in (x, y)):
        return None
    return exif.sensible_dpi(x[0] / x[1] * scale, y[0] / y[1] * scale)


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
