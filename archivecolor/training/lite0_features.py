"""What EfficientNet-Lite0, trained on ImageNet, sees in a picture: teaches encoders, and measures painted pictures."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from archivecolor.networks.encoders import imagenet_lite0
from archivecolor.training.loop import autocast
from archivecolor.training.pretrain import lite0_checkpoint

TAPS = {2: "cos8", 3: "cos16", 4: "cos32"}
"""Which of the five taps are compared, and what their distances are called: after the strides."""


def to_device(images: Tensor, device: torch.device) -> Tensor:
    return images.to(device, memory_format=torch.channels_last)


class Lite0:
    """The network: frozen, with its ImageNet statistics."""

    def __init__(self, precision: str, device: torch.device) -> None:
        body = imagenet_lite0(lite0_checkpoint()).body.requires_grad_(False)
        self.body = body.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision, self.device = precision, device

    def see(self, rgb: Tensor) -> list[Tensor]:
        """sRGB (N, 3, H, W) in [0, 1] -> the features at `TAPS`, float32; differentiable."""
        with autocast(self.precision, self.device):
            taps = self.body.taps(to_device(rgb * 2 - 1, self.device))
        return [taps[i].float() for i in TAPS]

    @torch.no_grad()
    def look(self, rgb: Tensor) -> list[Tensor]:
        """The same of true pictures, which nothing is learnt through."""
        return self.see(rgb)


def distances(seen: list[Tensor], truth: list[Tensor]) -> dict[str, Tensor]:
    """Mean cosine distance in [0, 2] over all places of the maps, for each of `TAPS`."""
    pairs = zip(TAPS.values(), seen, truth, strict=True)
    return {name: 1 - F.cosine_similarity(one.float(), other, dim=1).mean() for name, one, other in pairs}
