"""Reads PNG, PNM and JPEG 2000 with all 16 bits; Pillow would reduce them to 8."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import replace

import imagecodecs
import numpy as np

from archivecolor.errors import UnreadableError, UnsupportedError
from archivecolor.imaging.arrays import Samples
from archivecolor.photo import containers, exif, limits, photoshop, profiles
from archivecolor.photo import samples as convert
from archivecolor.photo.page import Page, Photo
from archivecolor.photo.read_pillow import decoded_page, open_image

_GREY, _RGB, _PALETTE = 0, 2, 3
_PNG_TAGS = {b"Author": 315, b"Copyright": 33432, b"Title": 269}
_PNG_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_SYCC, _CMYK = 18, 12


def read_png(data: bytes, max_megapixels: float) -> Photo:
    """PNG of 1 to 16 bits, grey, palette or RGB, with alpha or a transparent colour."""
    chunks = list(containers.png_chunks(data))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) < 13:
        raise UnreadableError(limits.DAMAGED)
    width, height, bits, colour = struct.unpack(">IIBB", chunks[0][1][:10])
    limits.check_size(width, height, max_megapixels)
    if not any(name == b"IEND" for name, _ in chunks):
        raise UnreadableError(limits.TRUNCATED)
    _check_png_checksums(data)
    # without the ancillary chunks no library changes a sample or fails at a damaged text
    wanted = (*_PNG_PIXELS, b"tRNS") if colour == _PALETTE else _PNG_PIXELS
    bare = containers.PNG_MAGIC + b"".join(containers.png_chunk(*chunk) for chunk in chunks if chunk[0] in wanted)
    page = _png_16(bare) if bits == 16 else _png_8(bare, max_megapixels, bits, colour)
    frames = next((int.from_bytes(content[:4], "big") for name, content in chunks if name == b"acTL"), 1)
    if frames > 1:
        page = replace(page, notes=(f"first of {frames} frames", *page.notes))
    return Photo("png", (_png_with_metadata(page, data, dict(reversed(chunks)), (bits, colour)),))


def _png_8(data: bytes, max_megapixels: float, bits: int, colour: int) -> Page:
    page = decoded_page(open_image(data, max_megapixels))
    notes: tuple[str, ...] = ()
    if colour == _PALETTE:
        notes += ("palette read as RGB",)
    elif bits < 8:
        notes += (f"{bits} bit read as 8 bit",)
    return replace(page, notes=notes)


def _png_16(data: bytes) -> Page:
    colour, alpha = convert.split_alpha(imagecodecs.png_decode(data))
    return Page(colour, alpha=alpha)


def _check_png_checksums(data: bytes) -> None:
    """Compares the stored checksums: rewritten chunks get new ones, and Pillow does not check those of IDAT."""
    at = len(containers.PNG_MAGIC)
    for name, content in containers.png_chunks(data):
        end = at + 12 + len(content)
        if data[at:end] != containers.png_chunk(name, content) and name in _PNG_PIXELS[:3]:
            raise UnreadableError(limits.TRUNCATED if end > len(data) else limits.DAMAGED)
        at = end


def _png_with_metadata(page: Page, data: bytes, chunks: dict[bytes, bytes], kind: tuple[int, int]) -> Page:
    """The page with its metadata; `chunks` holds the first of each name."""
    texts = containers.png_texts(data)
    block = chunks.get(b"eXIf") or _raw_profile(texts, b"exif") or _raw_profile(texts, b"APP1")
    block = block.removeprefix(b"Exif\0\0") if block else None
    block = block if block and block[:4] in (b"II*\0", b"MM\0*") else None
    iptc, further = _png_photoshop(texts)
    description = texts.get(b"Description", b"").decode("utf-8", "replace") or exif.text(block, exif.DESCRIPTION)
    page = replace(
        page,
        alpha=page.alpha if page.alpha is not None else _alpha_of_key_color(page.samples, chunks.get(b"tRNS"), kind),
        exif=block,
        orientation=exif.orientation(block),
        dpi=_png_dpi(chunks.get(b"pHYs")) or exif.dpi(block),
        xmp=texts.get(containers.XMP_KEYWORD),
        iptc=iptc,
        photoshop=further,
        description=description,
        tags=tuple((tag, "s", 0, texts[key], True) for key, tag in _PNG_TAGS.items() if texts.get(key)),
        comments=(texts[b"Comment"],) if texts.get(b"Comment") else (),
    )
    return profiles.with_profile(page, _png_icc(chunks.get(b"iCCP")))


def _alpha_of_key_color(samples: Samples, key: bytes | None, kind: tuple[int, int]) -> Samples | None:
    """Alpha from the one colour that PNG's tRNS declares transparent."""
    bits, colour = kind
    size = {_GREY: 2, _RGB: 6}.get(colour)
    if key is None or size is None or len(key) < size:
        return None
    top = np.iinfo(samples.dtype).max
    values = [value * top // ((1 << bits) - 1) for value in struct.unpack(f">{size // 2}H", key[:size])]
    hidden = samples == values[0] if colour == _GREY else (samples == np.array(values)).all(axis=-1)
    return np.where(hidden, 0, top).astype(samples.dtype)


def _png_dpi(chunk: bytes | None) -> tuple[float, float] | None:
    if chunk is None or len(chunk) < 9 or chunk[8] != 1:
        return None
    x, y = struct.unpack(">II", chunk[:8])
    return exif.sensible_dpi(x * 0.0254, y * 0.0254)


def _png_icc(chunk: bytes | None) -> bytes | None:
    if chunk is None:
        return None
    try:
        return containers.inflated(chunk.partition(b"\0")[2][1:])
    except Exception:  # a damaged profile must not fail the picture; with_profile adds a note
        return b"damaged"


def _raw_profile(texts: dict[bytes, bytes], kind: bytes) -> bytes | None:
    try:
        return containers.from_raw_profile(texts[b"Raw profile type " + kind])
    except (KeyError, ValueError):
        return None


def _png_photoshop(texts: dict[bytes, bytes]) -> tuple[bytes | None, bytes | None]:
    """IPTC records and the other Photoshop resources to carry."""
    raw = _raw_profile(texts, b"iptc")
    if raw is None or raw[:1] == b"\x1c":
        return raw, None
    resources = list(photoshop.resources(raw))
    return photoshop.iptc(resources)[0], photoshop.carried(resources)


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
    space = int.from_bytes(header.get(b"colr", b"")[3:7], "big") if header.get(b"colr", b"")[:1] == b"\1" else 0
    # imagecodecs applies an embedded profile itself, so it gets the file only to undo sYCC or a palette
    whole = space == _SYCC or b"pclr" in header
    page = _jp2_page(imagecodecs.jpeg2k_decode(data if whole else codestream), 8 if b"pclr" in header else bits, space)
    page = _jp2_with_metadata(page, data, top_level, header)
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


def _jp2_page(samples: Samples, bits: int, space: int) -> Page:
    samples, notes = convert.to_full_range(samples, bits)
    if space == _CMYK and samples.ndim == 3 and samples.shape[2] == 4:
        rgb, note = convert.rgb_from_cmyk(samples, None)
        return Page(rgb, notes=(*notes, note))
    if samples.ndim == 3 and samples.shape[2] > 4:
        raise UnsupportedError(f"{samples.shape[2]} channels: not a photograph in grey or RGB; export those as TIFF")
    colour, alpha = convert.split_alpha(samples)
    return Page(colour, alpha=alpha, notes=notes)


def _jp2_with_metadata(
    page: Page, data: bytes, top_level: list[tuple[bytes, int, int]], header: dict[bytes, bytes]
) -> Page:
    uuids = {data[a : a + 16]: data[a + 16 : b] for name, a, b in top_level if name == b"uuid"}
    block = uuids.get(containers.UUID_EXIF, b"").removeprefix(b"Exif\0\0") or None
    block = block if block and block[:4] in (b"II*\0", b"MM\0*") else None
    page = replace(
        page,
        exif=block,
        xmp=uuids.get(containers.UUID_XMP),
        iptc=uuids.get(containers.UUID_IPTC),
        dpi=_jp2_dpi(header.get(b"res ", b"")) or exif.dpi(block),
        description=exif.text(block, exif.DESCRIPTION),
    )
    colr = header.get(b"colr", b"")
    return profiles.with_profile(page, colr[3:] if colr[:1] in (b"\2", b"\3") else None)


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
