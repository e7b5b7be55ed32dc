"""A discriminator on the features of a trained classifier (Projected GAN, Sauer et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.parametrizations import spectral_norm


class FeatureDiscriminator(nn.Module):
    """Classifies the feature maps of a frozen network as real or generated, each with a small head of its own.

    The frozen network recognises grass and skin already, so only the heads learn. That takes a fraction of the steps
    and of the arithmetic of a discriminator that learns its own features. Fixed random filters mix the features first,
    so that no head relies on a few of them (the paper's cross-channel mixing; its cross-scale mixing is left out).

    Input: maps (N, C_i, H_i, W_i), the finest first. Output: logits (N, K, H_1, W_1), one channel for each of the K
    maps. Logits of coarser maps are repeated (nearest neighbour), so that all maps have the same weight.

    Args:
        channels: C_i.
    """

    def __init__(self, channels: Sequence[int], n_filters: int = 128) -> None:
        super().__init__()
        self.heads = nn.ModuleList(_Head(n, n_filters) for n in channels)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        logits = [head(features) for head, features in zip(self.heads, maps, strict=True)]
        return torch.cat([F.interpolate(channel, size=logits[0].shape[-2:]) for channel in logits], dim=1)


class _Head(nn.Module):
    """A fixed mixing, then three trained layers with spectral normalisation (Miyato et al. 2018)."""

    mix: Tensor

    def __init__(self, n_in: int, n: int) -> None:
        super().__init__()
        self.register_buffer("mix", nn.init.kaiming_normal_(torch.empty(n, n_in, 1, 1)))
        first, second, last = nn.Conv2d(n, n, 1), nn.Conv2d(n, n, 3, padding=1), nn.Conv2d(n, 1, 1)
        for layer in (first, second, last):
            spectral_norm(layer)
        self.judge = nn.Sequential(first, nn.LeakyReLU(0.2, True), second, nn.LeakyReLU(0.2, True), last)

    def forward(self, features: Tensor) -> Tensor:
        return self.judge(F.conv2d(features, self.mix))
