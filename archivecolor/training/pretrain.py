"""The first stage: the U-Net learns ab from L by L1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archivecolor.options import AppearanceOptions
from archivecolor.training import distributed
from archivecolor.training.appearance_loss import Prediction, appearance_losses
from archivecolor.training.compute import autocast, to_device
from archivecolor.training.dataset import Batch
from archivecolor.training.lite0_features import Lite0
from archivecolor.training.optim_step import OptimStep, fused, parameter_groups, set_train_mode

TYPICAL_CHROMA = 0.14
"""Mean chroma of a colour photograph, in the network's range (15 Lab units)."""


def chroma_weighted_l1(ab_net: Tensor, truth: Tensor, chroma_weight: float) -> Tensor:
    """L1 in which a pixel counts more if its true colour is stronger. The mean weight is 1.

    Most pixels of most photographs are nearly grey, and a network that minimizes plain L1 predicts their median. This
    is a smooth form of the class rebalancing of Zhang et al. (2016).

    Args:
        ab_net, truth: (N, 2, H, W).
        chroma_weight: 0 for plain L1.
    """
    error = (ab_net - truth).abs()
    if chroma_weight == 0:
        return error.mean()
    # Written out, because `norm` over two channels took 3 % of a training step.
    chroma = (truth[:, :1].square() + truth[:, 1:].square()).sqrt()
    weight = 1 + chroma_weight * chroma / TYPICAL_CHROMA
    return (error * (weight / distributed.mean(weight.mean()))).mean()


class SoftTarget:
    """A finished colorizer whose prediction is a second target beside the true colours.

    A photograph shows one of the colours that a thing could have. A trained network predicts nearly the mean of them,
    which is a target with less randomness. It sees the true L*, even if the student sees an aged one.

    Args:
        network: l_net (N, 1, H, W) -> ab_net (N, 2, H, W).
        weight: its share in the loss, (0, 1].
    """

    def __init__(self, network: nn.Module, weight: float, precision: str, device: torch.device) -> None:
        self.network, self.weight = to_device(network, device).eval().requires_grad_(False), weight
        self.precision, self.device = precision, device

    @torch.no_grad()
    def predict(self, l_true: Tensor) -> Tensor:
        """l_true (N, 1, H, W) -> ab_net (N, 2, H, W), float32."""
        with autocast(self.precision, self.device):
            ab_net: Tensor = self.network(to_device(l_true, self.device))
        return ab_net.float()


class PretrainStep:
    """L1 on ab (see `chroma_weighted_l1`) with AdamW; gradients are clipped at norm 1.

    Args:
        soft: a second target beside the true colours.
        appearance: losses of the colorized picture beside L1.
        lite0: needed if `appearance.needs_lite0`.
        norms_frozen: see `set_train_mode`.
        decoder_lr_ratio: see `parameter_groups`.
    """

    def __init__(
        self,
        network: nn.Module,
        precision: str,
        device: torch.device,
        chroma_weight: float = 0.0,
        soft: SoftTarget | None = None,
        appearance: AppearanceOptions | None = None,
        lite0: Lite0 | None = None,
        norms_frozen: bool = False,
        decoder_lr_ratio: float = 1.0,
    ) -> None:
        self.chroma_weight, self.soft, self.norms_frozen = chroma_weight, soft, norms_frozen
        self.appearance, self.lite0 = appearance or AppearanceOptions(), lite0
        self.network = to_device(network, device)
        self.precision, self.device = precision, device
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.network, decoder_lr_ratio), weight_decay=1e-2, fused=fused(device)
        )
        self.optim_step = OptimStep(self.optimizer, precision, device)

    def modules(self) -> dict[str, nn.Module]:
        return {"network": self.network, **self.optim_step.modules()}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"network": self.optimizer}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The losses by name, already weighted. Their sum is minimized."""
        with autocast(self.precision, self.device):
            ab_net = self.network(to_device(batch.l_net, self.device)).float()
        l1 = chroma_weighted_l1(ab_net, batch.ab_net.to(self.device), self.chroma_weight)
        losses = {"l1": l1}
        if self.soft:
            share = self.soft.weight
            soft = chroma_weighted_l1(ab_net, self.soft.predict(batch.l_true), self.chroma_weight)
            losses = {"l1": (1 - share) * l1, "soft": share * soft}
        return losses | appearance_losses(self.appearance, Prediction(batch, ab_net, self.lite0))

    def __call__(self, batch: Batch, lr: float) -> dict[str, Tensor]:
        set_train_mode(self.network, self.norms_frozen)
        losses = self.losses(batch)
        one_or_nan = self.optim_step(torch.stack(list(losses.values())).sum(), lr)
        return {name: loss.detach() * one_or_nan for name, loss in losses.items()}
