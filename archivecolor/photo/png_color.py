"""What a PNG says of its colours: cICP, iCCP, sRGB, gAMA and cHRM, in this order (PNG, 3rd edition, 4.3)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

import imagecodecs
import numpy as np

from archivecolor.photo import containers

CHUNKS = frozenset((b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"))
_D65 = (0.3127, 0.3290)
_BT709 = (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
_SRGB_GAMMA = 0.45455
_GAMMA_TOLERANCE, _PRIMARY_TOLERANCE = 0.05, 0.01
"""libpng takes a gamma within 5 % of sRGB's for sRGB."""
_MOST_EXTREME_GAMMA = 10.0
_UNSPECIFIED = 2
_CICP_PRIMARIES = {
    1: _BT709,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    _UNSPECIFIED: _BT709,
}
"""White point and primaries by their number (ITU-T H.273, table 2), as in cHRM."""
_CICP_GAMMAS = {1: 0.0, 4: 2.2, 5: 2.8, 6: 0.0, 8: 1.0, 13: 0.0, 14: 0.0, 15: 0.0, _UNSPECIFIED: 0.0}
"""Exponents by the number of the transfer function (H.273, table 3); 0 for those that are shown like sRGB."""


class ColorChunks(NamedTuple):
    """How the samples of a PNG are to be read."""

    icc: bytes | None = None
    """None for sRGB."""
    notes: tuple[str, ...] = ()
    stays: frozenset[bytes] = frozenset()
    """The chunks that are true of a picture in sRGB as well."""


def color_chunks(chunks: Mapping[bytes, bytes], is_grey: bool) -> ColorChunks:
    """Decides by the first of these chunks that can be used.

    Args:
        chunks: by their name.
    """
    notes: tuple[str, ...] = ()
    if b"cICP" in chunks:
        color = _from_cicp(chunks[b"cICP"], is_grey)
        if color is not None:
            return color
        notes = ("cICP (video or HDR colours) ignored",)
    if b"iCCP" in chunks:
        return ColorChunks(_embedded_profile(chunks[b"iCCP"]), notes)
    if b"sRGB" in chunks:
        return ColorChunks(None, notes, frozenset((b"sRGB",)))
    color = _from_gamma(chunks.get(b"gAMA"), chunks.get(b"cHRM"), is_grey)
    return color._replace(notes=notes + color.notes)


def _embedded_profile(chunk: bytes) -> bytes:
    try:
        return containers.inflated(chunk.partition(b"\0")[2][1:])
    except Exception:  # a damaged profile must not fail the picture; with_profile adds a note
        return b"damaged"


def _from_cicp(chunk: bytes, is_grey: bool) -> ColorChunks | None:
    if len(chunk) != 4 or chunk[2] != 0 or chunk[3] != 1:
        return None
    if chunk[0] not in _CICP_PRIMARIES or chunk[1] not in _CICP_GAMMAS:
        return None
    icc = _profile(_CICP_GAMMAS[chunk[1]], _CICP_PRIMARIES[chunk[0]], is_grey)
    return ColorChunks(icc, ("read by its cICP",)) if icc else ColorChunks(None, (), frozenset((b"cICP",)))


def _from_gamma(gama: bytes | None, chrm: bytes | None, is_grey: bool) -> ColorChunks:
    """The colours by gAMA, the exponent with which the samples were encoded, and by cHRM, the primaries."""
    stays, notes, gamma, primaries = set[bytes](), tuple[str, ...](), 0.0, _BT709
    encoded = int.from_bytes(gama, "big") / 100_000 if gama and len(gama) == 4 else _SRGB_GAMMA
    if not 1 / _MOST_EXTREME_GAMMA <= encoded <= _MOST_EXTREME_GAMMA:
        notes += (f"gAMA of {encoded:g} ignored: read as sRGB",)
    elif abs(encoded / _SRGB_GAMMA - 1) >= _GAMMA_TOLERANCE:
        gamma = 1 / encoded
    elif gama:
        stays.add(b"gAMA")
    if chrm and len(chrm) == 32 and not is_grey:
        primaries = tuple(value / 100_000 for value in struct.unpack(">8I", chrm))
        if np.abs(np.subtract(primaries, _BT709)).max() < _PRIMARY_TOLERANCE:
            stays.add(b"cHRM")
    try:
        icc = _profile(gamma, primaries, is_grey)
    except (imagecodecs.CmsError, ValueError, ZeroDivisionError):
        return ColorChunks(None, ("gAMA and cHRM make no colour space, ignored: read as sRGB",))
    if icc is None:
        return ColorChunks(None, notes, frozenset(stays))
    named = [f"gAMA ({encoded:g})"] * bool(gamma) + ["cHRM"] * (b"cHRM" not in stays and primaries != _BT709)
    return ColorChunks(icc, (*notes, f"read by its {' and '.join(named)}"))


def _profile(gamma: float, primaries: tuple[float, ...], is_grey: bool) -> bytes | None:
    """The profile of such samples; None for sRGB.

    Args:
        gamma: the exponent that makes samples linear; 0 for sRGB's curve.
        primaries: x and y of white, red, green and blue.
    """
    if is_grey:
        return _undated(imagecodecs.cms_profile("gray", gamma=gamma)) if gamma else None
    if not gamma and np.abs(np.subtract(primaries, _BT709)).max() < _PRIMARY_TOLERANCE:
        return None
    curve = {"gamma": gamma} if gamma else {"transferfunction": _srgb_curve()}
    return _undated(imagecodecs.cms_profile("rgb", whitepoint=primaries[:2], primaries=primaries[2:], **curve))


def _srgb_curve() -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """sRGB's curve as 4096 values (IEC 61966-2-1)."""
    encoded = np.linspace(0, 1, 4096)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return np.rint(linear * 65535).astype(np.uint16)


def _undated(icc: bytes) -> bytes:
    """The profile without the time at which it was made: the same input must give the same bytes."""
    return bytes(icc[:24]) + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + bytes(icc[36:])
