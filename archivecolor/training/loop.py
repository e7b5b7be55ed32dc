"""The training loop of every stage: batches, steps, validations, checkpoints. Each stage brings its own step.

fastai's `Learner` does not run the stages, because

- a resumed training must give the next loss bit for bit on a CPU, from one file that is whole after a kill at any
  moment. The Learner resumes at epochs, and does not save its random state;
- the adversarial stage has two optimizers, and early stopping that may end it;
- one cycle, mixed precision and several processes are a few lines here.

On a GPU a resumed training sees the same batches and draws the same dropout. But cuDNN's fastest gradients add in no
fixed order, so losses differ in their last digits from run to run, resumed or not.

The Learner does what it is better at: `lr_finder.py` searches for the learning rate with it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor, nn

from archivecolor.errors import DivergedError
from archivecolor.options import StageOptions
from archivecolor.training import checkpoint, distributed, figures
from archivecolor.training.batches import open_batches
from archivecolor.training.checkpoint import Average, JsonObject, Step, TrainingState
from archivecolor.training.dataset import Batch, PhotoSet
from archivecolor.training.validation import measure, summary


@dataclass(frozen=True)
class TrainingProgress:
    """What is reported after each step and after each validation."""

    stage: str
    pictures: int
    total: int
    size: int
    """The side of the pictures of this step or validation, in pixels."""
    numbers: dict[str, float]
    """After a step, its losses and the last validation's numbers. After a validation, its own numbers alone. On a GPU,
    the losses are those of the last step that was waited for; there are none before the first."""
    per_second: float
    validated: bool
    """Whether this reports a validation."""


LOSSES_EVERY = 20
"""A GPU is waited for, and its losses are read, after every so many steps."""

OnProgress = Callable[[TrainingProgress], None]
ShouldStop = Callable[[], bool]


def learning_rate(done: float, peak: float, round_ends: tuple[float, ...] = (1.0,)) -> float:
    """One cycle in each round: linear warm-up over the first 4 %, then a cosine down to a hundredth.

    Args:
        done: the share of the training that is done, in [0, 1].
        round_ends: that share at the end of each round (warm restarts, Loshchilov and Hutter 2017).
    """
    start, end = next(((a, b) for a, b in pairwise((0.0, *round_ends)) if done < b - 1e-9), (0.0, 1.0))
    done, warm = (done - start) / (end - start), 0.04
    if done < warm:
        return peak * (0.05 + 0.95 * done / warm)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (done - warm) / (1 - warm)))))


@dataclass(frozen=True)
class Validator:
    """How a stage's averaged network is validated, shown and published."""

    validate: Callable[[nn.Module, Average, PhotoSet, StageOptions, int], dict[str, float]]
    """The numbers of the average on the validation pictures; the last argument is how many pictures it has seen."""
    write_samples: Callable[[Path, nn.Module, dict[str, Tensor], PhotoSet], None]
    """Writes sample pictures into the folder."""
    publish: Callable[[Path, nn.Module, dict[str, Tensor], JsonObject], object]
    """Writes the weights and their card into the folder."""


def run(
    stage: StageOptions,
    step: Step,
    train: PhotoSet,
    validation: PhotoSet,
    card: JsonObject,
    on_progress: OnProgress,
    should_stop: ShouldStop = lambda: False,
    validator: Validator | None = None,
) -> dict[str, float]:
    """Trains until `stage.pictures` were seen or `should_stop()` is true. Saves state and weights either way.

    Args:
        validator: how the network is validated, shown and published. Default: as a colorizer.

    Returns:
        The last validation's numbers.

    Raises:
        DivergedError: a loss became infinite or NaN. State and weights are those before it.
    """
    distributed.check_batch_size(stage.batch)
    training = _Training(stage, step, validation, validator or COLORIZER)
    diverged: DivergedError | None = None
    if training.state.pictures < stage.pictures:
        try:
            _train(training, train, on_progress, should_stop)
        except DivergedError as error:
            diverged = error
            training.forget_divergence()
        training.save()  # before the validation, which takes minutes: a second Ctrl-C may cut it short
    if training.state.validated_at != training.state.pictures:
        training.validate(on_progress)
        training.save()
    training.publish(card)
    distributed.barrier()
    if diverged:
        raise DivergedError(
            f"{stage.out}: the loss is not a number after {training.state.pictures} pictures ({diverged}); the folder "
            f"has the weights from before. Resume with a lower --lr (it was {stage.lr:g}), or choose another --out"
        )
    return training.state.numbers


def _train(training: _Training, photos: PhotoSet, on_progress: OnProgress, should_stop: ShouldStop) -> None:
    stage, first, started = training.stage, training.state.pictures, time.monotonic()
    # At the same pictures as in an unbroken training, so that the curves of a resumed one have the same points.
    next_validation = (training.state.validated_at // stage.validate_every + 1) * stage.validate_every
    training.save_start()
    with open_batches(photos, stage, first, training.device) as batches:
        while training.state.pictures < stage.pictures:
            if distributed.any_process(should_stop() or training.is_out_of_time()):
                break
            if training.state.pictures >= next_validation:
                training.validate(on_progress)
                next_validation += stage.validate_every
            batch = next(batches)
            losses = training.train_step(batch)
            pictures = training.state.pictures
            rate = (pictures - first) / (time.monotonic() - started)
            numbers, size = {**losses, **training.state.numbers}, batch.l_net.shape[-1]
            on_progress(TrainingProgress(stage.name, pictures, stage.pictures, size, numbers, rate, False))
            if training.unsaved_seconds() > stage.checkpoint_minutes * 60:
                training.save()
    training.read_losses()


class _Training:
    """What changes while a stage runs: the networks, their average, and the progress."""

    def __init__(self, stage: StageOptions, step: Step, validation: PhotoSet, validator: Validator) -> None:
        self.stage, self.step, self.validation, self.validator = stage, step, validation, validator
        self.average = Average(step.network, stage.ema)
        self.state = checkpoint.restore(stage, step, self.average)
        distributed.check_equal_on_all(self.state.pictures, "the progress of the training")
        distributed.broadcast_parameters(step.modules().values())
        self.seconds_before, self.started = self.state.seconds, time.monotonic()
        self.saved_at = self.started
        self.losses: list[dict[str, float]] = []
        """Of each step since the last validation, as far as they were read."""
        self.device = next(step.network.parameters()).device
        self.losses_every = 1 if self.device.type == "cpu" else LOSSES_EVERY
        self._unread: list[dict[str, Tensor]] = []
        self._latest: dict[str, float] = {}

    def _set_state(self, pictures: int, numbers: dict[str, float], validated_at: int) -> None:
        seconds = self.seconds_before + time.monotonic() - self.started
        self.state = TrainingState(pictures, numbers, seconds, validated_at)

    def is_out_of_time(self) -> bool:
        return self.stage.minutes > 0 and self.state.seconds >= 60 * self.stage.minutes

    def unsaved_seconds(self) -> float:
        return time.monotonic() - self.saved_at

    def _learning_rate(self) -> float:
        stage = self.stage
        return learning_rate(self.state.pictures / stage.pictures, stage.lr, stage.round_ends())

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One step. Returns the losses that were read last: on a CPU, its own.

        Raises:
            DivergedError: a loss or gradient was infinite or NaN.
        """
        pictures = self.state.pictures
        # Dropout depends only on the place in the training, so a resumed training draws the same.
        torch.manual_seed(self.stage.seed * 1_000_003 + pictures + distributed.rank())
        lr = self._learning_rate()
        self._unread.append(self.step(batch, lr))
        if len(self._unread) >= self.losses_every:
            self.read_losses()
        self.average.update(self.step.network)
        self._set_state(pictures + self.stage.batch, self.state.numbers, self.state.validated_at)
        return self._latest

    def read_losses(self) -> None:
        """Waits for the device, and reads the losses of the steps since the last reading.

        Raises:
            DivergedError: one is infinite or NaN. In fp16 a step whose gradients overflow is skipped instead.
        """
        rows, self._unread = self._unread, []
        values = iter(torch.stack([loss for row in rows for loss in row.values()]).tolist() if rows else ())
        for row in rows:
            losses = distributed.mean_of_each({name: next(values) for name in row})
            infinite = [name for name, value in losses.items() if not math.isfinite(value)]
            if infinite and self.stage.precision != "fp16":
                raise DivergedError(f"loss {infinite[0]} {losses[infinite[0]]:g}")
            self.losses.append(losses)
            self._latest = losses

    def save_start(self) -> None:
        """Saves a state to return to, if a step that diverges would be noticed only some steps later."""
        if self.losses_every > 1 and not (self.stage.out / checkpoint.FILE).exists():
            self.save()

    def forget_divergence(self) -> None:
        """Returns to the state before the step that diverged. Where it was noticed later, that is the saved one."""
        if self.losses_every > 1:
            distributed.barrier()
            self._unread.clear()
            self.state = checkpoint.restore(self.stage, self.step, self.average)

    def validate(self, on_progress: OnProgress) -> None:
        """Validates the average and writes history, curves and samples."""
        self.read_losses()
        stage, pictures, started = self.stage, self.state.pictures, time.monotonic()
        numbers = self.validator.validate(self.step.network, self.average, self.validation, stage, pictures)
        self._set_state(pictures, numbers, pictures)
        rate = min(len(self.validation), stage.validation_pictures) / (time.monotonic() - started)
        on_progress(TrainingProgress(stage.name, pictures, stage.pictures, stage.validation_size, numbers, rate, True))
        if not distributed.is_main_process():
            return
        row = {"pictures": pictures, "seconds": round(self.state.seconds), **numbers, **self._mean_losses()}
        figures.append_history(stage.out, row)
        figures.plot_curves(stage.out)
        self.validator.write_samples(stage.out, self.step.network, self.average.values, self.validation)

    def _mean_losses(self) -> dict[str, float]:
        """Means of the losses since the last validation, or since the training resumed, and the learning rate now."""
        names = dict.fromkeys(name for losses in self.losses for name in losses)
        means = {f"loss_{name}": fmean(row[name] for row in self.losses if name in row) for name in names}
        self.losses.clear()
        lr = self._learning_rate()
        return {key: float(f"{value:.4g}") for key, value in {**means, "lr": lr}.items()}

    def save(self) -> None:
        self.read_losses()  # nothing is saved that has diverged
        if distributed.is_main_process():
            checkpoint.save(self.stage.out, self.stage, self.step, self.average, self.state)
        self.saved_at = time.monotonic()

    def publish(self, card: JsonObject) -> None:
        """Writes the weights of the average, and on their card how long the training took."""
        if not distributed.is_main_process():
            return
        hours = round(self.state.seconds / 3600, 2)
        training = {"pictures": self.state.pictures, "hours": hours, "validation": self.state.numbers}
        card = {**card, "numbers": {"training": training}}
        self.validator.publish(self.stage.out, self.step.network, self.average.values, card)


def validate(
    network: nn.Module, average: Average, validation: PhotoSet, stage: StageOptions, _pictures: int = 0
) -> dict[str, float]:
    """Measures the average on validation pictures; see `validation.summary` for the numbers."""
    return summary(measure(network, average.values, validation, stage))


COLORIZER = Validator(validate, figures.write_samples, checkpoint.publish)
"""Validates a network by the pictures it colorizes."""
