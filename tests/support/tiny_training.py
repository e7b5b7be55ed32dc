"""A pre-training of a few hundred thousand parameters on pictures made here."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

from archivecolor.networks.unet import DynamicUnet, conv_relu
from archivecolor.options import StageOptions
from archivecolor.training import dataset
from archivecolor.training.pretrain import PretrainStep

CPU = torch.device("cpu")


def colour_picture(seed: int, height: int = 72, width: int = 96) -> np.ndarray:
    """Soft blobs of many colours: enough hues and tones to pass for a photograph."""
    blobs = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return cv2.resize(blobs, (width, height), interpolation=cv2.INTER_LINEAR)


def photo_set(count: int, **size: int) -> dataset.PhotoSet:
    return dataset.PhotoSet([colour_picture(i, **size) for i in range(count)], [f"{i}.png" for i in range(count)], {})


def photo_folder(folder: Path, count: int, **size: int) -> Path:
    """The same pictures as files."""
    folder.mkdir()
    for i in range(count):
        Image.fromarray(colour_picture(i, **size)).save(folder / f"{i}.png")
    return folder


class TinyBody(nn.Module):
    """Five halvings in a few hundred thousand parameters, with the dropout that the real encoders lack."""

    channels = (16, 16, 32, 32, 64)

    def __init__(self) -> None:
        super().__init__()
        sides = zip((1, *self.channels), self.channels, strict=False)
        self.layers = nn.ModuleList(
            nn.Sequential(conv_relu(n_in, n_out), nn.BatchNorm2d(n_out), nn.AvgPool2d(2), nn.Dropout(0.1))
            for n_in, n_out in sides
        )

    def taps(self, x):
        kept = []
        for layer in self.layers:
            x = layer(x)
            kept.append(x)
        return kept


def tiny_step(seed: int) -> PretrainStep:
    torch.manual_seed(seed)
    return PretrainStep(DynamicUnet(TinyBody(), TinyBody.channels), "fp32", CPU)


def tiny_stage(out: Path, **changes) -> StageOptions:
    values = {
        "name": "pretrain",
        "model": "lite",
        "out": out,
        "pictures": 24,
        "sizes": ((32, 0.5), (64, 0.5)),
        "batch": 4,
        "aging": 0.5,
        "validate_every": 12,
        "validation_pictures": 2,
        "validation_size": 32,
        "settings": {},
    }
    return StageOptions(**{**values, **changes})


CARD = {"name": "tiny", "network": "lite", "sha256": "", "stage": "pretrain", "recipe": {}, "data": {}}
