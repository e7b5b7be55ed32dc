"""Reads PNG with all 16 bits, where Pillow would reduce grey with alpha and colour to 8, and with all its chunks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import imagecodecs
import numpy as np

from archivecolor.errors import UnreadableError, listed
from archivecolor.imaging.arrays import Samples
from archivecolor.photo import containers, exif, limits, photoshop, png_color, profiles
from archivecolor.photo import samples as convert
from archivecolor.photo.page import Extra, Page, Photo
from archivecolor.photo.read_pillow import decoded_page, open_image

_GREY, _RGB, _PALETTE = 0, 2, 3
_TAGS = {b"Author": 315, b"Copyright": 33432, b"Title": 269}
_FIELDS = frozenset((*_TAGS, b"Description", b"Comment"))
"""Keywords that have a place in a page, and so in every format."""
_RAW_PROFILE = b"Raw profile type "
_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
_READ = frozenset((*_PIXELS, *_TEXTS, b"tRNS", b"eXIf", b"pHYs"))
_PARTS_OF_FRAMES = frozenset((b"acTL", b"fcTL", b"fdAT", b"iDOT"))
"""Frames have a note of their own; Apple's iDOT is an index to the compressed samples."""
_STILL_TRUE = frozenset((b"tIME", b"oFFs", b"sCAL", b"sTER"))
"""About the sheet or the day, not about the samples, although the last letter says unsafe to copy."""
_WORDS = {
    b"sBIT": "sBIT (significant bits)",
    b"bKGD": "bKGD (background)",
    b"caBX": "caBX (content credentials)",
    b"hIST": "hIST (histogram)",
    b"sPLT": "sPLT (palette)",
}


class _Texts(NamedTuple):
    """The text chunks of a file."""

    first: dict[bytes, bytes]
    """Keyword -> text, UTF-8, of the first chunk with this keyword."""
    extras: tuple[Extra, ...]
    lost: tuple[str, ...]


def read_png(data: bytes, max_megapixels: float) -> Photo:
    """PNG of 1 to 16 bits, grey, palette or RGB, with alpha or a transparent colour."""
    chunks = _up_to_end(list(containers.png_chunks(data)))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) < 13:
        raise UnreadableError(limits.DAMAGED)
    width, height, bits, colour = struct.unpack(">IIBB", chunks[0][1][:10])
    limits.check_size(width, height, max_megapixels)
    if chunks[-1][0] != b"IEND":
        raise UnreadableError(limits.TRUNCATED)
    _check_checksums(data, chunks)
    # without the ancillary chunks no library changes a sample or fails at a damaged text
    wanted = (*_PIXELS, b"tRNS") if colour == _PALETTE else _PIXELS
    bare = containers.PNG_MAGIC + b"".join(containers.png_chunk(*chunk) for chunk in chunks if chunk[0] in wanted)
    page = _read_16_bit(bare) if bits == 16 else _read_8_bit(bare, max_megapixels, bits, colour)
    first = dict(reversed(chunks))
    frames = int.from_bytes(first.get(b"acTL", b"\0\0\0\1")[:4], "big")
    if frames > 1:
        page = replace(page, notes=(f"first of {frames} frames", *page.notes))
    if page.alpha is None:
        page = replace(page, alpha=_alpha_of_key_color(page.samples, first.get(b"tRNS"), bits, colour))
    return Photo("png", (_with_metadata(page, chunks, first),))


def _up_to_end(chunks: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Without what follows the end of the picture."""
    names = [name for name, _ in chunks]
    return chunks[: names.index(b"IEND") + 1] if b"IEND" in names else chunks


def _read_8_bit(data: bytes, max_megapixels: float, bits: int, colour: int) -> Page:
    page = decoded_page(open_image(data, max_megapixels))
    notes: tuple[str, ...] = ()
    if colour == _PALETTE:
        notes += ("palette read as RGB",)
    elif bits < 8:
        notes += (f"{bits} bit read as 8 bit",)
    return replace(page, notes=notes)


def _read_16_bit(data: bytes) -> Page:
    colour, alpha = convert.split_alpha(imagecodecs.png_decode(data))
    return Page(colour, alpha=alpha)


def _check_checksums(data: bytes, chunks: list[tuple[bytes, bytes]]) -> None:
    """Compares the stored checksums: rewritten chunks get new ones, and Pillow does not check those of IDAT."""
    at = len(containers.PNG_MAGIC)
    for name, content in chunks:
        end = at + 12 + len(content)
        if name in _PIXELS[:3] and data[at:end] != containers.png_chunk(name, content):
            raise UnreadableError(limits.TRUNCATED if end > len(data) else limits.DAMAGED)
        at = end


def _alpha_of_key_color(samples: Samples, key: bytes | None, bits: int, colour: int) -> Samples | None:
    """Alpha from the one colour that PNG's tRNS declares transparent."""
    size = {_GREY: 2, _RGB: 6}.get(colour)
    if key is None or size is None or len(key) < size:
        return None
    top = np.iinfo(samples.dtype).max
    values = [value * top // ((1 << bits) - 1) for value in struct.unpack(f">{size // 2}H", key[:size])]
    hidden = samples == values[0] if colour == _GREY else (samples == np.array(values)).all(axis=-1)
    return np.where(hidden, 0, top).astype(samples.dtype)


def _with_metadata(page: Page, chunks: list[tuple[bytes, bytes]], first: dict[bytes, bytes]) -> Page:
    """The page with its metadata.

    Args:
        first: the content of the first chunk of each name.
    """
    texts = _texts(chunks)
    stored = first.get(b"eXIf") or _raw_profile(texts.first, b"exif") or _raw_profile(texts.first, b"APP1")
    block = (stored or b"").removeprefix(b"Exif\0\0")
    block = block if block[:4] in (b"II*\0", b"MM\0*") else b""
    color = png_color.color_chunks(first, page.samples.ndim == 2)
    extras, lost = _other_chunks(chunks, color.stays)
    lost = (*texts.lost, *lost, *(["damaged EXIF"] if stored and not block else []))
    iptc, resources = _resources(texts.first)
    density, dpi = _density(first.get(b"pHYs"))
    page = replace(
        page,
        exif=block or None,
        orientation=exif.orientation(block),
        dpi=dpi or (None if density else exif.dpi(block)),
        density=density,
        xmp=texts.first.get(containers.XMP_KEYWORD) or _raw_profile(texts.first, b"xmp"),
        iptc=iptc,
        photoshop=resources,
        description=texts.first.get(b"Description", b"").decode("utf-8", "replace")
        or exif.text(block, exif.DESCRIPTION),
        tags=tuple((tag, "s", 0, texts.first[key], True) for key, tag in _TAGS.items() if texts.first.get(key)),
        comments=(texts.first[b"Comment"],) if texts.first.get(b"Comment") else (),
        extras=texts.extras + extras,
        notes=(*page.notes, *color.notes, *([f"PNG: {listed(lost)} not carried"] if lost else [])),
    )
    return profiles.with_profile(page, color.icc)


def _texts(chunks: list[tuple[bytes, bytes]]) -> _Texts:
    first: dict[bytes, bytes] = {}
    extras, lost, limit = [], dict[str, None](), containers.MAX_INFLATED
    for name, content in chunks:
        if name not in _TEXTS:
            continue
        keyword = containers.png_keyword(content)
        label = keyword.decode("latin-1")
        try:
            text = containers.png_text_of(name, content, limit)
        except ValueError:  # too long when it is unpacked
            lost[label] = None
            continue
        except (zlib.error, IndexError):  # damaged, so there is nothing to lose
            continue
        limit -= len(text)
        is_field = keyword in _FIELDS and keyword not in first
        if keyword.startswith(_RAW_PROFILE) and not _is_metadata(keyword):
            lost[label] = None
        elif keyword != containers.XMP_KEYWORD and not keyword.startswith(_RAW_PROFILE):
            extras.append(Extra("png", "" if is_field else label, containers.png_chunk(name, content)))
        first.setdefault(keyword, text)
    return _Texts(first, tuple(extras), tuple(lost))


def _is_metadata(keyword: bytes) -> bool:
    return keyword.removeprefix(_RAW_PROFILE) in (b"exif", b"APP1", b"xmp", b"iptc", b"8bim")


def _other_chunks(
    chunks: list[tuple[bytes, bytes]], true_of_srgb: frozenset[bytes]
) -> tuple[tuple[Extra, ...], tuple[str, ...]]:
    """The chunks that another PNG can carry, and the words for those that do not fit new samples. The case of the
    last letter of a name says whether a chunk depends on the samples (PNG, 5.4)."""
    extras, lost = [], dict[str, None]()
    for name, content in chunks:
        if name in _READ | _PARTS_OF_FRAMES or (name in png_color.CHUNKS and name not in true_of_srgb):
            continue
        if name in true_of_srgb | _STILL_TRUE or name[3:4].islower():
            label = "" if name in true_of_srgb else name.decode("latin-1")
            extras.append(Extra("png", label, containers.png_chunk(name, content)))
        else:
            lost[_WORDS.get(name, name.decode("latin-1"))] = None
    return tuple(extras), tuple(lost)


def _density(chunk: bytes | None) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """The ratio of pixels that are not square, and pixels per inch; one of them is None."""
    if chunk is None or len(chunk) < 9:
        return None, None
    x, y = struct.unpack(">II", chunk[:8])
    if chunk[8] == 1:
        return None, exif.sensible_dpi(x * 0.0254, y * 0.0254)
    return ((float(x), float(y)) if x and y and x != y else None), None


def _raw_profile(texts: Mapping[bytes, bytes], kind: bytes) -> bytes | None:
    try:
        return containers.from_raw_profile(texts[_RAW_PROFILE + kind]) or None
    except (KeyError, ValueError):
        return None


def _resources(texts: Mapping[bytes, bytes]) -> tuple[bytes | None, bytes | None]:
    """IPTC records and the other Photoshop resources to carry."""
    raw = _raw_profile(texts, b"iptc") or _raw_profile(texts, b"8bim")
    if raw is None or raw[:1] == b"\x1c":
        return raw, None
    resources = list(photoshop.resources(raw))
    return photoshop.iptc(resources)[0], photoshop.carried(resources)
