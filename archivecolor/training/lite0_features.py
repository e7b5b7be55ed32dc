"""The features of EfficientNet-Lite0, trained on ImageNet: a teacher for encoders, and a perceptual loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from archivecolor.networks.encoders import imagenet_lite0
from archivecolor.training.compute import autocast, to_device
from archivecolor.training.encoder_weights import lite0_checkpoint

TAPS = {2: "cos8", 3: "cos16", 4: "cos32"}
"""Which of the five feature maps are compared, and the names of their distances: their strides are 8, 16 and 32."""


class Lite0:
    """The frozen network, with its ImageNet statistics."""

    def __init__(self, precision: str, device: torch.device) -> None:
        self.body = to_device(imagenet_lite0(lite0_checkpoint()).body.requires_grad_(False), device)
        self.precision, self.device = precision, device

    def features(self, rgb: Tensor) -> list[Tensor]:
        """sRGB (N, 3, H, W) in [0, 1] -> the feature maps at `TAPS`, float32; differentiable."""
        with autocast(self.precision, self.device):
            taps = self.body.taps(to_device(rgb * 2 - 1, self.device))
        return [taps[i].float() for i in TAPS]

    @torch.no_grad()
    def target_features(self, rgb: Tensor) -> list[Tensor]:
        """The same without gradient, for true pictures."""
        return self.features(rgb)


def feature_distances(features: list[Tensor], targets: list[Tensor]) -> dict[str, Tensor]:
    """Mean cosine distance in [0, 2] over all positions of the maps, for each of `TAPS`."""
    pairs = zip(TAPS.values(), features, targets, strict=True)
    return {name: 1 - F.cosine_similarity(one.float(), other, dim=1).mean() for name, one, other in pairs}
