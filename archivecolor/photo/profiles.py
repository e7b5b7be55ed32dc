"""Decides which ICC profile belongs to a picture's samples."""

from __future__ import annotations

import struct
from dataclasses import replace

import imagecodecs
import numpy as np

from archivecolor.errors import UnreadableError
from archivecolor.imaging import luminance
from archivecolor.imaging.arrays import FloatArray, Samples
from archivecolor.photo.page import SRGB_ICC, Page

_DAMAGED = "damaged colour profile"
_NOT_FOR_PICTURES = {b"link": "device link profile", b"abst": "abstract profile", b"nmcl": "profile of named colours"}
"""Profile classes (ICC.1, 7.2.5) that describe no picture."""
_CURVE_SIZE = 4096


def with_profile(page: Page, icc: bytes | None) -> Page:
    """The page with the profile, if a transform from it can be built; else with a note.

    A grey page with an RGB profile gets a grey profile with the same tone curve, so `icc` always fits `samples`.
    """
    if not icc:
        return page
    icc, grey = bytes(icc), page.samples.ndim == 2
    fault = _fault(icc, grey)
    if fault:
        return replace(page, notes=(*page.notes, f"{fault} ignored: read as sRGB"))
    if grey and _space(icc) == "RGB":
        note = "RGB colour profile on a grey picture: its tone curve used"
        return replace(page, icc=_grey_profile(icc), notes=(*page.notes, note))
    return replace(page, icc=icc)


def _space(icc: bytes) -> str:
    return icc[16:20].decode("latin-1").strip()


def _fault(icc: bytes, grey: bool) -> str | None:
    """What stands against using the profile for grey or RGB samples; None for nothing."""
    if icc[36:40] != b"acsp":
        return _DAMAGED
    if icc[12:16] in _NOT_FOR_PICTURES:
        return _NOT_FOR_PICTURES[icc[12:16]]
    space = _space(icc)
    if space not in (("GRAY", "RGB") if grey else ("RGB",)):
        return f"colour profile for {space}" if space.isalnum() else _DAMAGED
    try:
        return None if luminance.has_dark_black(icc, space == "GRAY") else _DAMAGED
    except UnreadableError:
        return _DAMAGED


def _neutral_lightness(icc: bytes, codes: Samples) -> FloatArray:
    """L* of neutral codes (n,) through a profile for grey or RGB. Raises UnreadableError."""
    grey = _space(icc) == "GRAY"
    samples = codes[None] if grey else np.repeat(codes[None, :, None], 3, axis=2)
    return luminance.lightness_function(codes.dtype, grey, icc)(samples)[0]


def _grey_profile(icc: bytes) -> bytes:
    """A grey profile with the tone curve that an RGB profile gives to neutral colours."""
    tags = _tags(icc)
    curves = {tags.get(name) for name in (b"rTRC", b"gTRC", b"bTRC")}
    curve = curves.pop() if len(curves) == 1 and b"A2B0" not in tags else None
    tags = _tags(bytes(imagecodecs.cms_profile("gray", gamma=1.0))) | {b"kTRC": curve or _sampled_curve(icc)}
    at, directory, body = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        directory += struct.pack(">4s2I", name, at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    # the header of SRGB_ICC has a fixed date, so the same source gives the same bytes
    header = struct.pack(">I", at + len(body)) + SRGB_ICC[4:16] + b"GRAY" + SRGB_ICC[20:128]
    return header + struct.pack(">I", len(tags)) + directory + body


def _tags(icc: bytes) -> dict[bytes, bytes]:
    """Signature -> content (ICC.1, 7.3)."""
    count = min(int.from_bytes(icc[128:132], "big"), (len(icc) - 132) // 12)
    rows = (struct.unpack_from(">4s2I", icc, 132 + 12 * i) for i in range(count))
    return {name: icc[at : at + size] for name, at, size in rows}


def _sampled_curve(icc: bytes) -> bytes:
    """The luminance of neutral colours as a curveType (ICC.1, 10.6)."""
    lightness = _neutral_lightness(icc, np.linspace(0, 65535, _CURVE_SIZE).astype(np.uint16))
    luminance_of = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness * (27 / 24389))
    return struct.pack(">4s2I", b"curv", 0, _CURVE_SIZE) + np.rint(luminance_of * 65535).astype(">u2").tobytes()
