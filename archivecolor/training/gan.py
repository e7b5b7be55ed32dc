"""The second stage: a U-Net that predicts pale colours learns sure ones from a discriminator beside L1.

L1 alone leads to the median of all plausible colours, which is nearly grey. The discriminator notices that. At first it
alone learns, from the frozen U-Net's pictures (NoGAN, Antic 2019), so that its first gradients are not noise. The
checkpoint alone says how far the training is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from archivecolor.networks.encoders import Lite0Body
from archivecolor.networks.feature_discriminator import FeatureDiscriminator
from archivecolor.networks.patchgan import PatchDiscriminator
from archivecolor.options import AdversarialOptions
from archivecolor.training import distributed
from archivecolor.training.appearance_loss import Prediction, appearance_losses
from archivecolor.training.compute import autocast, to_device
from archivecolor.training.dataset import Batch
from archivecolor.training.lite0_features import TAPS, Lite0
from archivecolor.training.optim_step import OptimStep, fused, set_train_mode
from archivecolor.training.pretrain import chroma_weighted_l1

BETAS = (0.5, 0.999)
"""Of both Adam optimizers, as in pix2pix. The first moment forgets quickly, because the opponent changes too."""


def discriminator_loss(gan: str, real: Tensor, fake: Tensor) -> Tensor:
    """The loss of the discriminator: the mean of its losses on true and on colorized pictures, as in pix2pix.

    Undecided logits of 0 cost ln 2 (vanilla), 1/2 (lsgan) or 1 (hinge).

    Args:
        gan: `vanilla` (Goodfellow et al. 2014), `lsgan` (Mao et al. 2017) or `hinge` (Lim and Ye 2017).
        real, fake: logits (N, K, h, w) of true and of colorized pictures.
    """
    if gan == "vanilla":
        both = F.softplus(-real).mean() + F.softplus(fake).mean()
    elif gan == "lsgan":
        both = (real - 1).square().mean() + fake.square().mean()
    else:
        both = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return both / 2


def generator_loss(gan: str, fake: Tensor) -> Tensor:
    """The loss of the generator: small if the logits (N, K, h, w) of its pictures are high.

    Vanilla is the non-saturating form. See `discriminator_loss`.
    """
    if gan == "vanilla":
        return F.softplus(-fake).mean()
    if gan == "lsgan":
        return (fake - 1).square().mean()
    return -fake.mean()


def build_discriminator(kind: str) -> nn.Module:
    """The discriminator of this name; see `AdversarialOptions.discriminator`."""
    if kind == "features":
        return FeatureDiscriminator([Lite0Body.channels[i] for i in TAPS])
    return PatchDiscriminator(spectral=kind == "spectral")


class GanStep:
    """λ·L1 on ab (`chroma_weighted_l1`), GAN loss and `appearance_losses` for the U-Net, and a discriminator.

    Each has its own Adam, and its gradients are clipped at norm 1. The discriminator learns from every batch, the U-Net
    from those after the warm-up. EfficientNet-Lite0, where it is used, processes each picture once per step.
    """

    def __init__(
        self,
        network: nn.Module,
        options: AdversarialOptions,
        lr: float,
        precision: str,
        device: torch.device,
        norms_frozen: bool = False,
    ) -> None:
        self.options, self.precision, self.device, self.norms_frozen = options, precision, device, norms_frozen
        self.lite0 = Lite0(precision, device) if options.needs_lite0 else None
        self.lr_ratio = options.lr_d / lr
        self.network = to_device(network, device)
        self.discriminator = to_device(build_discriminator(options.discriminator), device)
        # In the discriminator's state, so that a resumed training knows how much of the warm-up is left.
        self.pictures = torch.zeros((), dtype=torch.int64)
        self.discriminator.register_buffer("seen", self.pictures)
        self.optimizer = torch.optim.Adam(self.network.parameters(), betas=BETAS, fused=fused(device))
        self.optimizer_d = torch.optim.Adam(self.discriminator.parameters(), betas=BETAS, fused=fused(device))
        self.optim_step = OptimStep(self.optimizer, precision, device)
        self.optim_step_d = OptimStep(self.optimizer_d, precision, device)

    def modules(self) -> dict[str, nn.Module]:
        scales = self.optim_step.modules() | self.optim_step_d.modules("scale_d")
        return {"network": self.network, "discriminator": self.discriminator, **scales}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"network": self.optimizer, "discriminator": self.optimizer_d}

    def __call__(self, batch: Batch, lr: float) -> dict[str, Tensor]:
        warming_up = int(self.pictures) < self.options.warmup
        if warming_up:
            self.network.eval()  # frozen, its running statistics as well
        else:
            set_train_mode(self.network, self.norms_frozen)
        self.discriminator.train()
        with torch.set_grad_enabled(not warming_up), autocast(self.precision, self.device):
            ab_net = self.network(to_device(batch.l_net, self.device))
        prediction = Prediction(batch, ab_net.float(), self.lite0)
        l1 = chroma_weighted_l1(prediction.ab_net, batch.ab_net.to(self.device), self.options.chroma_weight)
        losses = {"l1": l1, "d": self.discriminator_step(prediction, lr)}
        if not warming_up:
            appearance = appearance_losses(self.options.appearance, prediction)
            other_losses = torch.stack([self.options.l1_weight * l1, *appearance.values()]).sum()
            losses |= {**appearance, "gan": self.generator_step(prediction, other_losses, lr)}
        self.pictures += len(batch.l_net) * distributed.world_size()
        return {name: loss.detach() for name, loss in losses.items()}

    def discriminator_step(self, prediction: Prediction, lr: float) -> Tensor:
        """Trains the discriminator to tell predicted colours from true ones. Returns its loss."""
        fake = [inputs.detach() for inputs in self._inputs(prediction, true=False)]
        real = self._inputs(prediction, true=True)
        loss = discriminator_loss(self.options.gan, self._logits(real), self._logits(fake))
        return loss * self.optim_step_d(loss, lr * self.lr_ratio)

    def generator_step(self, prediction: Prediction, other_losses: Tensor, lr: float) -> Tensor:
        """Trains the U-Net. Returns its GAN loss.

        Args:
            other_losses: the sum of its other losses, weighted.
        """
        self.discriminator.requires_grad_(False)
        loss = generator_loss(self.options.gan, self._logits(self._inputs(prediction, true=False)))
        # Adam ignores the scale of a loss, but the clipping does not: with λ of 100 it would act at every step.
        scale = max(1.0, self.options.l1_weight)
        one_or_nan = self.optim_step((other_losses + loss) / scale, lr)
        self.discriminator.requires_grad_(True)
        return loss * one_or_nan

    def _inputs(self, prediction: Prediction, true: bool) -> list[Tensor]:
        """What the discriminator sees of the predicted or the true colours.

        Lite0's feature maps, or one Lab picture (N, 3, H, W) with the L that the network saw, perhaps an aged one.
        """
        if self.options.discriminator == "features":
            return prediction.true_features if true else prediction.features
        ab_net = prediction.batch.ab_net if true else prediction.ab_net
        return [torch.cat([prediction.batch.l_net.to(self.device), ab_net.to(self.device)], dim=1)]

    def _logits(self, inputs: list[Tensor]) -> Tensor:
        """How true the pictures look to the discriminator: (N, K, h, w), float32."""
        with autocast(self.precision, self.device):
            logits = self.discriminator(inputs if self.options.discriminator == "features" else inputs[0])
        return logits.float()
