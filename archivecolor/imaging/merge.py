"""The full-size pass: rows of a scan's samples -> the same rows in colour, with the same L*.

Everything is computed in float32, strip by strip; only the source and the result exist at full size. A CPU computes a
strip pixel by pixel (`merge_numba.py`), a GPU plane by plane (`merge_planes`). The formulas are those of
`lab.srgb_from_lab` without its branches: where a curve is a line below a knee k and a power above it,
c(x) = power(max(x, k)) + slope * (x - max(x, k)).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from archivecolor.imaging import guided_filter, lab, luminance, merge_numba
from archivecolor.imaging.arrays import FloatArray, Samples, SampleType

STRIP_PIXELS = 1 << 16
"""Pixels of a strip on a CPU: few enough for its L* to stay in the caches, enough to be worth a call."""
DEVICE_STRIP_PIXELS = 1 << 22
"""On a GPU, which needs much work at once: about 400 MB of its memory."""
BAND_PIXELS = 1 << 19
"""Pixels that one thread computes at a time."""
_RGB_FROM_XYZN = lab.RGB_FROM_XYZN.flatten().float().numpy()
_LUMA = np.array(lab.LUMA, np.float32)


@dataclass(frozen=True)
class LuminanceMerge:
    """A picture's colours, ready to be merged with its rows in any order and from any thread."""

    lightness_of: Callable[[Samples], FloatArray]
    chroma: guided_filter.UpsampledChroma
    network_seconds: float
    confidence: float | None = None
    """0 to 1, if requested; see `inference/confidence.py`."""
    notes: tuple[str, ...] = ()
    """What was left without colour, in words."""

    def rows(self, samples: Samples, top: int) -> tuple[Samples, float]:
        """Rows of the picture from row `top` on -> sRGB (h, W, 3) of the same depth, and their largest |ΔL*|."""
        rgb = np.empty((*samples.shape[:2], 3), samples.dtype)
        return rgb, self._merge_into(samples, top, rgb)

    def whole(self, samples: Samples, threads: Executor) -> tuple[Samples, float]:
        """The whole picture, in bands that the threads share -> sRGB (H, W, 3), and its largest |ΔL*|."""
        height, width = samples.shape[:2]
        rgb = np.empty((height, width, 3), samples.dtype)
        step = max(1, BAND_PIXELS // width)
        tops = range(0, height, step)

        def band(top: int) -> float:
            return self._merge_into(samples[top : top + step], top, rgb[top : top + step])

        return rgb, max(map(band, tops) if len(tops) == 1 else threads.map(band, tops))

    @torch.inference_mode()
    def _merge_into(self, samples: Samples, top: int, rgb: Samples) -> float:
        """Fills `rgb`, band by band, each strip by strip. Returns the largest |ΔL*|."""
        strip = STRIP_PIXELS if self.chroma.device.type == "cpu" else DEVICE_STRIP_PIXELS
        tall, step = (max(1, pixels // samples.shape[1]) for pixels in (max(strip, BAND_PIXELS), strip))
        max_delta_l = 0.0
        for begin in range(0, len(samples), tall):
            for first, count in self.chroma.segments(top + begin, min(tall, len(samples) - begin)):
                band = self.chroma.band(first, count)
                for at in range(first, first + count, step):
                    rows = slice(at - top, min(at + step, first + count) - top)
                    max_delta_l = max(max_delta_l, merge_rows(band, self.lightness_of(samples[rows]), at, rgb[rows]))
        return max_delta_l


def merge_rows(band: guided_filter.RowBand, lightness: FloatArray, top: int, rgb: Samples) -> float:
    """Fills `rgb`, codes (h, W, 3), with L* (h, W) and a band's colours, rows from `top` on. Returns the largest
    |ΔL*|."""
    if band.wide.device.type != "cpu":
        return merge_rows_on_device(band, lightness, top, rgb)
    levels = luminance.level_count(rgb.dtype)
    above, part = band.row_positions(top, len(rgb))
    encode = _encode_table(torch.device("cpu")).numpy() if levels == 256 else _root_encode_table()
    return merge_numba.merge_rows(
        lightness,
        band.wide.numpy(),
        above.numpy(),
        part.numpy(),
        _RGB_FROM_XYZN,
        _LUMA,
        encode,
        luminance.code_to_linear(levels),
        rgb,
    )


def merge_rows_on_device(band: guided_filter.RowBand, lightness: FloatArray, top: int, rgb: Samples) -> float:
    """`merge_rows` in whole planes. If the device's memory is too small, the rows are halved."""
    try:
        planes = torch.from_numpy(lightness).to(band.wide.device)
        codes, max_delta_l = merge_planes(planes, band.rows(planes, top), luminance.level_count(rgb.dtype))
        rgb[:] = interleaved(codes, rgb.dtype)
        return float(max_delta_l)
    except torch.OutOfMemoryError:
        half = len(rgb) // 2
        if half == 0:
            raise
    first = merge_rows_on_device(band, lightness[:half], top, rgb[:half])
    return max(first, merge_rows_on_device(band, lightness[half:], top + half, rgb[half:]))


def merge_planes(lightness: Tensor, ab: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """L* (h, W) and ab (2, h, W), Lab units -> sRGB codes (3, h, W) of the same L*, and the largest |ΔL*| (0-dim).

    The codes are uint8 for 256 levels and int32 for 65536. They lie within 0.53 (8 bit) or 0.51 (16 bit) of what
    `lab.srgb_from_lab` gives before rounding.
    """
    rgb, y, f = _merge_linear(lightness, ab)
    codes = _encode(rgb, levels)
    return codes, _max_delta_l(y, f, codes, levels)


def merge_linear(lightness: Tensor, ab: Tensor) -> Tensor:
    """L* (h, W) and ab (2, h, W), Lab units -> linear RGB (3, h, W) in [0, 1] of the same L*."""
    return _merge_linear(lightness, ab)[0]


def _merge_linear(lightness: Tensor, ab: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns linear RGB, its luminance Y, and the cube root of max(Y, knee)."""
    f = torch.empty(3, *lightness.shape, device=lightness.device)
    torch.add(lightness, 16, out=f[1]).mul_(1 / 116)
    torch.add(f[1], ab[0], alpha=1 / 500, out=f[0])
    torch.add(f[1], ab[1], alpha=-1 / 200, out=f[2])
    knee = f.clamp_min(_F_KNEE)
    xyz = f.sub_(knee).mul_(_F_SLOPE)
    xyz += knee * knee * knee
    return _fit_gamut(_rgb_from(xyz), xyz[1]), xyz[1], knee[1]


def interleaved(codes: Tensor, dtype: SampleType) -> Samples:
    """Codes (3, h, W) -> samples (h, W, 3), as files hold them."""
    return cv2.merge([plane.astype(dtype, copy=False) for plane in codes.cpu().numpy()])


_F_KNEE = 6 / 29
_Y_KNEE = _F_KNEE**3
_F_SLOPE = 3 * _F_KNEE**2


@lru_cache(maxsize=8)
def _matrix(device: torch.device) -> Tensor:
    return lab.RGB_FROM_XYZN.float().to(device)


@lru_cache(maxsize=8)
def _decode_table(levels: int, device: torch.device) -> Tensor:
    """Code -> linear light."""
    return torch.from_numpy(luminance.code_to_linear(levels)).to(device)


@lru_cache(maxsize=8)
def _encode_table(device: torch.device) -> Tensor:
    """Linear light in `merge_numba.STEPS` -> 8-bit code."""
    linear = torch.linspace(0, 1, merge_numba.STEPS + 1, dtype=torch.float64)
    return (lab.srgb_from_linear(linear) * 255).round_().byte().to(device)


@lru_cache(maxsize=1)
def _root_encode_table() -> FloatArray:
    """The square root of linear light in `merge_numba.ROOTS` -> 16-bit code, not rounded."""
    roots = torch.linspace(0, 1, merge_numba.ROOTS + 1, dtype=torch.float64)
    return (lab.srgb_from_linear(roots.square()) * 65535).float().numpy()


def _rgb_from(xyz: Tensor) -> Tensor:
    """XYZ over white (3, h, W) -> linear RGB, unbounded."""
    return torch.mm(_matrix(xyz.device), xyz.flatten(1)).view_as(xyz)


def _fit_gamut(rgb: Tensor, y: Tensor) -> Tensor:
    """`lab.fit_gamut` in place: desaturates towards the grey of the same Y until all channels fit."""
    lowest, highest = rgb.amin(0), rgb.amax(0)
    if rgb.device.type == "cpu" and bool(lowest.min() >= 0) and bool(highest.max() <= 1):
        return rgb  # on a GPU the test would cost more than the work
    above, below = highest.sub_(y).clamp_min_(1e-12), torch.sub(y, lowest, out=lowest).clamp_min_(1e-12)
    scale = torch.minimum(torch.div(1 - y, above, out=above), torch.div(y, below, out=below)).clamp_(0, 1)
    return rgb.sub_(y).mul_(scale).add_(y).clamp_(0, 1)


def _encode(rgb: Tensor, levels: int) -> Tensor:
    """Linear RGB [0, 1] -> the nearest sRGB codes; overwrites `rgb`."""
    if levels == 256:
        steps = rgb.mul_(merge_numba.STEPS).add_(0.5).int()
        return _encode_table(rgb.device).index_select(0, steps.flatten()).view(rgb.shape)
    knee = rgb.clamp_min(lab.SRGB_KNEE)
    rgb.sub_(knee).mul_(12.92 * (levels - 1)).add_(0.5 - 0.055 * (levels - 1))
    return rgb.add_(knee.pow_(1 / 2.4), alpha=1.055 * (levels - 1)).int()


def _max_delta_l(y: Tensor, f: Tensor, codes: Tensor, levels: int) -> Tensor:
    """Largest |ΔL*| between luminance `y` and that of the codes; `f` is the cube root of max(y, knee).

    The cube root of the new luminance is one step of Halley's method from that of the old one, which is so near that
    the step is exact in float32: f' - f = f (y' - y) / (y + y' + y). Below the knee f and the denominator are constant,
    and the formula is the straight line that L* is there.
    """
    linear = _decode_table(levels, codes.device).index_select(0, codes.flatten().int()).view(codes.shape)
    luminance = linear[0].mul_(lab.LUMA[0]).add_(linear[1], alpha=lab.LUMA[1]).add_(linear[2], alpha=lab.LUMA[2])
    denominator = luminance.clamp_min(_Y_KNEE).add_(y.clamp_min(_Y_KNEE), alpha=2)
    return luminance.sub_(y).mul_(f).div_(denominator).abs_().max() * 116
