"""Losses of a colorized picture as a whole, beside L1 on ab: its appearance, its error, its colourfulness.

L1 looks at each pixel alone. Where many colours are possible, it is least for their median, which is nearly grey. The
losses here look at the picture as a whole, with its true L*:

- `features`, the distance of EfficientNet-Lite0's features, is a perceptual loss (Johnson et al. 2016). L1 forgives a
  grey lemon if lemons differ in their yellow; a network that knows lemons does not.
- `psnr` is the logarithm of a picture's error. Where a picture can be one of two things, it rewards a decision.
- `ciede2000` is the colour error as people see it. A tinge on grey counts more than the same error in a strong colour.
- `dull` says how much colour there should be. Where the colour goes is left to the other losses.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from archivecolor.imaging import lab
from archivecolor.options import AppearanceOptions
from archivecolor.training import distributed
from archivecolor.training.dataset import Batch
from archivecolor.training.lite0_features import Lite0, feature_distances

PSNR_FLOOR = 1e-5
"""Added to the mean squared error, so that the PSNR of a nearly grey photograph has a limit."""
EPSILON = 1e-2
"""Added to squares of sRGB values (0 to 255), so that the gradient of a root stays finite."""
LAB_EPSILON = 1e-4
"""The same for squares of Lab values."""


def psnr(rgb: Tensor, truth: Tensor) -> Tensor:
    """PSNR of pictures (N, 3, H, W) in [0, 1]: (N,), in dB, at most 50; differentiable."""
    return -10 * torch.log10((rgb - truth).square().mean(dim=(1, 2, 3)) + PSNR_FLOOR)


def colourfulness(rgb: Tensor) -> Tensor:
    """M3 of Hasler and Süsstrunk (2003) of pictures (N, 3, H, W) in [0, 1]: (N,); differentiable.

    On their scale of 0 to 255. `metrics.colourfulness` measures the same.
    """
    r, g, b = (rgb * 255).flatten(2).unbind(1)
    rg, yb = r - g, (r + g) / 2 - b
    spread = rg.var(dim=1, correction=0) + yb.var(dim=1, correction=0)
    return (spread + EPSILON).sqrt() + 0.3 * (rg.mean(dim=1) ** 2 + yb.mean(dim=1) ** 2 + EPSILON).sqrt()


def dullness(rgb: Tensor, truth: Tensor, target: float) -> Tensor:
    """The squared shortfall of colourfulness below the target; 0 above it.

    Colourfulness is divided by the true pictures'; both are means over the batch of all processes. The gradient is half
    that of the square, because one factor counts as a constant.

    Args:
        rgb, truth: pictures (N, 3, H, W) in [0, 1].
        target: for example 0.9.
    """
    ratio = colourfulness(rgb).mean() / distributed.mean(colourfulness(truth).mean())
    shortfall = (target - distributed.mean(ratio.detach())).clamp_min(0)
    return shortfall * (target - ratio)


def ciede2000(ab: Tensor, truth: Tensor) -> Tensor:
    """CIEDE2000 of each pixel at equal L* (CIE 142-2001, after Sharma, Wu and Dalal 2005): (N, H, W); differentiable.

    Colours outside sRGB are allowed. G, T and R_T count as constants in the gradient, because the hue of a grey has no
    gradient. The chroma in S_C and S_H does not.

    Args:
        ab, truth: (N, 2, H, W) in Lab units.
    """

    def chroma(a: Tensor, b: Tensor) -> Tensor:
        return (a.square() + b.square() + LAB_EPSILON).sqrt()

    (a1, b1), (a2, b2) = ab.unbind(1), truth.unbind(1)

    def saturation(c: Tensor) -> Tensor:
        return (1 + (25 / c) ** 7).rsqrt()

    with torch.no_grad():
        stretch = 1.5 - 0.5 * saturation((chroma(a1, b1) + chroma(a2, b2)) / 2)
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
        rotation = -2 * saturation(mean) * torch.sin(math.radians(60) * blueness)
        rotation *= torch.sign(a2 * b1 - a1 * b2)  # the sign of the hue difference
    s_c, s_h = 1 + 0.045 * mean, 1 + 0.015 * mean * t
    d_c, d_h = (c1 - c2) / s_c, (hue_squared + LAB_EPSILON).sqrt() / s_h
    squared = d_c.square() + hue_squared / s_h.square() + rotation * d_c * d_h
    return (squared.clamp_min(0) + LAB_EPSILON).sqrt()


@dataclass(frozen=True)
class Prediction:
    """The colours that a network predicted for a batch. Pictures and features are computed once, when first needed."""

    batch: Batch
    ab_net: Tensor
    """(N, 2, H, W), float32."""
    lite0: Lite0 | None = None
    """Needed for features only."""

    @functools.cached_property
    def rgb(self) -> Tensor:
        """The colorized pictures, sRGB (N, 3, H, W) in [0, 1]; differentiable."""
        return self.batch.colorized(self.ab_net)

    @functools.cached_property
    def true_rgb(self) -> Tensor:
        """The true pictures, on the same device."""
        return self.batch.rgb.to(self.ab_net)

    @functools.cached_property
    def features(self) -> list[Tensor]:
        """EfficientNet-Lite0's features of the colorized pictures; differentiable."""
        assert self.lite0
        return self.lite0.features(self.rgb)

    @functools.cached_property
    def true_features(self) -> list[Tensor]:
        """EfficientNet-Lite0's features of the true pictures."""
        assert self.lite0
        return self.lite0.target_features(self.true_rgb)


def appearance_losses(options: AppearanceOptions, prediction: Prediction) -> dict[str, Tensor]:
    """The losses whose weights are not 0, multiplied by their weights, by name."""
    losses = {}
    if options.feature_weight:
        distances = feature_distances(prediction.features, prediction.true_features)
        losses["features"] = options.feature_weight * torch.stack(list(distances.values())).sum()
    if options.psnr_weight:
        losses["psnr"] = -options.psnr_weight * psnr(prediction.rgb, prediction.true_rgb).mean()
    if options.ciede2000_weight:
        ab, true_ab = (values * lab.AB_SCALE for values in (prediction.ab_net, prediction.batch.ab_net))
        losses["ciede2000"] = options.ciede2000_weight * ciede2000(ab, true_ab.to(ab)).mean()
    if options.colour_weight:
        cost = dullness(prediction.rgb, prediction.true_rgb, options.colour_target)
        losses["dull"] = options.colour_weight * cost
    return losses
