"""`imaging/metrics.py` for whole batches on any device: the same numbers, in float64."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from archivecolor.imaging.metrics import FINE_SIGMA_PX, WILD_CHROMA, WILD_ERROR


def psnr(one: Tensor, other: Tensor) -> Tensor:
    """`metrics.psnr` of pictures (N, 3, H, W) in [0, 1]: (N,), float64."""
    return -10 * torch.log10((one.double() - other.double()).square().mean(dim=(1, 2, 3)))


def colourfulness(rgb: Tensor) -> Tensor:
    """`metrics.colourfulness` of pictures (N, 3, H, W) in [0, 1]: (N,), float64."""
    red, green, blue = (rgb.double() * 255).flatten(2).unbind(1)
    rg, yb = red - green, (red + green) / 2 - blue
    spread = torch.hypot(rg.std(dim=1, correction=0), yb.std(dim=1, correction=0))
    return spread + 0.3 * torch.hypot(rg.mean(dim=1), yb.mean(dim=1))


def fine_chroma_contrast(ab: Tensor) -> Tensor:
    """`metrics.fine_chroma_contrast` of ab (N, 2, H, W), Lab units: (N,), float64."""
    values = ab.double()
    rows, columns = (_blur_matrix(length).to(ab.device, non_blocking=True) for length in ab.shape[-2:])
    detail = values - rows @ values @ columns.T
    return detail.square().sum(dim=1).mean(dim=(1, 2)).sqrt()


@functools.lru_cache(maxsize=8)
def _blur_matrix(length: int) -> Tensor:
    """The Gaussian blur of `scipy.ndimage` along an axis, as a matrix (length, length): the filter ends at four
    standard deviations, and the picture is mirrored at its borders."""
    radius = int(4 * FINE_SIGMA_PX + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.double() / FINE_SIGMA_PX) ** 2)
    places = (torch.arange(length)[:, None] + offsets) % (2 * length)
    places = torch.minimum(places, 2 * length - 1 - places)
    return torch.zeros(length, length, dtype=torch.float64).scatter_add_(
        1, places, (weights / weights.sum()).expand(length, -1)
    )


def wild_share(ab: Tensor, true_ab: Tensor) -> Tensor:
    """`metrics.wild_share` of ab (N, 2, H, W), Lab units: (N,), float64."""
    (a, b), (off_a, off_b) = ab.unbind(1), (ab - true_ab).unbind(1)
    return ((torch.hypot(a, b) > WILD_CHROMA) & (torch.hypot(off_a, off_b) > WILD_ERROR)).double().mean(dim=(1, 2))
