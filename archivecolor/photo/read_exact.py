"""Reads PNM and JPEG 2000 with all 16 bits; Pillow would reduce them to 8."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import replace

import imagecodecs
import numpy as np

from archivecolor.errors import UnreadableError, UnsupportedError, listed
from archivecolor.imaging.arrays import Samples
from archivecolor.photo import containers, exif, limits, profiles
from archivecolor.photo import samples as convert
from archivecolor.photo.page import Extra, Page, Photo

_SYCC, _CMYK = 18, 12
_READ_BOXES = frozenset((b"jP  ", b"ftyp", b"rreq", b"jp2h", b"jp2c", b"free", b"mdat"))
_CARRIED_BOXES = {b"xml ": "XML record", b"jp2i": "rights (jp2i)", b"uinf": "UUID info", b"asoc": "labels (asoc)"}
"""Boxes about the picture and not about its samples, with the words for them."""
_UNKNOWN_BOXES = {b"uuid": "UUID box of another program", b"jumb": "jumb (content credentials)"}
_UUIDS = frozenset((containers.UUID_EXIF, containers.UUID_XMP, containers.UUID_IPTC))
_SPACE = re.compile(rb"\s")
_TOKEN = re.compile(rb"(?:\s|#[^\n]*\n)*([^\s#]+)")


def read_pnm(data: bytes, max_megapixels: float) -> Photo:
    """PBM, PGM and PPM, plain or raw, of any maximum up to 65535."""
    magic = int(data[1:2])
    header, at = [], 2
    for _ in range(2 if magic in (1, 4) else 3):
        token = _TOKEN.match(data, at)
        if token is None:
            raise UnreadableError(limits.TRUNCATED)
        header.append(int(token[1]))
        at = token.end()
    width, height, top = (*header, 1)[:3]
    limits.check_size(width, height, max_megapixels)
    if not 0 < top < 65536:
        raise UnreadableError(limits.DAMAGED)
    shape = (height, width, 3) if magic in (3, 6) else (height, width)
    values = _pnm_values(data, at, magic, shape, top)
    values = 1 - values if magic in (1, 4) else np.minimum(values, top)
    return Photo("pnm", (_pnm_page(values, top),), compressed=False)


def _pnm_values(data: bytes, at: int, magic: int, shape: tuple[int, ...], top: int) -> Samples:
    count = int(np.prod(shape))
    if magic == 4:
        row = (shape[1] + 7) // 8
        packed = np.frombuffer(data, np.uint8, row * shape[0], at + 1).reshape(shape[0], row)
        return np.unpackbits(packed, axis=1)[:, : shape[1]].astype(np.uint16)
    if magic > 4:
        return np.frombuffer(data, ">u2" if top > 255 else "u1", count, at + 1).reshape(shape).astype(np.uint16)
    text = re.sub(rb"#[^\n]*", b"", data[at:])
    if magic == 1:
        digits = np.frombuffer(text, np.uint8)
        values = (digits[(digits == 48) | (digits == 49)][:count] - 48).astype(np.uint16)
    else:
        values = np.concatenate([np.zeros(0, np.uint16), *_numbers(text, count, top)])[:count]
    if values.size < count:
        raise UnreadableError(limits.TRUNCATED)
    return values.reshape(shape)


def _numbers(text: bytes, count: int, top: int) -> Iterator[Samples]:
    """Reads at least `count` numbers, at most `top` each, from a text, one megabyte at a time: as a list of words the
    text would take twenty times its size."""
    at = 0
    while at < len(text) and count > 0:
        space = _SPACE.search(text, at + (1 << 20))
        end = space.start() if space else len(text)
        values = np.minimum([int(word) for word in text[at:end].split()], top).astype(np.uint16)
        yield values
        at, count = end, count - len(values)


def _pnm_page(values: Samples, top: int) -> Page:
    if top in (255, 65535):
        return Page(values.astype(np.uint8 if top == 255 else np.uint16))
    full, kind = (255, np.uint8) if top < 255 else (65535, np.uint16)
    scaled = ((values.astype(np.uint32) * full + top // 2) // top).astype(kind)
    note = "1 bit read as 8 bit" if top == 1 else f"values of 0 to {top} spread over 0 to {full}"
    return Page(scaled, notes=(note,))


def read_jp2(data: bytes, max_megapixels: float) -> Photo:
    """JPEG 2000, as JP2 or JPX file or bare codestream, of 8 to 16 bits."""
    top_level = list(containers.boxes(data)) if data[4:8] == b"jP  " else []
    start, end = next(((a, b) for name, a, b in top_level if name == b"jp2c"), (0, len(data)))
    header = {
        name: data[a:b]
        for outer, begin, stop in reversed(top_level)
        if outer == b"jp2h"
        for name, a, b in reversed(list(containers.boxes(data, begin, stop)))
    }
    codestream = data[start:end]
    bits = _check_codestream(codestream, max_megapixels)
    if end > len(data):
        raise UnreadableError(limits.TRUNCATED)
    colr = header.get(b"colr", b"")
    icc = colr[3:] if colr[:1] in (b"\2", b"\3") else None
    space = int.from_bytes(colr[3:7], "big") if colr[:1] == b"\1" else 0
    if icc is not None and icc[16:20] == b"CMYK" and int.from_bytes(codestream[40:42], "big") == 4:
        space = _CMYK
    # imagecodecs applies an embedded profile itself, so it gets the file only to undo sYCC or a palette
    whole = space == _SYCC or b"pclr" in header
    decoded = imagecodecs.jpeg2k_decode(data if whole else codestream)
    page = _jp2_page(decoded, 8 if b"pclr" in header else bits, space, icc)
    page = page if space == _CMYK else profiles.with_profile(page, icc)
    page = _with_other_boxes(_jp2_with_metadata(page, data, top_level, header), data, top_level)
    reversible = codestream[: codestream.find(b"\xff\x90")].partition(b"\xff\x52")[2][11:12] == b"\1"
    return Photo("jp2", (page,), lossless=reversible)


def _check_codestream(codestream: bytes, max_megapixels: float) -> int:
    """Bits per sample, from the SIZ marker that opens every codestream."""
    if codestream[:4] != b"\xff\x4f\xff\x51" or len(codestream) < 45:
        raise UnreadableError(limits.DAMAGED)
    x1, y1, x0, y0 = struct.unpack(">4I", codestream[8:24])
    limits.check_size(x1 - x0, y1 - y0, max_megapixels)
    depth = codestream[42]
    if depth & 0x80 or (depth & 0x7F) + 1 > 16:
        raise UnsupportedError("JPEG 2000 with signed or over 16-bit samples: save it as 16-bit TIFF first")
    return (depth & 0x7F) + 1


def _jp2_page(samples: Samples, bits: int, space: int, icc: bytes | None) -> Page:
    samples, notes = convert.to_full_range(samples, bits)
    if space == _CMYK and samples.ndim == 3 and samples.shape[2] == 4:
        rgb, note = convert.rgb_from_cmyk(samples, icc)
        return Page(rgb, notes=(*notes, note))
    if samples.ndim == 3 and samples.shape[2] > 4:
        raise UnsupportedError(f"{samples.shape[2]} channels: not a photograph in grey or RGB; export those as TIFF")
    colour, alpha = convert.split_alpha(samples)
    return Page(colour, alpha=alpha, notes=notes, bits=bits)


def _jp2_with_metadata(
    page: Page, data: bytes, top_level: list[tuple[bytes, int, int]], header: dict[bytes, bytes]
) -> Page:
    uuids = {data[a : a + 16]: data[a + 16 : b] for name, a, b in top_level if name == b"uuid"}
    block = uuids.get(containers.UUID_EXIF, b"").removeprefix(b"Exif\0\0") or None
    block = block if block and block[:4] in (b"II*\0", b"MM\0*") else None
    dpi = _jp2_dpi(header.get(b"res ", b"")) or exif.dpi(block)
    return replace(
        page,
        exif=block,
        orientation=exif.orientation(block),
        xmp=uuids.get(containers.UUID_XMP),
        iptc=uuids.get(containers.UUID_IPTC),
        dpi=dpi,
        density=None if dpi else exif.density(block),
        description=exif.text(block, exif.DESCRIPTION),
    )


def _with_other_boxes(page: Page, data: bytes, top_level: list[tuple[bytes, int, int]]) -> Page:
    """The page with the boxes that another JP2 can carry, and with notes on further pictures and unknown boxes."""
    carried = [(name, data[a:b]) for name, a, b in top_level if name in _CARRIED_BOXES]
    pictures = sum(name == b"jp2c" for name, _, _ in top_level)
    unknown = [
        _UNKNOWN_BOXES.get(name, name.decode("latin-1").strip())
        for name, a, _ in top_level
        if name not in _READ_BOXES | _CARRIED_BOXES.keys() and (name != b"uuid" or data[a : a + 16] not in _UUIDS)
    ]
    notes = page.notes
    notes += (f"first of {pictures} pictures",) if pictures > 1 else ()
    notes += (f"JP2: {listed(list(dict.fromkeys(unknown)))} not carried",) if unknown else ()
    extras = tuple(Extra("jp2", _CARRIED_BOXES[name], containers.box(name, content)) for name, content in carried)
    return replace(page, extras=extras, notes=notes)


def _jp2_dpi(superbox: bytes) -> tuple[float, float] | None:
    """Pixels per inch from the capture resolution, else the display resolution; both are stored per metre."""
    found = {name: superbox[a:b] for name, a, b in containers.boxes(superbox)}
    content = found.get(b"resc") or found.get(b"resd") or b""
    if len(content) < 10:
        return None
    yn, yd, xn, xd, ye, xe = struct.unpack(">4H2b", content[:10])
    if not xd or not yd:
        return None
    return exif.sensible_dpi(xn / xd * 10.0**xe * 0.0254, yn / yd * 10.0**ye * 0.0254)
