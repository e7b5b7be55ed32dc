"""What counts of a painted picture as a whole, beside L1 on ab: how it looks, how near it is, how colourful it is.

L1 looks at each pixel alone, and its answer where many colours are possible is their median: nearly grey. The parts
here look at the picture as a whole, with its true L*.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from archivecolor.imaging import lab
from archivecolor.options import AppearanceOptions
from archivecolor.training import distributed, lite0_features
from archivecolor.training.dataset import Batch

PSNR_FLOOR = 1e-5
"""Added to the mean squared error, so that a nearly grey photograph, painted grey, does not count without bounds."""
EPSILON = 1e-2
"""Of a square of sRGB's 0 to 255: keeps the slope of a root finite."""
LAB_EPSILON = 1e-4
"""The same of a square of Lab units."""


def psnr(rgb: Tensor, truth: Tensor) -> Tensor:
    """PSNR in dB of pictures (N, 3, H, W) in [0, 1]: (N,), at most 50; differentiable."""
    return -10 * torch.log10((rgb - truth).square().mean(dim=(1, 2, 3)) + PSNR_FLOOR)


def colourfulness(rgb: Tensor) -> Tensor:
    """Hasler and Süsstrunk (2003), M3, of pictures (N, 3, H, W) in [0, 1], on their scale of 0 to 255: (N,);
    differentiable. `metrics.colourfulness` measures the same."""
    r, g, b = (rgb * 255).flatten(2).unbind(1)
    rg, yb = r - g, (r + g) / 2 - b
    spread = rg.var(dim=1, correction=0) + yb.var(dim=1, correction=0)
    return (spread + EPSILON).sqrt() + 0.3 * (rg.mean(dim=1) ** 2 + yb.mean(dim=1) ** 2 + EPSILON).sqrt()


def dullness(rgb: Tensor, truth: Tensor, target: float) -> Tensor:
    """Squared shortfall of colourfulness ÷ truth's, a ratio of means over the batch, below the target; 0 above it.

    The means are those of all processes. Its slope is half that of the square: the shortfall is taken as a price.

    Args:
        rgb, truth: pictures (N, 3, H, W) in [0, 1].
    """
    ratio = colourfulness(rgb).mean() / distributed.mean(colourfulness(truth).mean())
    short = (target - distributed.mean(ratio.detach())).clamp_min(0)
    return short * (target - ratio)


def ciede2000(ab: Tensor, truth: Tensor) -> Tensor:
    """CIEDE2000 (CIE 142-2001, after Sharma, Wu and Dalal 2005) of the colours of each pixel, at the same L*, whether
    sRGB has them or not: (N, H, W); differentiable.

    G, T and R_T count as constants in the slope, since the hue of a grey has none; the chroma in S_C and S_H does not.

    Args:
        ab, truth: (N, 2, H, W) in Lab units.
    """

    def chroma(a: Tensor, b: Tensor) -> Tensor:
        return (a.square() + b.square() + LAB_EPSILON).sqrt()

    (a1, b1), (a2, b2) = ab.unbind(1), truth.unbind(1)

    def strong(c: Tensor) -> Tensor:
        return (1 + (25 / c) ** 7).rsqrt()

    with torch.no_grad():
        stretch = 1.5 - 0.5 * strong((chroma(a1, b1) + chroma(a2, b2)) / 2)
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = chroma(a1, b1), chroma(a2, b2)
    mean = (c1 + c2) / 2
    # 2 sqrt(C1 C2) sin(dh / 2), squared, without an angle.
    hue_squared = (2 * (c1 * c2 - a1 * a2 - b1 * b2)).clamp_min(0)
    with torch.no_grad():
        hue = torch.atan2(b1 / c1 + b2 / c2, a1 / c1 + a2 / c2)
        t = 1 - 0.17 * torch.cos(hue - math.radians(30)) + 0.24 * torch.cos(2 * hue)
        t += 0.32 * torch.cos(3 * hue + math.radians(6)) - 0.20 * torch.cos(4 * hue - math.radians(63))
        blueness = torch.exp(-(((torch.rad2deg(hue) % 360 - 275) / 25) ** 2))
        turned = -2 * strong(mean) * torch.sin(math.radians(60) * blueness)
        turned *= torch.sign(a2 * b1 - a1 * b2)  # which way the hue turns from one to the other
    s_c, s_h = 1 + 0.045 * mean, 1 + 0.015 * mean * t
    d_c, d_h = (c1 - c2) / s_c, (hue_squared + LAB_EPSILON).sqrt() / s_h
    squared = d_c.square() + hue_squared / s_h.square() + turned * d_c * d_h
    return (squared.clamp_min(0) + LAB_EPSILON).sqrt()


class AppearanceLoss:
    """The losses of `options.Appearance`, each with its weight.

    Seen by EfficientNet-Lite0 it is a perceptual loss (Johnson et al. 2016): L1 forgives a grey lemon as long as lemons
    differ in their yellow; a network that knows lemons does not. PSNR is the logarithm of a picture's error: where a
    picture can be one of two things, it pays to decide. CIEDE2000 is a colour's error as the eye sees it, which notices
    a tinge on grey sooner than the same error in a strong colour. Colourfulness says how much colour there is to be,
    and leaves it to the others where.
    """

    def __init__(self, asked: AppearanceOptions, lite0: lite0_features.Lite0 | None) -> None:
        self.asked, self.lite0 = asked, lite0

    def __call__(self, batch: Batch, ab_net: Tensor) -> dict[str, Tensor]:
        """The losses of the answers ab_net (N, 2, H, W), float32, by name."""
        rgb, asked = batch.painted(ab_net), self.asked
        truth = batch.rgb.to(rgb)
        losses = {}
        if asked.feature_weight and self.lite0:
            far = lite0_features.distances(self.lite0.see(rgb), self.lite0.look(truth))
            losses["features"] = asked.feature_weight * torch.stack(list(far.values())).sum()
        if asked.psnr_weight:
            losses["psnr"] = -asked.psnr_weight * psnr(rgb, truth).mean()
        if asked.ciede2000_weight:
            difference = ciede2000(ab_net * lab.AB_SCALE, batch.ab_net.to(ab_net) * lab.AB_SCALE)
            losses["ciede2000"] = asked.ciede2000_weight * difference.mean()
        if asked.colour_weight:
            losses["dull"] = asked.colour_weight * dullness(rgb, truth, asked.colour_target)
        return losses
