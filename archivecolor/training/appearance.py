"""What counts of a painted picture as a whole, beside L1 on ab: how it looks, how near it is, how colourful it is.

L1 looks at each pixel alone, and its answer where many colours are possible is their median: nearly grey. The parts
here look at the picture in sRGB, with its true L*.
"""

from __future__ import annotations

import torch
from torch import Tensor

from archivecolor.options import Appearance
from archivecolor.training import features, together
from archivecolor.training.dataset import Batch

PSNR_FLOOR = 1e-5
"""Added to the mean squared error, so that a nearly grey photograph, painted grey, does not count without bounds."""
EPSILON = 1e-2
"""Of a square of sRGB's 0 to 255: keeps the slope of a root finite."""


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
    ratio = colourfulness(rgb).mean() / together.mean(colourfulness(truth).mean())
    short = (target - together.mean(ratio.detach())).clamp_min(0)
    return short * (target - ratio)


class AppearanceLoss:
    """The losses of `options.Appearance`, each with its weight.

    Seen by EfficientNet-Lite0 it is a perceptual loss (Johnson et al. 2016): L1 forgives a grey lemon as long as lemons
    differ in their yellow; a network that knows lemons does not. PSNR is the logarithm of a picture's error: where a
    picture can be one of two things, it pays to decide. Colourfulness says how much colour there is to be, and leaves
    it to the others where.
    """

    def __init__(self, asked: Appearance, lite0: features.Lite0 | None) -> None:
        self.asked, self.lite0 = asked, lite0

    def __call__(self, batch: Batch, ab_net: Tensor) -> dict[str, Tensor]:
        """The losses of the answers ab_net (N, 2, H, W), float32, by name."""
        rgb, asked = batch.painted(ab_net), self.asked
        truth = batch.rgb.to(rgb)
        losses = {}
        if asked.feature_weight and self.lite0:
            far = features.distances(self.lite0.see(rgb), self.lite0.look(truth))
            losses["features"] = asked.feature_weight * torch.stack(list(far.values())).sum()
        if asked.psnr_weight:
            losses["psnr"] = -asked.psnr_weight * psnr(rgb, truth).mean()
        if asked.colour_weight:
            losses["dull"] = asked.colour_weight * dullness(rgb, truth, asked.colour_target)
        return losses
