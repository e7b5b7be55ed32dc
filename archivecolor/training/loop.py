"""One training: batches, steps, validation, checkpoints. The stages (pretrain, gan, …) bring their own step.

Why this loop and not fastai's Learner carries the stages: a resumed training has to give the next loss bit for bit,
from one file that is whole after a kill at any moment (the Learner resumes at epochs, and its random state is not part
of what it saves); the adversarial stage has two optimisers and a guard that may end it; and one cycle, mixed precision
and several processes are a few lines here that one can read. The Learner is used where it is stronger: `finder.py`
looks for the learning rate with it, on the same batches, network and loss.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archivecolor.imaging import metrics
from archivecolor.options import StageOptions
from archivecolor.training import checkpoint, distributed, figures
from archivecolor.training.checkpoint import Average, Step
from archivecolor.training.dataset import Batch, PhotoSet, training_batch, validation_batch


@dataclass(frozen=True)
class Progress:
    """What a watcher of a training is told after each step and after each validation."""

    stage: str
    pictures: int
    total: int
    size: int
    """The side in pixels of what was learnt from, or judged."""
    numbers: dict[str, float]
    """The losses of the step and the last validation's numbers; of a validation, its own alone."""
    per_second: float
    validated: bool
    """Whether this tells of a validation."""


def learning_rate(done: float, peak: float) -> float:
    """One cycle: linear warm-up over the first 4 %, then a cosine down to a hundredth. `done` in [0, 1]."""
    warm = 0.04
    if done < warm:
        return peak * (0.05 + 0.95 * done / warm)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (done - warm) / (1 - warm)))))


def size_at(done: float, sizes: tuple[tuple[int, float], ...]) -> int:
    """The crop's side at this point of the training. `sizes` are (side, share of the pictures)."""
    passed = 0.0
    for side, share in sizes:
        passed += share
        if done < passed - 1e-9:
            return side
    return sizes[-1][0]


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Mixed precision as asked for: bf16, fp16 or none."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32")


Watch = Callable[[Progress], None]
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Validator:
    """What becomes of a stage's averaged network besides being trained."""

    validate: Callable[[nn.Module, Average, PhotoSet, StageOptions], dict[str, float]]
    """The numbers of the average on the held-out pictures."""
    show: Callable[[Path, nn.Module, dict[str, Tensor], PhotoSet], None]
    """Leaves something to look at in the folder."""
    publish: Callable[[Path, nn.Module, dict[str, Tensor], dict[str, Any]], object]
    """Writes the weights and their card to the folder."""


def run(
    stage: StageOptions,
    step: Step,
    train: PhotoSet,
    held: PhotoSet,
    card: dict[str, Any],
    watch: Watch,
    stop: Stop = lambda: False,
    judge: Validator | None = None,
) -> dict[str, float]:
    """Trains until `stage.pictures` were seen or `stop()` is true; saves its state and the weights either way.

    Args:
        judge: how the stage's network is validated, shown and published; as a colorizer when left out.

    Returns:
        The last validation's numbers.
    """
    distributed.check_batch(stage.batch)
    training = _Training(stage, step, held, judge or COLORIZER)
    if training.state.pictures < stage.pictures:
        _train(training, train, watch, stop)
        training.save()  # before judging, which takes minutes: whoever is in haste presses Ctrl-C twice
    if training.state.judged_at != training.state.pictures:
        training.validate(watch)
        training.save()
    training.publish(card)
    distributed.barrier()
    return training.state.numbers


def _train(training: _Training, photos: PhotoSet, watch: Watch, stop: Stop) -> None:
    stage, first, started = training.stage, training.state.pictures, time.monotonic()
    # In step with an unbroken run, so that the curves of a resumed one have the same marks.
    next_validation = (training.state.judged_at // stage.validate_every + 1) * stage.validate_every
    with _Batches(photos, stage, first) as batches:
        while training.state.pictures < stage.pictures and not distributed.any_process(stop()):
            if training.state.pictures >= next_validation:
                training.validate(watch)
                next_validation += stage.validate_every
            batch = next(batches)
            losses = training.learn(batch)
            seen = training.state.pictures
            rate = (seen - first) / (time.monotonic() - started)
            numbers = {**losses, **training.state.numbers}
            watch(Progress(stage.name, seen, stage.pictures, batch.l_net.shape[-1], numbers, rate, False))
            if training.unsaved_seconds() > stage.checkpoint_minutes * 60:
                training.save()


class _Training:
    """What changes while a stage runs: the networks, their average, and how far they are."""

    def __init__(self, stage: StageOptions, step: Step, held: PhotoSet, judge: Validator) -> None:
        self.stage, self.step, self.held, self.judge = stage, step, held, judge
        self.average = Average(step.network, stage.ema)
        self.state = checkpoint.restore(stage, step, self.average)
        distributed.check_equal_on_all(self.state.pictures, "how far the training is")
        distributed.broadcast_parameters(step.modules().values())
        self.before, self.started = self.state.seconds, time.monotonic()
        self.saved_at = self.started

    def _mark(self, pictures: int, numbers: dict[str, float], judged_at: int) -> None:
        self.state = checkpoint.State(pictures, numbers, self.before + time.monotonic() - self.started, judged_at)

    def unsaved_seconds(self) -> float:
        return time.monotonic() - self.saved_at

    def learn(self, batch: Batch) -> dict[str, float]:
        """One step; the losses."""
        seen = self.state.pictures
        # Dropout, too, depends on nothing but the place in the training: a resumed one draws what it would have drawn.
        torch.manual_seed(self.stage.seed * 1_000_003 + seen + distributed.rank())
        losses = distributed.mean_of(self.step(batch, learning_rate(seen / self.stage.pictures, self.stage.lr)))
        self.average.update(self.step.network)
        self._mark(seen + self.stage.batch, self.state.numbers, self.state.judged_at)
        return losses

    def validate(self, watch: Watch) -> None:
        """Judges the average and writes it down: history, curves, samples."""
        stage, pictures, begun = self.stage, self.state.pictures, time.monotonic()
        self._mark(pictures, self.judge.validate(self.step.network, self.average, self.held, stage), pictures)
        rate = min(len(self.held), stage.validation_pictures) / (time.monotonic() - begun)
        watch(Progress(stage.name, pictures, stage.pictures, stage.validation_size, self.state.numbers, rate, True))
        if not distributed.is_main_process():
            return
        figures.log(
            stage.out, {"pictures": self.state.pictures, "seconds": round(self.state.seconds), **self.state.numbers}
        )
        figures.curves(stage.out)
        self.judge.show(stage.out, self.step.network, self.average.values, self.held)

    def save(self) -> None:
        if distributed.is_main_process():
            checkpoint.save(self.stage.out, self.stage, self.step, self.average, self.state)
        self.saved_at = time.monotonic()

    def publish(self, card: dict[str, Any]) -> None:
        """The weights of the average, with what the training cost."""
        if not distributed.is_main_process():
            return
        hours = round(self.state.seconds / 3600, 2)
        training = {"pictures": self.state.pictures, "hours": hours, "validation": self.state.numbers}
        self.judge.publish(
            self.stage.out, self.step.network, self.average.values, {**card, "numbers": {"training": training}}
        )


class _Batches:
    """Prepares the next batch in a thread while the network works on this one."""

    def __init__(self, photos: PhotoSet, stage: StageOptions, start: int) -> None:
        self.photos, self.stage, self.position = photos, stage, start
        self.pool = ThreadPoolExecutor(1)

    def _make(self, position: int) -> Batch:
        size = size_at(position / self.stage.pictures, self.stage.sizes)
        start, count = distributed.local_slice(position, self.stage.batch)
        return training_batch(self.photos, start, count, size, self.stage.aging, self.stage.seed)

    def __enter__(self) -> Iterator[Batch]:
        return self._generate()

    def _generate(self) -> Iterator[Batch]:
        waiting = self.pool.submit(self._make, self.position)
        while True:
            batch = waiting.result()
            self.position += self.stage.batch
            waiting = self.pool.submit(self._make, self.position)
            yield batch

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)


@torch.inference_mode()
def predict(network: nn.Module, l_net: Tensor, precision: str) -> Tensor:
    """ab_net (N, 2, H, W), float32, of the network in evaluation mode."""
    device = next(network.parameters()).device
    with autocast(precision, device):
        ab_net: Tensor = network(l_net.to(device, memory_format=torch.channels_last))
    return ab_net.float().cpu()


def validate(network: nn.Module, average: Average, held: PhotoSet, stage: StageOptions) -> dict[str, float]:
    """L1 of ab_net, PSNR gained over the grey picture (dB) and colourfulness ÷ truth's, of the average on held-out
    pictures at `stage.validation_size`."""
    with checkpoint.borrowed(network, average.values):
        errors, psnrs, greys, ours, truths = [], [], [], [], []
        for start in range(0, min(len(held), stage.validation_pictures), 16):
            batch = validation_batch(held, start, 16, stage.validation_size)
            ab_net = predict(network, batch.l_net, stage.precision)
            errors.append((ab_net - batch.ab_net).abs().mean(dim=(1, 2, 3)))
            rgb = batch.painted(ab_net).permute(0, 2, 3, 1).numpy()
            grey = batch.painted(ab_net * 0).permute(0, 2, 3, 1).numpy()
            for mine, none, true in zip(rgb, grey, batch.rgb.permute(0, 2, 3, 1).numpy(), strict=True):
                psnrs.append(metrics.psnr(mine, true))
                greys.append(metrics.psnr(none, true))
                ours.append(metrics.colourfulness(mine))
                truths.append(metrics.colourfulness(true))
    return {
        "val_l1": round(float(torch.cat(errors).mean()), 5),
        "val_psnr_gain": round(sum(psnrs) / len(psnrs) - sum(greys) / len(greys), 3),
        "val_colour": round(sum(ours) / sum(truths), 3),
    }


COLORIZER = Validator(validate, figures.samples, checkpoint.publish)
"""Judges the network by the pictures it colours."""
