"""Makes the luminance of a modern photograph look like an old one's. The colours to be learned stay clean.

All functions take and give batches of luminance as the eye sees it, l = L*/100 (N, 1, H, W) in [0, 1], or linear RGB
(N, 3, H, W), and a seeded generator on the CPU; the same seed ages the same batch the same way.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F  # noqa: N812

from archivecolor.lab import LUMA, lightness_from_luminance


def _uniform(n: int, low: float, high: float, random: Generator) -> Tensor:
    return (torch.rand(n, 1, 1, 1, generator=random) * (high - low)) + low


def emulsion(linear: Tensor, random: Generator) -> Tensor:
    """Linear RGB -> l, as an emulsion of random colour response sees it.

    Orthochromatic film and plates hardly see red and see blue skies as white; panchromatic film sees all, some of it
    too much red. The response is drawn between those: weights of R, G, B from (0.0, 0.5, 0.5) to (0.6, 0.3, 0.1).
    """
    n = len(linear)
    kind = torch.rand(n, 1, 1, 1, generator=random) * 2
    ortho = torch.tensor([0.02, 0.50, 0.48]).view(1, 3, 1, 1)
    true = torch.tensor(LUMA).view(1, 3, 1, 1)
    red = torch.tensor([0.50, 0.40, 0.10]).view(1, 3, 1, 1)
    weights = torch.where(kind < 1, torch.lerp(ortho, true, kind.clamp(0, 1)), torch.lerp(true, red, kind - 1))
    y = (linear * weights.to(linear)).sum(dim=1, keepdim=True)
    return lightness_from_luminance(y) / 100


def fade(light: Tensor, random: Generator) -> Tensor:
    """Contrast, exposure and a loss of range: blacks that went grey, whites that yellowed into grey."""
    n = len(light)
    gamma = torch.exp(_uniform(n, -0.45, 0.45, random))
    black, white = _uniform(n, -0.06, 0.22, random), _uniform(n, 0.72, 1.06, random)
    return black + (white - black) * light.clamp(0, 1) ** gamma


def blur(light: Tensor, random: Generator) -> Tensor:
    """A soft lens: a Gaussian of up to 1.3 pixels, one width for the batch."""
    sigma = float(torch.rand(1, generator=random)) * 1.2 + 0.1
    x = torch.arange(-3, 4, dtype=light.dtype)
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, 7)
    padded = F.pad(light, (3, 3, 3, 3), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel), kernel.transpose(2, 3))


def grain(light: Tensor, random: Generator) -> Tensor:
    """Silver grain: noise strongest in the mid-tones, partly clumped."""
    n, _, h, w = light.shape
    fine = torch.randn(light.shape, generator=random)
    coarse = F.interpolate(
        torch.randn((n, 1, (h + 1) // 2, (w + 1) // 2), generator=random), size=(h, w), mode="bilinear"
    )
    strength = _uniform(n, 0.0, 0.05, random)
    mid = 0.4 + 2.4 * (light.clamp(0, 1) * (1 - light.clamp(0, 1)))
    return light + (0.6 * fine + 0.7 * coarse) * strength * mid


def age(linear: Tensor, share: float, random: Generator) -> Tensor:
    """Linear RGB (N, 3, H, W) -> l_net (N, 1, H, W), L/50 - 1; each picture is aged with probability `share`.

    A picture left out gets its true L*. Each step is again drawn by itself, so that no two pictures age alike.
    """
    n = len(linear)

    def drawn(probability: float) -> Tensor:
        return torch.rand(n, 1, 1, 1, generator=random) < probability

    weights = torch.tensor(LUMA).view(1, 3, 1, 1).to(linear)
    true = lightness_from_luminance((linear * weights).sum(dim=1, keepdim=True)) / 100
    old = torch.where(drawn(0.6), emulsion(linear, random), true)
    for step, probability in ((fade, 0.8), (blur, 0.3), (grain, 0.5)):
        old = torch.where(drawn(probability), step(old, random), old)
    return torch.where(drawn(share), old, true).clamp(0, 1) * 2 - 1
