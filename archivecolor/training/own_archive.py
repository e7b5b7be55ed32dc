"""`archivecolor train mine`: a short training on the photographs of one archive, planned to end in time.

It is a pre-training that starts from finished weights. This module decides how many pictures it sees.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from archivecolor import weights
from archivecolor.errors import UsageError
from archivecolor.inference import devices
from archivecolor.options import OwnArchive, Pretraining, StageOptions
from archivecolor.options.own_archive import ROUNDS
from archivecolor.training import checkpoint, dataset, distributed, recipe, trainer
from archivecolor.training.compute import synchronize
from archivecolor.training.lite0_features import Lite0
from archivecolor.training.photographs import Photographs
from archivecolor.training.trainer import TrainingContext
from archivecolor.training.validation import VALIDATION_BATCH, measure

COMMAND = "archivecolor train mine"
PASSES = 24
"""How often the training may see each photograph. Rather too often: it ends when rounds gain nothing."""
LEAST_STEPS = 56
VALIDATIONS = 2**ROUNDS - 1
"""Evenly spaced, so that each round ends with one."""
SAFE_SHARE = 0.85
"""The part of the time that is planned: the speed of a busy machine varies."""
HELD_OUT = 64
"""At least so many photographs are held out, if that is no more than a fifth of all."""


@dataclass(frozen=True)
class Speed:
    """Seconds for each picture."""

    train: float
    validate: float


def train(options: OwnArchive, out: Path, context: TrainingContext) -> dict[str, float]:
    """Trains on one's own photographs; see `archivecolor train mine --help`. Returns the best average's numbers."""
    trainer.parent_folder(options.origin, out)
    planned = resumed_plan(options, out)
    if planned is None:
        photographs = context.load_photographs()
        planned = plan(options, photographs, measure_speed(options, photographs, context))
        minutes = f"at most {options.minutes:g} minutes" if options.minutes else "no time limit"
        context.say(
            f"learns from {planned.pictures} pictures, each photograph about "
            f"{planned.pictures / len(photographs.train):.0f} times in new crops; {minutes}"
        )
    numbers = trainer.pretrain(planned, out, recipe.as_toml(planned, COMMAND), context)
    if numbers and distributed.is_main_process():
        say_what_next(out, options.origin, context)
    return numbers


def resumed_plan(options: OwnArchive, out: Path) -> Pretraining | None:
    """These options with the number of pictures of the training in `out`; None if there is none to resume.

    Raises:
        UsageError: `out` contains a training of another kind.
    """
    if not (out / checkpoint.FILE).exists():
        return None
    before = recipe.read(out / recipe.FILE) if (out / recipe.FILE).exists() else None
    if not before or not before.pretrain or not recipe.is_written_by(before.text, COMMAND):
        raise UsageError(f"--out {out}: contains a training that `train mine` did not start; choose another --out")
    return options.pretraining(before.pretrain.pictures, before.pretrain.validate_every)


def plan(options: OwnArchive, photographs: Photographs, speed: Speed) -> Pretraining:
    """How many pictures the training sees: each photograph `PASSES` times, or fewer if the time does not suffice."""
    wanted = max(PASSES * len(photographs.train), LEAST_STEPS * options.batch)
    if options.minutes:
        held_out = min(len(photographs.validation), StageOptions.validation_pictures)
        # One validation at the start, VALIDATIONS later, and two more for the comparison at the end.
        seconds = 60 * SAFE_SHARE * options.minutes - (VALIDATIONS + 3) * held_out * speed.validate
        wanted = min(wanted, int(seconds / speed.train))
    validate_every = max(1, wanted // (VALIDATIONS * options.batch)) * options.batch
    return options.pretraining(VALIDATIONS * validate_every, validate_every)


def measure_speed(options: OwnArchive, photographs: Photographs, context: TrainingContext) -> Speed:
    """Times one step at each size, after one that does not count, and one batch of a validation."""
    pretraining = options.pretraining(options.batch, options.batch)
    network, card = weights.load(weights.find(options.origin))
    precision = devices.choose_precision(options.precision, context.device)
    stage = replace(pretraining, model=card.network).stage(Path(), precision)
    lite0 = Lite0(precision, context.device)
    step = trainer.build_pretrain_step(pretraining, precision, network, context.device, lite0)
    seconds = 0.0
    for side, share in stage.sizes:
        start, count = distributed.local_slice(0, options.batch)
        batch = dataset.training_batch(photographs.train, start, count, side, stage.aging, stage.seed, stage.mounts)
        for _ in range(2):
            started = time.monotonic()
            step(batch, stage.lr)
            synchronize(context.device)
            last = time.monotonic() - started
        seconds += share * last / options.batch
    pictures = min(VALIDATION_BATCH, len(photographs.validation))
    started = time.monotonic()
    few = dataset.first(photographs.validation, pictures)
    measure(step.network, checkpoint.copy_values(step.network), few, stage)
    both = {"train": seconds, "validate": (time.monotonic() - started) / pictures}
    return Speed(**distributed.mean_of_each(both))


def say_what_next(out: Path, origin: str, context: TrainingContext) -> None:
    """Says how the weights are used, and what else the folder contains."""
    total, tensors = (
        sum(path.stat().st_size for path in out.rglob(pattern) if path.is_file()) / 1e6
        for pattern in ("*", weights.TENSORS)
    )
    lines = [
        f"colour with them: archivecolor run ./old_photos --out ./color --model {out}",
        f"more numbers: archivecolor evaluate --data DATA --held {out} --compare {origin} {out}",
        f"{out} has {total:.0f} MB, most of it the state to resume from; archivecolor weights pack {out} --out "
        f"{out}.zip writes what others need, {tensors:.0f} MB",
    ]
    for line in lines:
        context.say(line)
