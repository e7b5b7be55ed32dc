"""Separates light from tint in a scan's samples: L* from any depth and profile, and the test for monochrome pictures.

Samples are numpy arrays as files hold them: uint8 or uint16, (H, W) grey or (H, W, 3) RGB. Torch takes seconds to
import, so it is imported where L* is computed: to read and reduce pictures needs none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from archivecolor.errors import UnreadableError
from archivecolor.imaging.arrays import AnyFloatArray, ByteArray, FloatArray, Samples

_SAME_AS_SRGB = 2e-3
"""A profile whose colours differ by less than this (in 0..1) counts as sRGB: vendors round their tables differently."""


@lru_cache(maxsize=8)
def code_to_linear(levels: int) -> FloatArray:
    """sRGB code 0..levels-1 -> linear light [0, 1]."""
    return _linear_light(np.linspace(0, 1, levels)).astype(np.float32)


def _linear_light(srgb: AnyFloatArray) -> AnyFloatArray:
    """`lab.linear_from_srgb`, without torch. The knee is where the two pieces of the curve meet exactly."""
    above = np.maximum(srgb, 12.92 * 0.0031308049535603713)
    return ((above + 0.055) / 1.055) ** 2.4 + (srgb - above) / 12.92


def level_count(dtype: np.dtype[Any]) -> int:
    """256 or 65536."""
    return int(np.iinfo(dtype).max) + 1


def lightness_of_linear(linear: FloatArray) -> FloatArray:
    """Linear RGB (H, W, 3) -> L* (H, W)."""
    import torch

    from archivecolor.imaging import lab

    y = cv2.transform(linear, np.array([lab.LUMA], np.float32))
    return lab.lightness_from_luminance(torch.from_numpy(y.reshape(linear.shape[:2])).clamp(0, 1)).numpy()


@lru_cache(maxsize=64)
def lightness_function(dtype: np.dtype[Any], grey: bool, icc: bytes | None) -> Callable[[Samples], FloatArray]:
    """A function: samples -> L* [0, 100], float32 (H, W), for this depth and profile.

    Grey uses one table of all codes, so equal samples have exactly equal L*.

    Args:
        icc: the profile of the samples; None means sRGB, or grey with sRGB's curve.

    Raises:
        UnreadableError: the profile is damaged or is for another kind of picture.
    """
    table = code_to_linear(level_count(dtype))
    if grey:
        ramp = np.linspace(0, 1, level_count(dtype), dtype=np.float32)[None]
        linear = np.repeat(table[None, :, None], 3, axis=2) if icc is None else _linear_through(icc, ramp)
        lightness = lightness_of_linear(np.ascontiguousarray(linear))[0]
        return lambda samples: lightness.take(samples, mode="clip")
    if icc is None or _is_srgb(icc):
        return lambda samples: lightness_of_linear(table.take(samples, mode="clip"))
    top = np.float32(level_count(dtype) - 1)
    return lambda samples: lightness_of_linear(_linear_through(icc, samples.astype(np.float32) / top))


def _linear_through(icc: bytes, values: FloatArray) -> FloatArray:
    """Grey (H, W) or RGB (H, W, 3) values in [0, 1], in the profile's space -> linear sRGB (H, W, 3).

    Raises:
        UnreadableError: the profile cannot be used.
    """
    import torch

    from archivecolor.imaging import lab

    return lab.linear_from_srgb(torch.from_numpy(_srgb_through(icc, values)).clamp(0, 1)).numpy()


def _srgb_through(icc: bytes, values: FloatArray) -> FloatArray:
    """Grey (H, W) or RGB (H, W, 3) values in [0, 1], in the profile's space -> sRGB (H, W, 3).

    In float32: Little CMS in 16 bit is far off in the darks. Raises UnreadableError.
    """
    import imagecodecs

    space = "gray" if values.ndim == 2 else "rgb"
    try:
        srgb = imagecodecs.cms_transform(
            values, icc, imagecodecs.cms_profile("srgb"), colorspace=space, outcolorspace="rgb", intent=1
        )
    except (imagecodecs.CmsError, ValueError, RuntimeError) as error:
        raise UnreadableError(f"its ICC profile cannot be used ({error}); remove or replace the profile") from error
    return np.ascontiguousarray(srgb, np.float32)


@lru_cache(maxsize=64)
def _is_srgb(icc: bytes) -> bool:
    axis = np.linspace(0, 1, 6, dtype=np.float32)
    cube = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(36, 6, 3)
    through = _linear_light(_srgb_through(icc, cube).clip(0, 1))
    return bool(np.abs(through - _linear_light(cube)).max() < _SAME_AS_SRGB)


def has_dark_black(icc: bytes, grey: bool) -> bool:
    """Whether a profile makes black darker than white.

    Raises:
        UnreadableError: the profile cannot be used.
    """
    ends = np.array([[0, 1]], np.float32)
    srgb = _srgb_through(icc, ends if grey else np.repeat(ends[..., None], 3, axis=2)).clip(0, 1)
    black, white = _linear_light(srgb).mean(axis=-1)[0]
    return bool(white > black)


STRETCHED_RANGE = 40.0
"""The least L* range between the 1st and 99th percentile of what the network sees."""


def stretch_contrast(lightness: FloatArray) -> tuple[float, float]:
    """(gain, offset) for a scan of very low contrast: gain * L* + offset has a range of at least `STRETCHED_RANGE`.

    Only the network sees the stretched picture. (1, 0) for ordinary pictures, and for a single flat tone, which has
    nothing to stretch.
    """
    low, middle, high = (float(v) for v in np.percentile(lightness, (1, 50, 99)))
    if high - low >= STRETCHED_RANGE or high - low < 0.5:
        return 1.0, 0.0
    gain = STRETCHED_RANGE / (high - low)
    below, above = gain * (middle - low), gain * (high - middle)
    centre = min(max(middle, below + 5), 95 - above)  # the whole range stays within 5 to 95
    return gain, centre - gain * middle


def to_srgb8(samples: Samples, icc: bytes | None) -> ByteArray:
    """Samples of any depth and profile -> sRGB, uint8 (H, W, 3).

    Raises:
        UnreadableError: the profile is damaged or is for another kind of picture.
    """
    if icc is not None and not (samples.ndim == 3 and _is_srgb(icc)):
        import torch

        from archivecolor.imaging import lab

        values = samples.astype(np.float32) / np.float32(level_count(samples.dtype) - 1)
        codes = lab.srgb_from_linear(torch.from_numpy(_linear_through(icc, values))) * 255
        return codes.round().byte().numpy()
    codes8 = samples if samples.dtype == np.uint8 else (samples // 257).astype(np.uint8)
    return codes8 if codes8.ndim == 3 else np.repeat(codes8[..., None], 3, axis=2)


MONOCHROME_CHROMA = 2.0
"""Mean `residual_chroma` under which a picture counts as monochrome. Measured: 45 black-and-white, sepia and stained
scans reach 1.75, the palest of 792 colour photographs starts at 2.15."""


def small_lab(samples: Samples, side: int, icc: bytes | None = None) -> FloatArray:
    """Lab (3, h, w) of a copy of RGB samples with a long side of at most `side` pixels.

    Args:
        icc: the profile of the samples; None means sRGB. The numbers of a wide-gamut profile (ProPhoto) lie close
            together: read as sRGB, a colour photograph would look nearly grey.

    Raises:
        UnreadableError: the profile cannot be used.
    """
    import torch

    from archivecolor.imaging import lab

    height, width = samples.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    levels = level_count(samples.dtype)
    small: Samples = cv2.resize(samples, size, interpolation=cv2.INTER_AREA)
    if icc is None or _is_srgb(icc):
        linear = code_to_linear(levels).take(small)
    else:
        linear = _linear_through(icc, small.astype(np.float32) / np.float32(levels - 1))
    return lab.lab_from_linear(torch.from_numpy(linear).permute(2, 0, 1)).numpy()


def residual_chroma(samples: Samples, icc: bytes | None = None) -> float:
    """How much colour a picture has beyond one tint per tone, in Lab units: 0 for grey, sepia and toned prints.

    a and b of a small copy are fitted as cubics in L (a toned print has one colour per tone) that may vary slowly
    over the sheet (a print that yellowed unevenly); what is left is colour that belongs to things.

    Args:
        icc: the profile of the samples; None means sRGB. The numbers of a wide-gamut profile (ProPhoto) lie close
            together: read as sRGB, a colour photograph would look nearly grey.

    Raises:
        UnreadableError: the profile cannot be used.
    """
    if samples.ndim == 2:
        return 0.0
    planes = small_lab(samples, 96, icc)
    height, width = planes.shape[1:]
    lightness, a, b = planes.reshape(3, -1)
    y, x = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij"))
    t = lightness / 50 - 1
    terms = np.stack([np.ones_like(t), t, t**2, t**3, x, y, x * y, x**2, y**2, t * x, t * y], axis=1)
    target = np.stack([a, b], axis=1)
    fit, *_ = np.linalg.lstsq(terms, target, rcond=None)
    return float(np.hypot(*(target - terms @ fit).T).mean())
