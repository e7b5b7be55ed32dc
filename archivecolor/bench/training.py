"""Measures a training: how many pictures a second are made into batches, and how many are learnt from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from archivecolor import weights
from archivecolor.bench.claims import Claim, at_least
from archivecolor.bench.pictures import colour_scene
from archivecolor.inference import devices
from archivecolor.options import AppearanceOptions, BenchOptions, DataOn, Finetuning, StageOptions
from archivecolor.training import dataset, photographs
from archivecolor.training.batches import open_batches
from archivecolor.training.compute import prepare_device, synchronize
from archivecolor.training.dataset import Batch, PhotoSet
from archivecolor.training.gan import GanStep
from archivecolor.training.lite0_features import Lite0
from archivecolor.training.pretrain import PretrainStep

SIDES = (128, 256)
"""Of the crops, in pixels."""
GENERATED = 32
SECONDS = 2.0
"""Each speed is measured for at least so long, and over at least two batches."""
ONE_BY_ONE = "batches, one after the other"
"""As they were made before there were threads for them."""
ALL_LOSSES = AppearanceOptions(feature_weight=0.1, psnr_weight=0.02, ciede2000_weight=0.01, colour_weight=0.45)


@dataclass(frozen=True)
class TrainingSpeed:
    """What was measured, and how fast it was."""

    what: str
    model: str
    """Empty for batches alone."""
    device: str
    precision: str
    side: int
    batch: int
    pictures_per_second: float


def measure_training(options: BenchOptions, say: Callable[[str], None]) -> list[TrainingSpeed]:
    """Measures batches of `options.pictures` pictures, and steps of the models with them.

    Raises:
        MissingDependencyError: the losses need EfficientNet-Lite0, whose package is not installed.
        NoInputError: the folder has no photograph that can teach colour.
    """
    device = devices.choose_device(options.device)
    precision = devices.choose_precision(options.precision, device)
    prepare_device(device)
    photos = _photographs(options)
    rows: list[TrainingSpeed] = []
    for side in SIDES:
        stage = StageOptions("pretrain", "", Path(), sizes=((side, 1.0),), batch=options.pictures, precision=precision)

        def add(what: str, speed: float, model: str = "", stage: StageOptions = stage) -> None:
            rows.append(TrainingSpeed(what, model, str(device), precision, stage.sizes[0][0], stage.batch, speed))

        say(f"batches of {options.pictures} pictures of {side} px")
        for what, speed in _batch_speeds(photos, stage, device):
            add(what, speed)
        batch = dataset.training_batch(photos, 0, stage.batch, side, stage.aging, stage.seed).to(device)
        for model in options.models:
            network_name = weights.read_card(weights.find(model)).network
            for what, step in _steps(model, precision, device):
                say(f"{model}, {side} px: {what}")
                add(what, _speed(partial(step, batch, 1e-6), stage.batch, device), network_name)
    return rows


def training_claims(rows: list[TrainingSpeed]) -> list[Claim]:
    """Batches for a training are made at least as fast as one after the other, up to the noise of a busy machine."""
    claims = []
    for side in SIDES:
        speeds = {row.what: row.pictures_per_second for row in rows if row.side == side and not row.model}
        ratio = speeds[f"batches, on the {DataOn.HOST}"] / speeds[ONE_BY_ONE]
        claims.append(at_least(f"batches of {side} px ÷ {ONE_BY_ONE.removeprefix('batches, ')}", ratio, 0.9))
    return claims


def _photographs(options: BenchOptions) -> PhotoSet:
    """Those of the folder, or parts of one photograph, all of the size at which a training keeps them."""
    side = photographs.decoded_side(max(SIDES))
    if options.folder is not None:
        paths = dataset.find_sample(options.folder, GENERATED)
        return dataset.load(paths, photographs.read_rgb, side, options.folder)
    scene = colour_scene()
    pictures = []
    for i in range(GENERATED):
        part = np.rot90(scene[8 * (i % 8) :, : scene.shape[1] - 8 * (i // 8)], i % 4)
        pictures.append(np.asarray(cv2.resize(np.ascontiguousarray(part), (side * 4 // 3, side)), np.uint8))
    return PhotoSet(pictures, [str(i) for i in range(GENERATED)], {})


def _batch_speeds(photos: PhotoSet, stage: StageOptions, device: torch.device) -> Iterator[tuple[str, float]]:
    """(what, pictures a second): one after the other, on the host as in a training, and on a GPU."""
    starts = iter(range(0, 10**9, stage.batch))

    def one() -> object:
        return dataset.training_batch(photos, next(starts), stage.batch, stage.sizes[0][0], stage.aging, stage.seed)

    yield ONE_BY_ONE, _speed(one, stage.batch, device)
    for source in (DataOn.HOST, *([DataOn.DEVICE] if device.type == "cuda" else [])):
        with open_batches(photos, replace(stage, data_on=str(source)), 0, device) as batches:
            yield f"batches, on the {source}", _speed(partial(next, batches), stage.batch, device)


def _steps(
    model: str, precision: str, device: torch.device
) -> Iterator[tuple[str, Callable[[Batch, float], dict[str, torch.Tensor]]]]:
    """(what, step): L1 alone, all losses beside it, and the discriminator beside these."""
    folder = weights.find(model)
    yield "steps, L1", _pretrain_step(folder, precision, device, AppearanceOptions(), None)
    yield "steps, all losses", _pretrain_step(folder, precision, device, ALL_LOSSES, Lite0(precision, device))
    adversarial = replace(Finetuning().adversarial_options(), warmup=0)
    yield "steps, GAN", GanStep(weights.load(folder)[0], adversarial, 1e-4, precision, device)


def _pretrain_step(
    folder: Path, precision: str, device: torch.device, appearance: AppearanceOptions, lite0: Lite0 | None
) -> PretrainStep:
    network, _ = weights.load(folder)
    return PretrainStep(network, precision, device, 0.5, appearance=appearance, lite0=lite0)


def _speed(work: Callable[[], object], pictures: int, device: torch.device) -> float:
    """Pictures a second, after one call that does not count; a GPU is waited for at both ends."""
    work()
    synchronize(device)
    started, calls = time.perf_counter(), 0
    while calls < 2 or time.perf_counter() - started < SECONDS:
        work()
        calls += 1
    synchronize(device)
    return calls * pictures / (time.perf_counter() - started)
