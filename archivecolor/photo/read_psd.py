"""Reads the flattened picture, of 1, 8 or 16 bits, that Photoshop documents have beside their layers.

psd-tools 1.26 was tried instead of this parser. It fills missing parts of a damaged PackBits row with black without an
error, it refuses pictures whose height times channels is over 300 000, and it unpacks all channels (up to 56) where at
most four are needed.
"""

from __future__ import annotations

import struct
from dataclasses import replace

import imagecodecs
import numpy as np

from archivecolor.errors import UnreadableError, UnsupportedError
from archivecolor.imaging.arrays import Samples
from archivecolor.photo import exif, limits, photoshop, profiles
from archivecolor.photo import samples as convert
from archivecolor.photo.page import Page, Photo

_BITMAP, _GREY, _INDEXED, _RGB, _CMYK, _DUOTONE, _LAB = 0, 1, 2, 3, 4, 8, 9
_COLOR_CHANNELS = {_BITMAP: 1, _GREY: 1, _INDEXED: 1, _RGB: 3, _CMYK: 4, _DUOTONE: 1, _LAB: 3}


def read_psd(data: bytes, max_megapixels: float) -> Photo:
    """The flattened picture of a PSD, with its metadata."""
    if len(data) < 34:
        raise UnreadableError(limits.TRUNCATED)
    channels, height, width, bits, mode = struct.unpack(">HIIHH", data[12:26])
    limits.check_size(width, height, max_megapixels)
    if mode not in _COLOR_CHANNELS or bits not in (1, 8, 16):
        raise UnsupportedError("a Photoshop document of an unusual kind: save it as 8- or 16-bit TIFF first")
    if not 0 < channels <= 56 or channels < _COLOR_CHANNELS[mode] or (bits == 1) != (mode == _BITMAP):
        raise UnreadableError(limits.DAMAGED)
    palette, resources, layers, at = _sections(data)
    items = list(photoshop.resources(resources))
    known = photoshop.contents(items)
    if known.get(photoshop.VERSION, b"\0\0\0\0\1")[4:5] == b"\0":
        raise UnsupportedError(
            "a Photoshop document without a flattened picture: save it with 'Maximize Compatibility', or as TIFF"
        )
    wanted = _COLOR_CHANNELS[mode]
    transparent = _first_extra_is_transparency(layers) and channels > wanted
    planes = _planes(data, at, (channels, height, width), bits, wanted + transparent)
    page = _page_of_planes(planes[..., :wanted], mode, palette, known.get(photoshop.ICC))
    notes = (*page.notes, "layers flattened") if len(layers) > 4 else page.notes
    left_out = channels - wanted - transparent
    if left_out:
        notes += (f"{left_out} extra channels left out",)
    alpha = np.ascontiguousarray(planes[..., wanted]) if transparent else None
    page = replace(page, alpha=alpha, notes=notes, photoshop=photoshop.carried(items))
    return Photo("psd", (_with_metadata(page, known, mode),))


def _sections(data: bytes) -> tuple[bytes, bytes, bytes, int]:
    """Palette, resources, layers, and the offset of the flattened picture."""
    parts, at = [], 26
    for _ in range(3):
        size = int.from_bytes(data[at : at + 4], "big")
        parts.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    if at + 2 > len(data):
        raise UnreadableError(limits.TRUNCATED)
    return parts[0], parts[1], parts[2], at


def _first_extra_is_transparency(layers: bytes) -> bool:
    """Photoshop marks this by a negative number of layers."""
    return len(layers) >= 6 and bool(layers[4] & 0x80)


def _planes(data: bytes, at: int, shape: tuple[int, int, int], bits: int, wanted: int) -> Samples:
    """The first `wanted` channels, (H, W, wanted), uint8 or uint16; bits as 0 and 1."""
    channels, height, width = shape
    row = (width * bits + 7) // 8
    packing = int.from_bytes(data[at : at + 2], "big")
    at += 2
    if packing == 0:
        raw = data[at : at + row * height * wanted]
    elif packing == 1:
        raw = _unpack_rle(data, at, channels * height, wanted * height, row)
    else:
        raise UnsupportedError("a Photoshop document with a ZIP-packed flat picture: save it as TIFF first")
    if len(raw) < row * height * wanted:
        raise UnreadableError(limits.TRUNCATED)
    rows = np.frombuffer(raw, ">u2" if bits == 16 else np.uint8).reshape(wanted, height, -1)
    if bits == 1:
        rows = np.unpackbits(rows, axis=2)[..., :width]
    return np.ascontiguousarray(np.moveaxis(rows, 0, -1)).astype(np.uint16 if bits == 16 else np.uint8, copy=False)


def _unpack_rle(data: bytes, at: int, all_rows: int, wanted_rows: int, row: int) -> bytes:
    sizes = np.frombuffer(data, ">u2", all_rows, at)[:wanted_rows].tolist()
    at += 2 * all_rows
    out = bytearray()
    for size in sizes:
        if at + size > len(data):
            raise UnreadableError(limits.TRUNCATED)
        line = bytes(imagecodecs.packbits_decode(data[at : at + size]))
        if len(line) < row:
            raise UnreadableError(limits.DAMAGED)
        out += line[:row]
        at += size
    return bytes(out)


def _page_of_planes(planes: Samples, mode: int, palette: bytes, icc: bytes | None) -> Page:
    if mode == _CMYK:
        rgb, note = convert.rgb_from_cmyk(convert.invert(planes), icc)
        return Page(rgb, notes=(note,))
    if mode == _LAB:
        return Page(convert.rgb_from_lab(planes, signed=False), notes=("CIELAB converted to sRGB",))
    if mode == _RGB:
        return Page(planes)
    first = np.ascontiguousarray(planes[..., 0])
    if mode == _BITMAP:
        return Page((1 - first) * np.uint8(255), notes=("1 bit read as 8 bit",))
    if mode == _INDEXED:
        if len(palette) < 768 or first.dtype != np.uint8:
            raise UnreadableError(limits.DAMAGED)
        table = np.frombuffer(palette, np.uint8, 768).reshape(3, 256).T
        return Page(np.ascontiguousarray(table[first]), notes=("palette read as RGB",))
    return Page(first, notes=("duotone read as grey",) if mode == _DUOTONE else ())


def _with_metadata(page: Page, known: dict[int, bytes], mode: int) -> Page:
    block = known.get(photoshop.EXIF)
    block = block if block and block[:4] in (b"II*\0", b"MM\0*") else None
    page = replace(
        page,
        exif=block,
        orientation=exif.orientation(block),
        dpi=photoshop.dpi(known.get(photoshop.RESOLUTION, b"")) or exif.dpi(block),
        description=exif.text(block, exif.DESCRIPTION),
        xmp=known.get(photoshop.XMP) or None,
        iptc=known.get(photoshop.IPTC) or None,
    )
    return page if mode in (_CMYK, _LAB) else profiles.with_profile(page, known.get(photoshop.ICC))
