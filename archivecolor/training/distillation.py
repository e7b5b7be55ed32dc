"""Teaches a grey encoder without labels: it learns to see in the grey picture what EfficientNet-Lite0, trained on
ImageNet, sees in the colour picture.

The student's taps at 1/8, 1/16 and 1/32 go through 1x1 projections, which are thrown away afterwards, and are drawn
towards the teacher's by their cosine distance (feature distillation as in FitNets, Romero et al. 2015). The result
lies in OUT/encoder as a weights file that `--encoder` takes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from archivecolor import files, weights
from archivecolor.errors import UsageError
from archivecolor.networks.encoders import Lite0Body, ResNet18Body
from archivecolor.networks.unet import DynamicUnet
from archivecolor.options import DistillationOptions, StageOptions, validation_side
from archivecolor.training import checkpoint, loop
from archivecolor.training.checkpoint import Average
from archivecolor.training.dataset import Batch, PhotoSet, validation_batch
from archivecolor.training.lite0_features import TAPS, Lite0, distances, to_device
from archivecolor.training.loop import autocast
from archivecolor.training.optim_step import OptimStep
from archivecolor.training.pretrain import PretrainStep, weighted_l1

FOLDER = "encoder"
Body = ResNet18Body | Lite0Body


def encoder_of(network: nn.Module) -> Body:
    """The encoder of a U-Net.

    Raises:
        UsageError: the network has none.
    """
    body = network.layers[0] if isinstance(network, DynamicUnet) else None
    if not isinstance(body, ResNet18Body | Lite0Body):
        raise UsageError("--teacher: this network has no encoder to teach; use --teacher none")
    return body


def projections(body: Body) -> nn.ModuleList:
    """From the student's channels to the teacher's, one 1x1 convolution for each of `TAPS`."""
    return nn.ModuleList(nn.Conv2d(body.channels[i], Lite0Body.channels[i], 1) for i in TAPS)


class Student(nn.Module):
    """An encoder and its projections: l_net (N, 1, H, W) -> three maps of the teacher's channels."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body
        self.projections = projections(body)

    def forward(self, l_net: Tensor) -> list[Tensor]:
        taps = self.body.taps(l_net)
        return [project(taps[i]) for i, project in zip(TAPS, self.projections, strict=True)]


class DistillationStep:
    """Cosine distance to the teacher, AdamW, gradients clipped at norm 1."""

    def __init__(self, body: Body, teacher: Lite0) -> None:
        self.teacher = teacher
        self.network = Student(body).to(teacher.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(self.network.parameters(), weight_decay=1e-2)
        self.descend = OptimStep(self.optimizer, teacher.precision, teacher.device)

    def modules(self) -> dict[str, nn.Module]:
        return {"network": self.network, **self.descend.modules()}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"network": self.optimizer}

    def compare(self, batch: Batch) -> dict[str, Tensor]:
        """The distances for a batch: the student sees its grey pictures, the teacher the coloured ones."""
        truth = self.teacher.look(batch.rgb)
        with autocast(self.teacher.precision, self.teacher.device):
            projected = self.network(to_device(batch.l_net, self.teacher.device))
        return distances(projected, truth)

    def __call__(self, batch: Batch, lr: float) -> dict[str, float]:
        self.network.train()
        losses = self.compare(batch)
        self.descend(torch.stack(list(losses.values())).sum(), lr)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    @torch.inference_mode()
    def validate(self, network: nn.Module, average: Average, held: PhotoSet, stage: StageOptions) -> dict[str, float]:
        """The distances of the average on held-out pictures that are not aged."""
        rows = []
        with checkpoint.borrowed(network, average.values):
            for start in range(0, min(len(held), stage.validation_pictures), 16):
                batch = validation_batch(held, start, 16, stage.validation_size)
                rows += [{name: float(value) for name, value in self.compare(batch).items()}] * len(batch.l_net)
        return {f"val_{name}": round(sum(row[name] for row in rows) / len(rows), 4) for name in TAPS.values()}

    def judge(self) -> loop.Validator:
        """How this stage is judged: by its distances; there is nothing to show, and only the encoder to publish."""
        return loop.Validator(self.validate, lambda folder, network, values, held: None, publish)


def publish(folder: Path, network: nn.Module, values: dict[str, Tensor], card: dict[str, Any]) -> None:
    """Writes the encoder alone, in float32, where it came from in the file's own metadata."""
    prefix = "body."
    tensors = {key.removeprefix(prefix): value.contiguous().cpu() for key, value in values.items()
               if key.startswith(prefix)}  # fmt: skip
    about = {**card["numbers"]["training"], "network": card["network"], "recipe": card["recipe"], "data": card["data"]}
    with files.atomic_write(folder / weights.TENSORS) as part:
        save_file(tensors, part, {"about": json.dumps(about)})


def read_about(folder: Path) -> dict[str, Any]:
    """What `publish` wrote about the encoder in this folder; empty where none was taught."""
    if not (folder / weights.TENSORS).exists():
        return {}
    with safe_open(folder / weights.TENSORS, framework="pt") as file:
        about: dict[str, Any] = json.loads(file.metadata()["about"])
    return about


def distil_encoder(
    stage: StageOptions, teaching: DistillationOptions, body: Body, teacher: Lite0, train: PhotoSet, held: PhotoSet,
    card: dict[str, Any], watch: loop.Watch, stop: loop.Stop,
) -> dict[str, Any]:  # fmt: skip
    """Teaches the encoder `body` in place, before the stage; goes on where it stopped, and does nothing once the stage
    has begun.

    Returns:
        Pictures, hours and last numbers of the teaching, for the card.
    """
    folder = stage.out / FOLDER
    if not (stage.out / checkpoint.FILE).exists():
        own = replace(
            stage, name="teach", out=folder, pictures=teaching.pictures, sizes=teaching.sizes, lr=teaching.lr,
            validation_size=validation_side(stage.model, teaching.sizes),
        )  # fmt: skip
        step = DistillationStep(body, teacher)
        loop.run(own, step, train, held, card, watch, stop, step.judge())
        weights.fill(body, weights.read_tensors(folder / weights.TENSORS), folder / weights.TENSORS)
    about = read_about(folder)
    return {key: about[key] for key in ("pictures", "hours", "validation") if key in about}


class DistilledPretrainStep(PretrainStep):
    """L1 on ab, and beside it the encoder's cosine distance to the teacher."""

    def __init__(
        self, network: nn.Module, teacher: Lite0, weight: float, chroma_weight: float, norms_frozen: bool = False
    ) -> None:
        super().__init__(network, teacher.precision, teacher.device, chroma_weight, norms_frozen=norms_frozen)
        self.teacher, self.weight = teacher, weight
        self.body = encoder_of(network)
        self.projections = projections(self.body).to(teacher.device)
        self.optimizer.add_param_group({"params": list(self.projections.parameters())})

    def modules(self) -> dict[str, nn.Module]:
        return {**super().modules(), "projections": self.projections}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        truth = self.teacher.look(batch.rgb)
        l_net = to_device(batch.l_net, self.device)
        with autocast(self.precision, self.device):
            taps = self.body.taps(l_net)
            ab_net = self.network.decode(taps, l_net)  # type: ignore[operator]
            projected = [project(taps[i]) for i, project in zip(TAPS, self.projections, strict=True)]
        far = {name: self.weight * value for name, value in distances(projected, truth).items()}
        return {"l1": weighted_l1(ab_net.float(), batch.ab_net.to(self.device), self.chroma_weight), **far}
