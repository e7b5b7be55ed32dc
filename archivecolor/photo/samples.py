"""Converts sample values of every kind to 8 or 16 bits, grey or RGB, without losing tones."""

from __future__ import annotations

import imagecodecs
import numpy as np

from archivecolor.imaging.arrays import AnyFloatArray, DoubleArray, FloatArray, Samples
from archivecolor.photo.page import SRGB_ICC

_XYZ_D50_TO_RGB = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)  # Bradford-adapted, Lindbloom
_D50 = np.array([0.96422, 1.0, 0.82521])
_FAR_OFF = 0.5
"""Per cent of the values at each end that do not decide about black and white."""
_OVERSHOOT = 0.1
"""How far values may lie beyond black and white, as sharpening and resampling leave them; a share of white."""
_COUNTED = 1_000_000
"""How many values are sorted to find the ends."""


def to_full_range(samples: Samples, bits: int) -> tuple[Samples, tuple[str, ...]]:
    """Values of 1 to 16 bits -> the full range of uint8 or uint16, and a note about it."""
    if bits in (8, 16):
        return samples, ()
    target = 8 if bits < 8 else 16
    top, full = (1 << bits) - 1, (1 << target) - 1
    wide = (samples.astype(np.uint32) * full + top // 2) // top
    kind = np.uint8 if target == 8 else np.uint16
    return np.minimum(wide, full).astype(kind), (f"{bits} bit read as {target} bit",)


def spread(samples: Samples, top: int) -> tuple[Samples, tuple[str, ...]]:
    """Unsigned values of 0 to `top` -> the full range of their type, and a note about it."""
    full = int(np.iinfo(samples.dtype).max)
    wide = (samples.astype(np.uint32) * full + top // 2) // top
    return wide.astype(samples.dtype), (f"values of 0 to {top} spread over 0 to {full}",)


def stretch_to_16_bit(samples: Samples, stated: tuple[float, float] | None = None) -> tuple[Samples, tuple[str, ...]]:
    """Signed, 32-bit or floating-point values -> uint16, and notes about it.

    Black and white are those that the file states, unless too many values lie outside. Else they are 0 and the usual
    white (1, 255, 65535, the largest unsigned integer) that fits nearly all values. Else the values are stretched from
    their lowest to their highest. A few values far off, such as hot pixels, do not count; they are clipped.

    Args:
        stated: black and white by the file.
    """
    values = samples.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high, source_range = _value_range(finite, samples.dtype, stated) if finite.size else (0.0, 1.0, "0 to 1")
    outside = int(np.count_nonzero((finite < low) | (finite > high)))
    notes: tuple[str, ...] = (f"{samples.dtype} read as 16 bit from {source_range}",)
    notes += (f"values outside {source_range} clipped: {outside}",) if outside else ()
    clipped = np.clip(np.nan_to_num(values, nan=low, posinf=high, neginf=low), low, high)
    return np.rint((clipped - low) * (65535 / (high - low or 1.0))).astype(np.uint16), notes


def _value_range(
    values: DoubleArray, dtype: np.dtype[np.generic], stated: tuple[float, float] | None
) -> tuple[float, float, str]:
    """Black, white, and words for both."""
    lowest, highest = float(values.min()), float(values.max())
    few = values[:: max(1, values.size // _COUNTED)]
    low, high = (float(v) for v in np.percentile(few, (_FAR_OFF, 100 - _FAR_OFF)))
    if stated and stated[0] <= low and high <= stated[1] and stated[0] < stated[1]:
        return *stated, f"{stated[0]:g} to {stated[1]:g}"
    is_float = dtype.kind == "f"
    reach = _OVERSHOOT if is_float else 0.0
    largest = 0.0 if is_float else float(np.iinfo(dtype).max)  # type: ignore[type-var]
    for white in (1.0, 255.0, 65535.0) if is_float else (255.0, 65535.0):
        codes = white == 1 or high >= 16 or bool((few % 1 == 0).all())  # else light on a scale of its own
        if (is_float or largest > white) and codes and -reach * high <= low and high <= white * (1 + reach):
            return 0.0, white, f"0 to {white:g}"
    if dtype.kind == "u" and high > largest / 256:
        return 0.0, largest, "its full range"
    span = high - low
    low, high = max(lowest, low - span), min(highest, high + span)
    return low, high, f"{low:g} to {high:g}"


def split_alpha(samples: Samples) -> tuple[Samples, Samples | None]:
    """(H, W[, 1..4]) -> grey or RGB samples, and the alpha that a second or fourth channel is."""
    if samples.ndim == 2:
        return samples, None
    channels = samples.shape[2]
    colour = samples[..., 0] if channels < 3 else samples[..., :3]
    alpha = np.ascontiguousarray(samples[..., -1]) if channels in (2, 4) else None
    return np.ascontiguousarray(colour), alpha


def stacked(*channels: Samples | None) -> Samples | None:
    """Channels (H, W) and (H, W, n) as one array: (H, W) for a single one, else (H, W, all); None for none."""
    there = [part for part in channels if part is not None]
    if not there:
        return None
    return np.ascontiguousarray(there[0] if len(there) == 1 else np.dstack(there))


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


def rgb_from_lab(lab: Samples, signed: bool, is_icc: bool = False) -> Samples:
    """(H, W, 3) CIE L*a*b* (D50) in TIFF's coding -> sRGB of the same depth.

    Args:
        signed: a and b are two's complement (TIFF CIELAB); else they have an offset of 128 (ICCLAB, Photoshop).
        is_icc: L* is coded as in ICC profiles (TIFF ICCLAB).
    """
    half = 1 << (lab.dtype.itemsize * 8 - 1)
    ab = lab[..., 1:].view(f"i{lab.dtype.itemsize}") if signed else lab[..., 1:].astype(np.int32) - half
    unit = half / 128
    fy = (_lightness(lab[..., 0], is_icc) + 16) / 116
    f = np.stack([fy + ab[..., 0] / unit / 500, fy, fy - ab[..., 1] / unit / 200], axis=-1)
    return _from_unit(_srgb(_cube(f) * _D50 @ _XYZ_D50_TO_RGB.T), lab.dtype)


def grey_from_lightness(codes: Samples, is_icc: bool) -> Samples:
    """(H, W) L* in TIFF's coding, as in `rgb_from_lab` -> grey with the sRGB curve, of the same depth."""
    return _from_unit(_srgb(_cube((_lightness(codes, is_icc) + 16) / 116)), codes.dtype)


def _lightness(codes: Samples, is_icc: bool) -> FloatArray:
    """L* from its codes. White is the largest one, but 0xFF00 in ICC's 16-bit coding (ICC.1:2001-04, 6.3.4.2)."""
    white = 0xFF00 if is_icc and codes.dtype == np.uint16 else np.iinfo(codes.dtype).max
    return codes.astype(np.float32) * np.float32(100 / white)


def _cube(f: AnyFloatArray) -> AnyFloatArray:
    """The inverse of the function f in CIE 1976 L*a*b* (CIE 15:2004, 8.2.1)."""
    return np.where(f > 6 / 29, f**3, (f - 16 / 116) * (108 / 841))


def _srgb(linear: AnyFloatArray) -> AnyFloatArray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


REC_601 = (0.299, 0.587, 0.114)


def rgb_from_ycbcr(
    ycc: Samples,
    luma: tuple[float, float, float] = REC_601,
    reference: tuple[float, ...] | None = None,
) -> Samples:
    """(H, W, 3) YCbCr, 8 or 16 bit -> RGB of the same depth (TIFF 6.0, section 21).

    Args:
        luma: the shares of red, green and blue in Y.
        reference: the codes of black and white for Y, and of neutral and the most colourful for Cb and Cr; by default
            the full range.
    """
    top, half = int(np.iinfo(ycc.dtype).max), (int(np.iinfo(ycc.dtype).max) + 1) // 2
    black, white, *chroma = reference or (0, top, half, top, half, top)
    y = (ycc[..., 0] - np.float32(black)) / np.float32(white - black)
    scales = [(top - half) / top / (chroma[i + 1] - chroma[i]) for i in (0, 2)]
    cb, cr = ((ycc[..., i + 1] - np.float32(chroma[2 * i])) * np.float32(scales[i]) for i in range(2))
    red, green, blue = luma
    r, b = y + (2 - 2 * red) * cr, y + (2 - 2 * blue) * cb
    return _from_unit(np.stack([r, (y - red * r - blue * b) / green, b], axis=-1), ycc.dtype)
