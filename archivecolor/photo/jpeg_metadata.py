"""The metadata of a JPEG from its segments, and notes on what is in the file but cannot be carried."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace

import imagecodecs

from archivecolor.photo import exif, extended_xmp, kinds, photoshop, profiles
from archivecolor.photo.jpeg_segments import APP0, APP1, APP2, APP13, COMMENT, Jpeg, segment
from archivecolor.photo.page import Extra, Page

EXIF, ICC, JFIF, MPF = b"Exif\0", b"ICC_PROFILE\0", b"JFIF\0", b"MPF\0"
_GAIN_MAP, _GAIN_MAP_XMP = b"urn:iso:std:iso:ts:21496:-1\0", b"http://ns.adobe.com/hdr-gain-map/"
_APP10, _APP11, _APP12, _APP14, _APP15 = 0xEA, 0xEB, 0xEC, 0xEE, 0xEF
_CARRIED = (
    (APP0, JFIF),
    (APP0, b"JFXX\0"),  # a small copy of the old picture
    (APP1, EXIF),
    (APP1, extended_xmp.XMP),
    (APP1, extended_xmp.EXTENSION),
    (APP2, ICC),
    (APP2, MPF),
    (APP2, _GAIN_MAP),
    (APP13, photoshop.HEADING),
    (APP13, b"Adobe_CM"),  # a setting of the encoder
    (_APP14, b"Adobe"),
)
"""Segments that are read, and those about the encoding."""
_TEXTS = ((_APP12, b"[picture info]"), (_APP10, b"UNICODE\0"), (_APP15, b"TEXT\0"))
"""Segments of text, which a JPEG made from this one can have as well."""
_DUCKY_QUALITY_ONLY = 15
"""Bytes of a Ducky segment that has the encoder's quality, and neither comment nor copyright."""
_CREDENTIALS = "content credentials of the source (C2PA; with --c2pa kept as the parent's)"
_PER_INCH = {1: 1.0, 2: 2.54}
_MP_ENTRIES, _MP_COUNT, _MP_SMALLER_COPIES = 0xB002, 0xB001, (0x010001, 0x010002, 0x010003, 0x010004, 0x010005)
"""CIPA DC-007, 5.2.3."""


def with_metadata(page: Page, jpeg: Jpeg, is_converted: bool) -> Page:
    """The page with the metadata of its file.

    Args:
        is_converted: the profile was used up when the samples became sRGB.
    """
    block, notes = _exif(_contents(jpeg, APP1, EXIF))
    resources, photoshop_notes = photoshop.of_segments(_contents(jpeg, APP13, photoshop.HEADING, whole=True))
    iptc, iptc_notes = photoshop.iptc(resources)
    xmp, xmp_notes = _xmp(jpeg)
    dpi, density = _resolution(next(iter(_contents(jpeg, APP0, JFIF)), b""))
    page = page if is_converted else _with_profile(page, profile(jpeg), block)
    return replace(
        page,
        exif=block,
        orientation=exif.orientation(block),
        dpi=dpi or exif.dpi(block) or photoshop.dpi(photoshop.contents(resources).get(photoshop.RESOLUTION, b"")),
        density=None if dpi else density or exif.density(block),
        description=exif.text(block, exif.DESCRIPTION),
        xmp=xmp,
        iptc=iptc,
        photoshop=photoshop.carried(resources),
        extras=tuple(_texts(jpeg)),
        comments=tuple(content for marker, content in jpeg.metadata if marker == COMMENT and content),
        notes=(*page.notes, *notes, *photoshop_notes, *iptc_notes, *xmp_notes, *_left_out_notes(jpeg, xmp)),
    )


def _with_profile(page: Page, icc: bytes | None, block: bytes | None) -> Page:
    """The page with its profile, or with the one that its EXIF names (DCF, JEITA CP-3461)."""
    if icc is None and exif.color_space(block) == exif.ADOBE_RGB:
        page = replace(page, notes=(*page.notes, "read as Adobe RGB, as its EXIF says"))
        icc = bytes(imagecodecs.cms_profile("adobergb"))
    return profiles.with_profile(page, icc)


def _contents(jpeg: Jpeg, marker: int, heading: bytes, whole: bool = False) -> list[bytes]:
    """The contents of the segments of one kind, without their heading unless `whole`."""
    cut = 0 if whole else len(heading)
    return [content[cut:] for kind, content in jpeg.metadata if kind == marker and content.startswith(heading)]


def _exif(parts: list[bytes]) -> tuple[bytes | None, tuple[str, ...]]:
    """The TIFF-structured block; a block of over 64 KiB continues in further segments, as exiftool writes it."""
    bodies = [part[1:] for part in parts if part[1:]]
    if not bodies:
        return None, ()
    if not _is_tiff(bodies[0]):
        return None, ("damaged EXIF not carried",)
    block = bodies[0]
    others = []
    for body in bodies[1:]:
        if _is_tiff(body):
            others.append(body)
        elif not others:
            block += body
    return block, ("second EXIF block not carried",) if any(other != bodies[0] for other in others) else ()


def _is_tiff(body: bytes) -> bool:
    return body[:4] in (b"II*\0", b"MM\0*")


def _xmp(jpeg: Jpeg) -> tuple[bytes | None, tuple[str, ...]]:
    packets = list(dict.fromkeys(filter(None, _contents(jpeg, APP1, extended_xmp.XMP))))
    if not packets:
        return None, ()
    packet, notes = extended_xmp.joined(packets[0], _contents(jpeg, APP1, extended_xmp.EXTENSION))
    return packet, (*notes, *(("second XMP packet not carried",) if len(packets) > 1 else ()))


def profile(jpeg: Jpeg) -> bytes | None:
    """The ICC profile from its numbered pieces (ICC.1, B.4); not a valid one if a piece is missing."""
    pieces: dict[int, bytes] = {}
    parts = [part for part in _contents(jpeg, APP2, ICC) if len(part) > 2]
    for part in parts:
        pieces.setdefault(part[0], part[2:])
    if not pieces:
        return None
    ordered = b"".join(pieces[number] for number in sorted(pieces))
    every = b"".join(part[2:] for part in parts)
    for whole in (ordered, every):  # some writers number wrongly: the size in the profile decides
        if int.from_bytes(whole[:4], "big") == len(whole):
            return whole
    return ordered if sorted(pieces) == list(range(1, parts[0][1] + 1)) else b"damaged"


def _resolution(jfif: bytes) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """Pixels per inch, or per unit without a name, of a JFIF segment without its heading."""
    if len(jfif) < 7:
        return None, None
    unit, x, y = struct.unpack(">BHH", jfif[2:7])
    if unit in _PER_INCH:
        return exif.sensible_dpi(x * _PER_INCH[unit], y * _PER_INCH[unit]), None
    return None, (float(x), float(y)) if x != y and x and y else None


def _left_out_notes(jpeg: Jpeg, xmp: bytes | None) -> tuple[str, ...]:
    """Notes on segments that are not carried, and on what follows the picture."""
    labels = dict.fromkeys(
        _label(marker, content)
        for marker, content in jpeg.metadata
        if marker != COMMENT
        and not _is_text(marker, content)
        and not any((marker, content[: len(head)]) == (kind, head) for kind, head in _CARRIED)
    )
    labels.pop("", None)
    notes = [f"JPEG segments not carried: {', '.join(labels)}"] if labels else []
    return (*notes, *_trailer_notes(jpeg, xmp))


def _is_text(marker: int, content: bytes) -> bool:
    """Whether a segment has words of a camera or a program without offsets: Picture Info, and comments in Unicode."""
    return any(kind == marker and word in content[:64] for kind, word in _TEXTS)


def _texts(jpeg: Jpeg) -> Iterator[Extra]:
    for marker, content in jpeg.metadata:
        if _is_text(marker, content):
            yield Extra("jpeg", _label(marker, content), segment(marker, content))


def _label(marker: int, content: bytes) -> str:
    """What a segment is, in words where they are known; "" for one that holds nothing of its own."""
    if marker == _APP12 and content.startswith(b"Ducky") and len(content) <= _DUCKY_QUALITY_ONLY:
        return ""
    if marker == _APP11 and content.startswith(b"JP"):
        return _CREDENTIALS if b"c2pa" in content else "APP11 JUMBF"
    identifier = content[:40].split(b"\0")[0].split(b"\r")[0].split(b"\n")[0]
    name = "".join(chr(byte) for byte in identifier if 32 <= byte < 127).strip()
    return f"APP{marker - APP0} {name}".strip()


def _trailer_notes(jpeg: Jpeg, xmp: bytes | None) -> Iterable[str]:
    trailer = jpeg.trailer.lstrip(b"\0 \r\n\t")
    if not trailer.strip(b"\0\xff \r\n\t"):
        return ()
    notes = []
    copies, pictures = _further_pictures(next(iter(_contents(jpeg, APP2, MPF)), b""))
    if not copies + pictures and trailer.startswith(b"\xff\xd8\xff"):
        pictures = 1
    if pictures and (_contents(jpeg, APP2, _GAIN_MAP) or _GAIN_MAP_XMP in (xmp or b"")):
        pictures -= 1
        notes.append("gain map for HDR displays left out")
    if pictures:
        notes.append(f"{pictures} further picture{'s' * (pictures > 1)} in the file left out")
    if copies:
        notes.append(f"{copies} smaller cop{'ies' if copies > 1 else 'y'} of the picture in the file left out")
    at = jpeg.trailer.find(b"ftyp")
    if at >= 4 and kinds.kind_of(jpeg.trailer[at - 4 : at - 4 + kinds.HEAD_BYTES]) == "film":
        notes.append("film of the motion photograph left out")
    return notes or (f"{len(jpeg.trailer)} bytes after the end of the picture left out",)


def _further_pictures(mpf: bytes) -> tuple[int, int]:
    """How many smaller copies and how many other pictures an MPF segment announces besides the first."""
    tags = exif.main_tags(mpf) if _is_tiff(mpf) else {}
    if _MP_COUNT not in tags:
        return 0, 0
    order = exif.byte_order(mpf)
    rows = tags[_MP_ENTRIES].value if _MP_ENTRIES in tags else b""
    whole_rows = rows[: len(rows) // 16 * 16]
    types = [attributes & 0xFFFFFF for attributes, *_ in struct.iter_unpack(order + "4I", whole_rows)]
    copies = sum(kind in _MP_SMALLER_COPIES for kind in types[1:])
    count = int.from_bytes(tags[_MP_COUNT].value[:4], "little" if order == "<" else "big")
    return copies, max(0, min(count, 1000) - 1 - copies)
