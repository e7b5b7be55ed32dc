"""Trains a grey encoder without labels, to predict from the grey picture the features of the colour picture.

The features are those of EfficientNet-Lite0, trained on ImageNet (the teacher). 1x1 projections map the student's
features at strides 8, 16 and 32 to the teacher's channels; their cosine distance is minimized (feature distillation as
in FitNets, Romero et al. 2015). The projections are not kept. The encoder lies in OUT/encoder, as a weights file that
`--encoder` takes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from archivecolor import files, weights
from archivecolor.errors import UsageError
from archivecolor.networks.encoders import Lite0Body, ResNet18Body
from archivecolor.networks.slim import SlimUnet
from archivecolor.networks.unet import DynamicUnet
from archivecolor.options import DistillationOptions, StageOptions, validation_side
from archivecolor.training import checkpoint, loop
from archivecolor.training.checkpoint import Average, JsonObject
from archivecolor.training.compute import autocast, to_device
from archivecolor.training.dataset import Batch, PhotoSet, validation_batch
from archivecolor.training.lite0_features import TAPS, Lite0, feature_distances
from archivecolor.training.optim_step import OptimStep, fused
from archivecolor.training.pretrain import PretrainStep, chroma_weighted_l1
from archivecolor.training.validation import VALIDATION_BATCH

FOLDER = "encoder"
STAGE = "teach"
Body = ResNet18Body | Lite0Body


def unet_encoder(network: nn.Module) -> Body:
    """The encoder of a U-Net.

    Raises:
        UsageError: the network has none.
    """
    body = network.encoder if isinstance(network, DynamicUnet | SlimUnet) else None
    if not isinstance(body, ResNet18Body | Lite0Body):
        raise UsageError("--teacher: this network has no encoder to teach; use --teacher none")
    return body


def build_projections(body: Body) -> nn.ModuleList:
    """1x1 convolutions from the student's channels to the teacher's, one for each of `TAPS`."""
    return nn.ModuleList(nn.Conv2d(body.channels[i], Lite0Body.channels[i], 1) for i in TAPS)


class Student(nn.Module):
    """An encoder and its projections: l_net (N, 1, H, W) -> three maps with the teacher's channels."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body
        self.projections = build_projections(body)

    def forward(self, l_net: Tensor) -> list[Tensor]:
        taps = self.body.taps(l_net)
        return [project(taps[i]) for i, project in zip(TAPS, self.projections, strict=True)]


class DistillationStep:
    """Cosine distance to the teacher's features with AdamW; gradients are clipped at norm 1."""

    def __init__(self, body: Body, teacher: Lite0) -> None:
        self.teacher = teacher
        self.network = to_device(Student(body), teacher.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), weight_decay=1e-2, fused=fused(teacher.device))
        self.optim_step = OptimStep(self.optimizer, teacher.precision, teacher.device)

    def modules(self) -> dict[str, nn.Module]:
        return {"network": self.network, **self.optim_step.modules()}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"network": self.optimizer}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The distances for a batch. The student sees its grey pictures, the teacher the coloured ones."""
        targets = self.teacher.target_features(batch.rgb)
        with autocast(self.teacher.precision, self.teacher.device):
            projected = self.network(to_device(batch.l_net, self.teacher.device))
        return feature_distances(projected, targets)

    def __call__(self, batch: Batch, lr: float) -> dict[str, Tensor]:
        self.network.train()
        losses = self.losses(batch)
        one_or_nan = self.optim_step(torch.stack(list(losses.values())).sum(), lr)
        return {name: loss.detach() * one_or_nan for name, loss in losses.items()}

    @torch.inference_mode()
    def validate(
        self, network: nn.Module, average: Average, validation: PhotoSet, stage: StageOptions, _pictures: int = 0
    ) -> dict[str, float]:
        """The distances of the average on validation pictures, which are not aged."""
        rows = []
        with checkpoint.temporary_values(network, average.values):
            for start in range(0, min(len(validation), stage.validation_pictures), VALIDATION_BATCH):
                batch = validation_batch(validation, start, VALIDATION_BATCH, stage.validation_size)
                rows += [{name: float(value) for name, value in self.losses(batch).items()}] * len(batch.l_net)
        return {f"val_{name}": round(sum(row[name] for row in rows) / len(rows), 4) for name in TAPS.values()}

    def validator(self) -> loop.Validator:
        """Validates by the distances, writes no samples, and publishes the encoder alone."""
        return loop.Validator(self.validate, lambda folder, network, values, validation: None, publish)


def publish(folder: Path, network: nn.Module, values: dict[str, Tensor], card: JsonObject) -> None:
    """Writes the encoder alone, in float32. The file's metadata says how it was made."""
    prefix = "body."
    encoder = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    tensors = {key: value.contiguous().cpu() for key, value in encoder.items()}
    about = {**card["numbers"]["training"], "network": card["network"], "recipe": card["recipe"], "data": card["data"]}
    with files.atomic_write(folder / weights.TENSORS) as part:
        save_file(tensors, part, {"about": json.dumps(about)})


def read_about(folder: Path) -> JsonObject:
    """The metadata that `publish` wrote with the encoder in this folder; empty if there is no encoder."""
    if not (folder / weights.TENSORS).exists():
        return {}
    with safe_open(folder / weights.TENSORS, framework="pt") as file:
        about: JsonObject = json.loads(file.metadata()["about"])
    return about


def distillation_stage(stage: StageOptions, options: DistillationOptions) -> StageOptions:
    """The stage that trains the encoder, in a subfolder of the pre-training's."""
    return replace(
        stage,
        name=STAGE,
        out=stage.out / FOLDER,
        pictures=options.pictures,
        sizes=options.sizes,
        lr=options.lr,
        validation_size=validation_side(stage.model, options.sizes),
    )


def distil_encoder(
    stage: StageOptions,
    options: DistillationOptions,
    body: Body,
    teacher: Lite0,
    train: PhotoSet,
    validation: PhotoSet,
    card: JsonObject,
    on_progress: loop.OnProgress,
    should_stop: loop.ShouldStop,
) -> JsonObject:
    """Trains the encoder `body` in place, before the pre-training `stage`.

    Resumes where it stopped. Does nothing if the pre-training has already started.

    Returns:
        Pictures, hours and last validation, for the card.
    """
    folder = stage.out / FOLDER
    if not (stage.out / checkpoint.FILE).exists():
        step = DistillationStep(body, teacher)
        own = distillation_stage(stage, options)
        loop.run(own, step, train, validation, card, on_progress, should_stop, step.validator())
        weights.fill(body, weights.read_tensors(folder / weights.TENSORS), folder / weights.TENSORS)
    about = read_about(folder)
    return {key: about[key] for key in ("pictures", "hours", "validation") if key in about}


class DistilledPretrainStep(PretrainStep):
    """L1 on ab, and beside it the encoder's cosine distance to the teacher's features."""

    def __init__(
        self, network: nn.Module, teacher: Lite0, weight: float, chroma_weight: float, norms_frozen: bool = False
    ) -> None:
        super().__init__(network, teacher.precision, teacher.device, chroma_weight, norms_frozen=norms_frozen)
        self.teacher, self.weight = teacher, weight
        self.body = unet_encoder(network)
        self.projections = build_projections(self.body).to(teacher.device)
        self.optimizer.add_param_group({"params": list(self.projections.parameters())})

    def modules(self) -> dict[str, nn.Module]:
        return {**super().modules(), "projections": self.projections}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        targets = self.teacher.target_features(batch.rgb)
        l_net = to_device(batch.l_net, self.device)
        with autocast(self.precision, self.device):
            taps = self.body.taps(l_net)
            ab_net = self.network.decode(taps, l_net)  # type: ignore[operator]
            projected = [project(taps[i]) for i, project in zip(TAPS, self.projections, strict=True)]
        distances = feature_distances(projected, targets)
        l1 = chroma_weighted_l1(ab_net.float(), batch.ab_net.to(self.device), self.chroma_weight)
        return {"l1": l1, **{name: self.weight * value for name, value in distances.items()}}
