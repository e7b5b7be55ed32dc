"""Reads HEIC and AVIF. Their containers turn the picture, whatever EXIF and XMP say."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace

import imagecodecs
import numpy as np

from archivecolor.errors import UnsupportedError, listed
from archivecolor.photo import containers, exif, limits, profiles
from archivecolor.photo import samples as convert
from archivecolor.photo.page import Page, Photo
from archivecolor.photo.read_pillow import read_with_pillow, tiff_block

_SIZES_SEARCHED = 1 << 16
_READ_BOXES = frozenset((b"ftyp", b"meta", b"mdat", b"idat", b"moov", b"free", b"skip", b"wide"))
_BOX_WORDS = {b"mpvd": "film (mpvd)", b"uuid": "data of another program (uuid)", b"jumb": "content credentials (jumb)"}
_GAIN_MAP_ITEM = b"tmap"


def read_avif(data: bytes, max_megapixels: float) -> Photo:
    """AVIF, also of 10 or 12 bits; the first frame of an animation."""
    _check_declared_sizes(data, max_megapixels)
    photo = read_with_pillow(data, max_megapixels)
    first = photo.pages[0]
    photo = replace(photo, pages=(replace(first, notes=first.notes + _left_out(data, "AVIF", ())),))
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
    page = replace(photo.pages[0], samples=colour, alpha=alpha, notes=photo.pages[0].notes + notes, bits=bits)
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
    bits, notes = int(image.info.get("bit_depth", 8)), tuple[str, ...]()
    stored = np.asarray(image)
    if stored.dtype == np.uint16:  # the values stand in the upper bits, so that white would not be 65535
        stored, notes = convert.to_full_range(stored >> (16 - bits), bits)
    colour, alpha = convert.split_alpha(stored)
    notes += _left_out(data, "HEIC", _other_pictures(image))
    iptc = [part["data"] for part in image.info.get("metadata", ()) if part.get("type") == "iptc"]
    page = Page(
        colour,
        alpha=alpha,
        exif=tiff_block(image.info.get("exif")),
        xmp=image.info.get("xmp"),
        iptc=iptc[0] if iptc else None,
        notes=notes,
        bits=bits,
    )
    page = profiles.with_profile(page, image.info.get("icc_profile"))
    page = replace(page, description=exif.text(page.exif, exif.DESCRIPTION), dpi=exif.dpi(page.exif))
    return Photo("heic", (page,), lossless=False)


def _other_pictures(file: Sequence[object]) -> tuple[str, ...]:
    """Words for the pictures of a HEIC beside its primary one, of which no output has a copy."""
    info: Mapping[str, Sequence[object]] = getattr(file, "info", {})
    others = len(file) - 1
    words = [f"{others} more {'picture' if others == 1 else 'pictures'}"] if others > 0 else []
    words += ["depth map"] if info.get("depth_images") else []
    words += ["auxiliary pictures, such as a gain map"] if info.get("aux") else []
    return tuple(words)


def _left_out(data: bytes, format: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """A note on what else is in the file.

    Args:
        words: for what its reader knows of.
    """
    boxes = [name for name, _, _ in containers.boxes(data) if name not in _READ_BOXES]
    words += tuple(dict.fromkeys(_BOX_WORDS.get(name, name.decode("latin-1").strip()) for name in boxes))
    header = data[: data.find(b"mdat")]
    words += ("gain map",) if _GAIN_MAP_ITEM in header else ()
    return (f"{format}: {listed(words)} not carried",) if words else ()


def _check_declared_sizes(data: bytes, max_megapixels: float) -> None:
    """Checks every size in the header of an AVIF or HEIC: their decoders refuse large ones without saying so."""
    at = data.find(b"ispe\0\0\0\0", 0, _SIZES_SEARCHED)
    while at >= 0:
        width, height = (int.from_bytes(data[i : i + 4], "big") for i in (at + 8, at + 12))
        limits.check_size(width, height, max_megapixels)
        at = data.find(b"ispe\0\0\0\0", at + 16, _SIZES_SEARCHED)
