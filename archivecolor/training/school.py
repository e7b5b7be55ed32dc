"""The stages as commands: read the photographs, build the network, train, leave a weights folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from archivecolor import orient, photo, tone, weights
from archivecolor.errors import UsageError
from archivecolor.options import Adversarial, Stage, Teaching
from archivecolor.training import dataset, loop, teacher
from archivecolor.training.gan import GanStep, GuardedGanStep
from archivecolor.training.pretrain import Pretrain, SoftTarget, start_encoder


def read_rgb(path: Path) -> dataset.Bytes:
    """The first page of a colour picture, upright, as sRGB, uint8 (H, W, 3).

    Raises:
        PictureError: it cannot be read.
    """
    page = photo.read(path).pages[0]
    rgb = tone.srgb_bytes(page.samples, page.icc)
    return np.ascontiguousarray(orient.upright(rgb, page.orientation, axes=(0, 1)))


def photographs(stage: Stage, data: Path, val: Path | None) -> tuple[dataset.PhotoSet, dataset.PhotoSet]:
    """The training and the held-out photographs, decoded."""
    cv2.setNumThreads(1)
    train_paths = dataset.find(data)
    held_paths = dataset.find(val) if val else []
    if not val:
        train_paths, held_paths = dataset.split(train_paths, data)
    short = max(side for side, _ in stage.sizes)
    held_paths = held_paths[: stage.validation_pictures]
    return dataset.load(train_paths, read_rgb, short), dataset.load(held_paths, read_rgb, 256)


def start_card(stage: Stage, data: Path, train: dataset.PhotoSet) -> dict[str, Any]:
    """What a card says of a training from the start."""
    recipe = {
        "pictures": stage.pictures, "sizes": [list(pair) for pair in stage.sizes], "batch": stage.batch, "lr": stage.lr,
        "aging": stage.aging, "ema": stage.ema, "seed": stage.seed, "precision": stage.precision, **stage.settings,
    }  # fmt: skip
    about = {"folder": data.name, "pictures": len(train), "left_out": train.left_out}
    return {
        "name": stage.out.name, "network": stage.model, "sha256": "", "stage": stage.name, "recipe": recipe,
        "data": about,
    }  # fmt: skip


def pretrain(
    stage: Stage, teaching: Teaching, data: Path, val: Path | None, device: torch.device, watch: loop.Watch,
    stop: loop.Stop,
) -> dict[str, float]:  # fmt: skip
    """L1 pre-training; see `archivecolor train pretrain --help`."""
    torch.manual_seed(stage.seed)
    network = weights.build(stage.model, stage.out)
    start_encoder(network, str(stage.settings["encoder"]))
    lite0 = teacher.Lite0(stage.precision, device) if teaching.teacher == "lite0" else None
    train, held = photographs(replace(stage, sizes=stage.sizes + teaching.sizes) if lite0 else stage, data, val)
    card = start_card(stage, data, train)
    if lite0 and teaching.pictures:
        pupil = teacher.encoder_of(network)
        card["recipe"]["taught"] = teacher.teach(stage, teaching, pupil, lite0, train, held, card, watch, stop)
        if stop():
            return {}
    chroma_weight = float(stage.settings["chroma_weight"])
    soft = None
    if teaching.soft_target:
        finished, _ = weights.load(weights.find(teaching.soft_target))
        soft = SoftTarget(finished, teaching.soft_weight, stage.precision, device)
    step = Pretrain(network, stage.precision, device, chroma_weight, soft)
    if lite0 and teaching.weight:
        step = teacher.GuidedPretrain(network, lite0, teaching.weight, chroma_weight)
    return loop.run(stage, step, train, held, card, watch, stop)


def gan(
    stage: Stage, asked: Adversarial, origin: Path, data: Path, val: Path | None, device: torch.device,
    watch: loop.Watch, stop: loop.Stop,
) -> dict[str, float]:  # fmt: skip
    """Adversarial fine-tuning of the weights in `origin`; see `archivecolor train gan --help`."""
    if stage.out.resolve() == origin.resolve():
        raise UsageError(f"--out {stage.out}: these are the weights to start from; choose another folder")
    torch.manual_seed(stage.seed)
    network, parent = weights.load(origin)
    step = GuardedGanStep(network, asked, stage.lr, stage.precision, device, parent.sha256)
    train, held = photographs(stage, data, val)
    card = {**start_card(stage, data, train), "size": parent.size, "history": [*parent.history, parent.sha256]}
    card["recipe"]["from"] = parent.name
    return loop.run(stage, step, train, held, card, watch, lambda: stop() or step.guard.collapsed, step.judge())


def baseline(
    stage: Stage, asked: Adversarial, data: Path, val: Path | None, device: torch.device, watch: loop.Watch,
    stop: loop.Stop,
) -> dict[str, float]:  # fmt: skip
    """pix2pix from noise; see `archivecolor train baseline --help`."""
    torch.manual_seed(stage.seed)
    step = GanStep(weights.build(stage.model, stage.out), asked, stage.lr, stage.precision, device)
    train, held = photographs(stage, data, val)
    return loop.run(stage, step, train, held, start_card(stage, data, train), watch, stop)
