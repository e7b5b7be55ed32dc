"""An adversarial training of a few thousand parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from archivecolor.networks.patchgan import PatchDiscriminator
from archivecolor.options import AdversarialOptions, StageOptions, StopWhen
from archivecolor.training import dataset
from archivecolor.training.early_stopping import BestAverageStep
from archivecolor.training.gan import GanStep
from support import tiny_training

CPU = torch.device("cpu")


class Pocket(nn.Module):
    """A U-Net's stand-in: norms, dropout and a few thousand parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 5, padding=2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(16, 16, 5, padding=2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 2, 5, padding=2),
        )

    def forward(self, l_net: Tensor) -> Tensor:
        return self.layers(l_net)


class SmallJudge(PatchDiscriminator):
    """The real one with an eighth of the filters."""

    def __init__(self, spectral: bool = False) -> None:
        super().__init__(n_filters=8, spectral=spectral)


def colour_picture(seed: int) -> np.ndarray:
    return tiny_training.colour_picture(seed, 64, 72)


def photo_set(count: int) -> dataset.PhotoSet:
    return tiny_training.photo_set(count, height=64, width=72)


def some_batch(start: int = 0) -> dataset.Batch:
    return dataset.training_batch(photo_set(4), start, 4, 32, 0.0, 0)


def pocket_step(seed: int = 0, **options) -> GanStep:
    torch.manual_seed(seed)
    return GanStep(Pocket(), AdversarialOptions(**{"warmup": 8, **options}), 1e-3, "fp32", CPU, norms_frozen=True)


def stoppable_step(seed: int = 0, **options) -> BestAverageStep:
    return BestAverageStep(pocket_step(seed, **options), StopWhen(), parent="ab" * 32)


def pocket_stage(out: Path, **changes) -> StageOptions:
    values = {
        "name": "gan",
        "model": "pocket",
        "out": out,
        "pictures": 32,
        "sizes": ((32, 1.0),),
        "batch": 4,
        "lr": 1e-3,
        "validate_every": 8,
        "validation_pictures": 2,
        "validation_size": 32,
    }
    return StageOptions(**{**values, **changes})


CARD = {"name": "pocket", "network": "pocket", "sha256": "", "stage": "gan", "recipe": {}, "data": {}}


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


def numbers(l1: float, colour: float) -> dict[str, float]:
    return {"val_l1": l1, "val_colour": colour}
