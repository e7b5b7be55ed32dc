"""sRGB, linear light, CIE Lab (D65, 2 degrees) and the networks' range, as batched torch functions.

Formulas: IEC 61966-2-1 (sRGB) and CIE 15 (Lab), with the matrix that scikit-image uses. The white is the sum of the
matrix's rows, so that R = G = B gives a = b = 0 to the last bit of float32 and ab = 0 gives R = G = B; scikit-image
rounds the white and is up to 0.005 off zero in ab. All functions keep dtype and device and take any leading shape
before the channel axis -3.
"""

from __future__ import annotations

import torch
from torch import Tensor

_XYZ_FROM_RGB = torch.tensor(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]],
    dtype=torch.float64,
)
_WHITE = _XYZ_FROM_RGB.sum(dim=1)
XYZN_FROM_RGB = _XYZ_FROM_RGB / _WHITE[:, None]
"""Linear RGB -> XYZ divided by the white: every row adds up to 1."""
RGB_FROM_XYZN = torch.linalg.inv(XYZN_FROM_RGB)
LUMA = tuple(float(v) for v in XYZN_FROM_RGB[1])
"""Weights of linear R, G, B in the luminance Y."""

_EPSILON = 216 / 24389  # (6/29)^3
_KAPPA = 24389 / 27
SRGB_KNEE = 0.0031308049535603713
"""Linear light where the two pieces of the sRGB curve meet exactly; the standard rounds it to 0.0031308."""
L_SCALE, AB_SCALE = 50.0, 110.0


# Each curve is a line below a knee and a power above it: power(max(x, knee)) + slope * (x - max(x, knee)). That is many
# times faster than choosing between the two pixel by pixel, and its gradient is finite everywhere.


def linear_from_srgb(rgb: Tensor) -> Tensor:
    """sRGB [0, 1] -> linear light [0, 1]."""
    above = rgb.clamp_min(12.92 * SRGB_KNEE)
    return ((above + 0.055) / 1.055) ** 2.4 + (rgb - above) / 12.92


def srgb_from_linear(linear: Tensor) -> Tensor:
    """Linear light [0, 1] -> sRGB [0, 1]."""
    above = linear.clamp_min(SRGB_KNEE)
    return 1.055 * above ** (1 / 2.4) - 0.055 + (linear - above) * 12.92


def lightness_from_luminance(y: Tensor) -> Tensor:
    """Relative luminance Y [0, 1] -> L* [0, 100]."""
    above = y.clamp_min(_EPSILON)
    return 116 * above ** (1 / 3) - 16 + (y - above) * _KAPPA


def luminance_from_lightness(lightness: Tensor) -> Tensor:
    """L* [0, 100] -> relative luminance Y [0, 1]."""
    above = lightness.clamp_min(8)
    return ((above + 16) / 116) ** 3 + (lightness - above) / _KAPPA


def _f(t: Tensor) -> Tensor:
    above = t.clamp_min(_EPSILON)
    return above ** (1 / 3) + (t - above) * (_KAPPA / 116)


def _f_inverse(f: Tensor) -> Tensor:
    above = f.clamp_min(6 / 29)
    return above**3 + (f - above) * (116 / _KAPPA)


def _mix(matrix: Tensor, channels: Tensor) -> Tensor:
    if not channels.is_cpu:
        return _mix_by_sums(matrix, channels)
    return torch.einsum("ij,...jhw->...ihw", matrix.to(channels), channels)


def _mix_by_sums(matrix: Tensor, channels: Tensor) -> Tensor:
    """`_mix` where sending the matrix to the device would mean to wait for it."""
    one, two, three = channels.unbind(-3)
    return torch.stack([a * one + b * two + c * three for a, b, c in matrix.tolist()], dim=-3)


def lab_from_linear(linear: Tensor) -> Tensor:
    """Linear RGB (..., 3, H, W) -> Lab (..., 3, H, W): L* [0, 100], a and b about [-110, 110]."""
    fx, fy, fz = _f(_mix(XYZN_FROM_RGB, linear)).unbind(-3)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=-3)


def lab_from_srgb(rgb: Tensor) -> Tensor:
    """sRGB (..., 3, H, W) in [0, 1] -> Lab (..., 3, H, W)."""
    return lab_from_linear(linear_from_srgb(rgb))


def linear_from_lab(lab: Tensor) -> Tensor:
    """Lab (..., 3, H, W) -> linear RGB (..., 3, H, W), outside [0, 1] where sRGB has no such colour."""
    lightness, a, b = lab.unbind(-3)
    fy = (lightness + 16) / 116
    return _mix(RGB_FROM_XYZN, _f_inverse(torch.stack([fy + a / 500, fy, fy - b / 200], dim=-3)))


def fit_gamut(linear: Tensor) -> Tensor:
    """Linear RGB (..., 3, H, W) -> the same with every channel in [0, 1], Y unchanged.

    A colour outside is moved straight towards the grey of its own luminance until it is inside: Y is a weighted sum of
    linear R, G, B and stays exactly what it was, and the dominant wavelength stays too. Y must be within [0, 1].
    """
    if not linear.is_cpu:
        return _fit_gamut_everywhere(linear)
    outside = ((linear < 0) | (linear > 1)).any(dim=-3)
    if not outside.any():
        return linear
    fitted = linear.clone()
    by_pixel = fitted.movedim(-3, -1)
    by_pixel[outside] = _towards_grey(by_pixel[outside])
    return fitted


def _fit_gamut_everywhere(linear: Tensor) -> Tensor:
    """`fit_gamut` where the question which pixels are outside would mean to wait for the device."""
    red, green, blue = (channel * weight for channel, weight in zip(linear.unbind(-3), LUMA, strict=True))
    y = (red + green + blue).unsqueeze(-3).clamp(0, 1)
    away = linear - y
    room = torch.where(away > 0, 1 - y, y)
    reach = (room / away.abs().clamp_min(1e-12)).clamp_max(1).amin(dim=-3, keepdim=True)
    outside = ((linear < 0) | (linear > 1)).any(dim=-3, keepdim=True)
    return torch.where(outside, (y + away * reach).clamp(0, 1), linear)


def _towards_grey(pixels: Tensor) -> Tensor:
    """Linear RGB (K, 3) -> the nearest inside the gamut on the way to the grey of the same Y."""
    y = (pixels @ torch.tensor(LUMA).to(pixels))[:, None].clamp(0, 1)
    away = pixels - y
    headroom = torch.where(away > 0, 1 - y, y)
    reach = (headroom / away.abs().clamp_min(1e-12)).clamp_max(1).amin(dim=1, keepdim=True)
    return (y + away * reach).clamp(0, 1)


def srgb_from_lab(lab: Tensor) -> Tensor:
    """Lab (..., 3, H, W) -> sRGB (..., 3, H, W) in [0, 1] with the same L*; chroma is reduced where it must be."""
    return srgb_from_linear(fit_gamut(linear_from_lab(lab))).clamp(0, 1)


def net_from_lab(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Lab (N, 3, H, W) -> l_net (N, 1, H, W) = L/50 - 1 and ab_net (N, 2, H, W) = ab/110."""
    return lab[:, :1] / L_SCALE - 1, lab[:, 1:] / AB_SCALE


def lab_from_net(l_net: Tensor, ab_net: Tensor) -> Tensor:
    """The inverse of `net_from_lab`."""
    return torch.cat([(l_net + 1) * L_SCALE, ab_net * AB_SCALE], dim=1)
