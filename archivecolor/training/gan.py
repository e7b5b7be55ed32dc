"""The second stage: a U-Net that colours timidly learns to colour convincingly, from a discriminator beside L1.

The U-Net alone gives the median of all plausible colours, which is nearly grey. The discriminator sees that. It begins
on the frozen U-Net's pictures (NoGAN, Antic 2019), so that what it first asks for is not noise. How far everything is
lies in the checkpoint and nowhere else.
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from archivecolor.errors import UsageError
from archivecolor.networks.encoders import Lite0Body
from archivecolor.networks.feature_discriminator import FeatureDiscriminator
from archivecolor.networks.patchgan import PatchDiscriminator
from archivecolor.options import AdversarialOptions, StageOptions, StopWhen
from archivecolor.training import checkpoint, distributed, figures, loop
from archivecolor.training.appearance_loss import AppearanceLoss
from archivecolor.training.checkpoint import Average
from archivecolor.training.dataset import Batch, PhotoSet
from archivecolor.training.lite0_features import TAPS, Lite0
from archivecolor.training.loop import autocast
from archivecolor.training.optim_step import OptimStep, trainable_parameters
from archivecolor.training.pretrain import weighted_l1

BETAS = (0.5, 0.999)
"""Of both Adams, as in pix2pix: a first moment that soon forgets, since the other side moves too."""


def discriminator_loss(gan: str, real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator makes small. Undecided logits of 0 cost ln 2 (vanilla), 1/2 (lsgan) or 1 (hinge).

    Halved, as in pix2pix: the mean of what the true and what the painted pictures cost.

    Args:
        gan: `vanilla` (Goodfellow et al. 2014), `lsgan` (Mao et al. 2017) or `hinge` (Lim and Ye 2017).
        real, fake: logits (N, 1, h, w) for true and painted pictures.
    """
    if gan == "vanilla":
        both = F.softplus(-real).mean() + F.softplus(fake).mean()
    elif gan == "lsgan":
        both = (real - 1).square().mean() + fake.square().mean()
    else:
        both = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return both / 2


def generator_loss(gan: str, fake: Tensor) -> Tensor:
    """What the generator makes small: the logits (N, 1, h, w) of its pictures are to look true.

    Vanilla in its non-saturating form; see `discriminator_loss`.
    """
    if gan == "vanilla":
        return F.softplus(-fake).mean()
    if gan == "lsgan":
        return (fake - 1).square().mean()
    return -fake.mean()


class GanStep:
    """λ·L1 on ab (`weighted_l1`) + GAN for the U-Net, perhaps with an `AppearanceLoss`, a discriminator beside it; two
    Adams, gradients clipped at norm 1.

    The discriminator learns from every batch, the U-Net from those after the warm-up.
    """

    def __init__(
        self, network: nn.Module, asked: AdversarialOptions, lr: float, precision: str, device: torch.device,
        norms_frozen: bool = False,
    ) -> None:  # fmt: skip
        self.asked, self.precision, self.device, self.norms_frozen = asked, precision, device, norms_frozen
        self.lite0 = Lite0(precision, device) if asked.needs_lite0 else None
        self.appearance = AppearanceLoss(asked.appearance, self.lite0) if asked.appearance.needed else None
        self.lr_ratio = asked.lr_d / lr
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        judge = (
            FeatureDiscriminator([Lite0Body.channels[i] for i in TAPS])
            if asked.discriminator == "features"
            else PatchDiscriminator(spectral=asked.discriminator == "spectral")
        )
        self.discriminator = judge.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        # In the discriminator's state, so that a resumed training knows how much of the warm-up is left.
        self.seen = torch.zeros((), dtype=torch.int64)
        self.discriminator.register_buffer("seen", self.seen)
        self.optimizer = torch.optim.Adam(self.network.parameters(), betas=BETAS)
        self.optimizer_d = torch.optim.Adam(self.discriminator.parameters(), betas=BETAS)
        self.descend = OptimStep(self.optimizer, precision, device)
        self.descend_d = OptimStep(self.optimizer_d, precision, device)

    def modules(self) -> dict[str, nn.Module]:
        scales = self.descend.modules() | self.descend_d.modules("scale_d")
        return {"network": self.network, "discriminator": self.discriminator, **scales}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"network": self.optimizer, "discriminator": self.optimizer_d}

    def __call__(self, batch: Batch, lr: float) -> dict[str, float]:
        warming = int(self.seen) < self.asked.warmup
        # Frozen means the running statistics as well.
        if warming:
            self.network.eval()
        else:
            trainable_parameters(self.network, self.norms_frozen)
        self.discriminator.train()
        l_net = batch.l_net.to(self.device, memory_format=torch.channels_last)
        truth = batch.ab_net.to(self.device)
        with torch.set_grad_enabled(not warming), autocast(self.precision, self.device):
            ab_net = self.network(l_net)
        ab_net = ab_net.float()
        l1 = weighted_l1(ab_net, truth, self.asked.chroma_weight)
        losses = {"l1": l1, "d": self.learn_to_judge(batch, ab_net.detach(), lr)}
        if not warming:
            seen = self.appearance(batch, ab_net) if self.appearance else {}
            beside = torch.stack([self.asked.l1_weight * l1, *seen.values()]).sum()
            losses |= {**seen, "gan": self.learn_to_paint(batch, ab_net, beside, lr)}
        self.seen += len(l_net) * distributed.world_size()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def logits(self, batch: Batch, ab_net: Tensor) -> Tensor:
        """How true the pictures of a batch look in the colours ab_net (N, 2, H, W): (N, K, h, w), float32.

        A PatchGAN sees the L that the colours were answered to, perhaps an aged one, and ab; Lite0 sees the picture.
        """
        if self.asked.discriminator == "features" and self.lite0:
            seen: Tensor | list[Tensor] = self.lite0.see(batch.painted(ab_net))
        else:
            seen = torch.cat([batch.l_net.to(self.device), ab_net], dim=1)
        with autocast(self.precision, self.device):
            logits = self.discriminator(seen)
        return logits.float()

    def learn_to_judge(self, batch: Batch, ab_net: Tensor, lr: float) -> Tensor:
        """One step of the discriminator, which tells the answers ab_net (N, 2, H, W) from the truth; its loss."""
        true, answered = self.logits(batch, batch.ab_net.to(self.device)), self.logits(batch, ab_net)
        loss = discriminator_loss(self.asked.gan, true, answered)
        self.descend_d(loss, lr * self.lr_ratio)
        return loss

    def learn_to_paint(self, batch: Batch, ab_net: Tensor, beside: Tensor, lr: float) -> Tensor:
        """One step of the U-Net; its loss before the discriminator. `beside`: the other losses, weighted."""
        self.discriminator.requires_grad_(False)
        loss = generator_loss(self.asked.gan, self.logits(batch, ab_net))
        # Adam does not see the scale of a loss, but the clipping does: with λ of 100 it would bite at every step.
        scale = max(1.0, self.asked.l1_weight)
        self.descend((beside + loss) / scale, lr)
        self.discriminator.requires_grad_(True)
        return loss


COLOUR_WORTH = 0.45
"""Per cent of L1 that one per cent of colourfulness is worth: about what it costs a network to be bolder without
knowing more (weights/LOG.md, run 18). With more, the boldest average always wins, and the truest, at the end of the
cooling, never."""


def cost_of(numbers: dict[str, float], start_l1: float) -> float:
    """What a validation costs; `start_l1` is that of the weights that the training began from."""
    return numbers["val_l1"] / start_l1 + COLOUR_WORTH * abs(1 - numbers["val_colour"])


@dataclass(frozen=True)
class AverageState:
    """What the guard remembers of the validations so far."""

    judged_at: int = -1
    """Pictures seen at the last validation that counted."""
    start_l1: float = 0.0
    """val_l1 of the weights the training began from."""
    cost: float = float("inf")
    kept_at: int = 0
    """Pictures seen by the best average."""
    numbers: dict[str, float] | None = None
    """The best average's validation."""
    coloured: bool = False
    """Whether the lower limit of colourfulness holds already."""
    strikes: int = 0
    """Validations outside the limits, one after the other."""


class EarlyStopping(nn.Module):
    """Keeps the best average, and says when the training has collapsed.

    An average costs val_l1 ÷ the start's val_l1 + `COLOUR_WORTH` · |1 - colourfulness ÷ truth's|. The cheapest within
    the limits (`StopWhen`) is kept, the start to begin with. A training whose average is outside the limits twice in a
    row is at its end; once may be the jolt after the warm-up. The start may be less colourful than the lower limit, and
    a good training may tremble around it on its way up: that limit holds only after it was left behind by a tenth.

    A module, so that the checkpoint carries it.
    """

    STRIKES = 2
    LEFT_BEHIND = 1.1

    def __init__(self, network: nn.Module, limits: StopWhen | None, parent: str) -> None:
        super().__init__()
        self.best = copy.deepcopy(network).requires_grad_(False)
        self.limits, self.parent, self.standing = limits, parent, AverageState()

    @property
    def collapsed(self) -> bool:
        return self.standing.strikes >= self.STRIKES

    def outside(self, numbers: dict[str, float], start_l1: float) -> bool:
        """Whether a validation is outside the limits."""
        if self.limits is None:
            return False
        l1, colour = numbers["val_l1"], numbers["val_colour"]
        dull = self.standing.coloured and colour < self.limits.colour_low
        return l1 > self.limits.l1 * start_l1 or colour > self.limits.colour_high or dull

    def consider(self, pictures: int, numbers: dict[str, float], values: dict[str, Tensor]) -> None:
        """Takes note of a validation of the average `values`; the same one again changes nothing."""
        old = self.standing
        if pictures <= old.judged_at:
            return
        start_l1 = old.start_l1 if old.numbers else numbers["val_l1"]
        outside = self.outside(numbers, start_l1)
        cost = cost_of(numbers, start_l1)
        if not old.numbers or (cost < old.cost and not outside):
            old = replace(old, cost=cost, kept_at=pictures, numbers=numbers)
            self.best.load_state_dict(values)
        coloured = self.limits is not None and numbers["val_colour"] >= self.LEFT_BEHIND * self.limits.colour_low
        self.standing = replace(
            old, judged_at=pictures, start_l1=start_l1, coloured=old.coloured or coloured,
            strikes=old.strikes + 1 if outside else 0,
        )  # fmt: skip

    def get_extra_state(self) -> Tensor:
        """The standing and the parent as JSON in bytes: a checkpoint holds tensors alone."""
        text = json.dumps({"parent": self.parent, "standing": asdict(self.standing)})
        return torch.tensor(list(text.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Goes on from a checkpoint.

        Raises:
            UsageError: that training began from other weights.
        """
        about = json.loads(bytes(state.tolist()))
        if about["parent"] != self.parent:
            raise UsageError(
                f"--from: the training in --out began from the weights {about['parent'][:16]}…, not from "
                f"{self.parent[:16]}…; repeat the first command, or choose another --out"
            )
        self.standing = AverageState(**about["standing"])


class GuardedGanStep(GanStep):
    """The same of finished weights, under a guard. History and samples tell of the present average; what is published
    is the best one."""

    def __init__(
        self, network: nn.Module, asked: AdversarialOptions, lr: float, precision: str, device: torch.device,
        parent: str, norms_frozen: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(network, asked, lr, precision, device, norms_frozen)
        self.guard = EarlyStopping(self.network, asked.stop_when, parent)

    def kept(self) -> dict[str, float]:
        """The numbers of the average that is published."""
        return {**(self.guard.standing.numbers or {}), "kept_at": self.guard.standing.kept_at}

    def modules(self) -> dict[str, nn.Module]:
        return {**super().modules(), "guard": self.guard}

    def validate(self, network: nn.Module, average: Average, held: PhotoSet, stage: StageOptions) -> dict[str, float]:
        """The numbers of the average, and how many pictures the one that is kept had seen.

        The guard hears only of validations that an unbroken training has too, not of the one that Ctrl-C causes: else
        the best average would depend on where the training was broken.
        """
        numbers, seen = loop.validate(network, average, held, stage), int(self.seen)
        if seen % stage.validate_every < stage.batch or seen >= stage.pictures:
            self.guard.consider(seen, numbers, average.values)
        return {**numbers, "kept_at": self.guard.standing.kept_at}

    def publish(self, folder: Path, network: nn.Module, _: dict[str, Tensor], card: dict[str, Any]) -> None:
        """The best average as a weights folder, with its own numbers."""
        standing = self.guard.standing
        training = card["numbers"]["training"] | {"validation": standing.numbers, "kept_at": standing.kept_at}
        if self.guard.collapsed:
            training["stopped"] = f"{EarlyStopping.STRIKES} validations in a row were outside the limits"
        if standing.kept_at == 0 and standing.judged_at > 0:
            training["unchanged"] = "no average was better than the weights it began from"
        checkpoint.publish(folder, network, self.guard.best.state_dict(), {**card, "numbers": {"training": training}})

    def judge(self) -> loop.Validator:
        return loop.Validator(self.validate, figures.samples, self.publish)
