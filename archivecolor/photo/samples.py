"""Converts sample values of every kind to 8 or 16 bits, grey or RGB, without losing tones."""

from __future__ import annotations

import imagecodecs
import numpy as np

from archivecolor.imaging.arrays import Samples
from archivecolor.photo.page import SRGB_ICC

_XYZ_D50_TO_RGB = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)  # Bradford-adapted, Lindbloom
_D50 = np.array([0.96422, 1.0, 0.82521])


def to_full_range(samples: Samples, bits: int) -> tuple[Samples, tuple[str, ...]]:
    """Values of 1 to 16 bits -> the full range of uint8 or uint16, and a note about it."""
    if bits in (8, 16):
        return samples, ()
    target = 8 if bits < 8 else 16
    top, full = (1 << bits) - 1, (1 << target) - 1
    wide = (samples.astype(np.uint32) * full + top // 2) // top
    kind = np.uint8 if target == 8 else np.uint16
    return np.minimum(wide, full).astype(kind), (f"{bits} bit read as {target} bit",)


def stretch_to_16_bit(samples: Samples) -> tuple[Samples, tuple[str, ...]]:
    """Signed, 32-bit or floating-point values -> uint16. Black and white are those of the file, if it states them.

    Floats within 0..1 and unsigned integers that use their range keep their scale. All others are stretched from their
    lowest to their highest value.
    """
    finite = np.nan_to_num(samples.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite.min()), float(finite.max())
    name = str(samples.dtype)
    if samples.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high, source_range = 0.0, 1.0, "0 to 1"
    elif samples.dtype.kind == "u" and high > np.iinfo(samples.dtype).max / 256:
        low, high, source_range = 0.0, float(np.iinfo(samples.dtype).max), "its full range"
    else:
        source_range = f"{low:g} to {high:g}"
    span = high - low or 1.0
    scaled = np.rint((finite - low) * (65535 / span)).astype(np.uint16)
    return scaled, (f"{name} read as 16 bit from {source_range}",)


def split_alpha(samples: Samples) -> tuple[Samples, Samples | None]:
    """(H, W[, 1..4]) -> grey or RGB samples, and the alpha that a second or fourth channel is."""
    if samples.ndim == 2:
        return samples, None
    channels = samples.shape[2]
    colour = samples[..., 0] if channels < 3 else samples[..., :3]
    alpha = np.ascontiguousarray(samples[..., -1]) if channels in (2, 4) else None
    return np.ascontiguousarray(colour), alpha


def invert(samples: Samples) -> Samples:
    """White is zero -> black is zero."""
    return np.asarray(np.iinfo(samples.dtype).max - samples, samples.dtype)


def to_8_bit(samples: Samples) -> Samples:
    """uint16 -> uint8, rounded; uint8 as it is."""
    if samples.dtype == np.uint8:
        return samples
    return np.asarray((samples.astype(np.uint32) + 128) // 257, np.uint8)


def unpremultiply(samples: Samples, alpha: Samples) -> Samples:
    """Colour that was multiplied by its alpha -> the colour itself; black where alpha is 0."""
    top = np.iinfo(samples.dtype).max
    cover = (alpha if samples.ndim == 2 else alpha[..., None]).astype(np.float32)
    plain = np.where(cover > 0, samples * (top / np.maximum(cover, 1)), 0)
    return np.asarray(np.clip(np.rint(plain), 0, top), samples.dtype)


def _from_unit(rgb: Samples, dtype: np.dtype[np.generic]) -> Samples:
    top = np.iinfo(dtype).max  # type: ignore[type-var]
    return np.asarray(np.rint(np.clip(rgb, 0, 1) * top), dtype)


def rgb_from_cmyk(cmyk: Samples, icc: bytes | None) -> tuple[Samples, str]:
    """(H, W, 4), 0 = no ink -> sRGB of the same depth, through the profile if it is valid."""
    ink = cmyk / np.float32(np.iinfo(cmyk.dtype).max)
    if icc is not None and icc[16:20] == b"CMYK":
        try:
            # littleCMS counts ink in per cent when it works in floating point
            percent = np.ascontiguousarray(ink * np.float32(100))
            rgb = imagecodecs.cms_transform(
                percent, icc, SRGB_ICC, colorspace="cmyk", outcolorspace="rgb", outdtype="float32"
            )
            return _from_unit(rgb, cmyk.dtype), "CMYK converted to sRGB through its profile"
        except (imagecodecs.CmsError, ValueError):
            pass
    rgb = (1 - ink[..., :3]) * (1 - ink[..., 3:])
    return _from_unit(rgb, cmyk.dtype), "CMYK without a usable profile converted to sRGB by the plain formula"


def rgb_from_lab(lab: Samples, signed: bool) -> Samples:
    """(H, W, 3) CIE L*a*b* (D50) in TIFF's coding -> sRGB of the same depth.

    Args:
        signed: a and b are two's complement (TIFF CIELAB); else they have an offset of 128 (ICCLAB, Photoshop).
    """
    half = 1 << (lab.dtype.itemsize * 8 - 1)
    ab = lab[..., 1:].view(f"i{lab.dtype.itemsize}") if signed else lab[..., 1:].astype(np.int32) - half
    unit = half / 128
    fy = (lab[..., 0].astype(np.float32) * (100 / np.iinfo(lab.dtype).max) + 16) / 116
    f = np.stack([fy + ab[..., 0] / unit / 500, fy, fy - ab[..., 1] / unit / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, (f - 16 / 116) * (108 / 841)) * _D50
    linear = np.clip(xyz @ _XYZ_D50_TO_RGB.T, 0, 1)
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
    return _from_unit(srgb, lab.dtype)


def rgb_from_ycbcr(ycc: Samples) -> Samples:
    """(H, W, 3) full-range BT.601 YCbCr, 8 or 16 bit -> RGB of the same depth."""
    top = np.iinfo(ycc.dtype).max
    y, cb, cr = (ycc[..., i] / np.float32(top) for i in range(3))
    middle = (top + 1) / 2 / top
    cb, cr = cb - middle, cr - middle
    return _from_unit(np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], -1), ycc.dtype)
