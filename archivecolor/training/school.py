"""The stages as commands: read the photographs, build the network, train, leave a weights folder."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from archivecolor import devices, files, orient, photo, tone, weights
from archivecolor.errors import UsageError
from archivecolor.options import LARGEST_VALIDATION, Search, Stage
from archivecolor.training import checkpoint, dataset, features, finder, loop, recipe, teacher, together
from archivecolor.training.appearance import AppearanceLoss
from archivecolor.training.dataset import PhotoSet
from archivecolor.training.gan import GanStep, GuardedGanStep
from archivecolor.training.pretrain import Pretrain, SoftTarget, start_encoder
from archivecolor.training.recipe import Baseline, Finetuning, Pretraining, Recipe

SPLIT = "split.json"


def read_rgb(path: Path) -> dataset.Bytes:
    """The first page of a colour picture, upright, as sRGB, uint8 (H, W, 3).

    Raises:
        PictureError: it cannot be read.
    """
    page = photo.read(path).pages[0]
    rgb = tone.srgb_bytes(page.samples, page.icc)
    return np.ascontiguousarray(orient.upright(rgb, page.orientation, axes=(0, 1)))


@dataclass(frozen=True)
class Photographs:
    """The two sides of the split, decoded."""

    folder: str
    """What the place they came from is called."""
    train: PhotoSet
    held: PhotoSet

    def counts(self) -> dict[str, Any]:
        """How many there are on each side, and how many were left out and why."""
        return {
            "train": len(self.train), "val": len(self.held),
            "left_out": {"train": self.train.left_out, "val": self.held.left_out},
        }  # fmt: skip


@dataclass(frozen=True)
class Room:
    """What a stage is not told by its recipe: the photographs, where it computes, who watches and may stop it."""

    photographs: Callable[[], Photographs]
    """Asked for once the network stands: what cannot begin for another reason should not read for minutes before."""
    device: torch.device
    watch: loop.Watch = lambda progress: None
    stop: loop.Stop = lambda: False


def load_photographs(
    data: Path, val: Path | None, short: int, seen: Callable[[str, int, int], None] = lambda what, done, total: None
) -> Photographs:
    """Decodes all photographs of `data`; the held-out ones are those of `val`, or a fixed part (`dataset.split`).

    Args:
        short: the side of the largest crops; decoded pictures are kept no larger than this.
        seen: called with what is being read, how many pictures are through, and of how many.

    Raises:
        NoInputError: there is nothing to learn from, or to judge by.
    """
    cv2.setNumThreads(1)
    train_paths = dataset.find(data)
    held_paths = dataset.find(val) if val else []
    if not val:
        train_paths, held_paths = dataset.split(train_paths, data)
    held_paths = held_paths[: Stage.validation_pictures]
    train = dataset.load(train_paths, read_rgb, short, data, lambda n: seen("reading photographs", n, len(train_paths)))
    held = dataset.load(
        held_paths, read_rgb, LARGEST_VALIDATION, val or data, lambda n: seen("held-out ones", n, len(held_paths))
    )
    return Photographs(data.name, train, held)


def keep_split(out: Path, photographs: Photographs) -> None:
    """Writes which pictures train and which are held out, and why others are neither, to `split.json`.

    Raises:
        UsageError: the folder holds a training with other pictures. It could not be gone on with: which picture comes
            when depends on all of them.
    """
    sides = {"train": photographs.train, "val": photographs.held}
    split = {name: {"pictures": photos.names, "left_out": photos.reasons} for name, photos in sides.items()}
    path = out / SPLIT
    if path.exists() and (out / checkpoint.FILE).exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        for name, now in split.items():
            old, new = set(before[name]["pictures"]), set(now["pictures"])
            gone, come = old - new, new - old
            if gone or come:
                example = sorted(gone | come)[0]
                raise UsageError(
                    f"{out}: this training began with other photographs: of those for {name}, {len(gone)} are gone and "
                    f"{len(come)} new ({example}, …); restore them, or choose another --out"
                )
    if together.leads():
        out.mkdir(parents=True, exist_ok=True)
        with files.written_whole(path) as part:
            part.write_text(json.dumps(split, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def begun_from(origin: str, out: Path) -> Path:
    """The folder of the weights to go on from.

    Raises:
        WeightsError: there is none.
        UsageError: it is the one to write.
    """
    folder = weights.find(origin)
    if out.resolve() == folder.resolve():
        raise UsageError(f"--out {out}: these are the weights to start from; choose another folder")
    return folder


def begin(
    stage: Stage, photographs: Photographs, recipe_text: str, parent: weights.Card | None = None
) -> dict[str, Any]:
    """Leaves split and recipe in the folder; what its card says of the training from the start.

    Args:
        parent: the card of the weights that it goes on from.

    Raises:
        UsageError: the folder holds another training.
    """
    checkpoint.check(stage)
    keep_split(stage.out, photographs)
    if together.leads():
        with files.written_whole(stage.out / recipe.FILE) as part:
            part.write_text(recipe_text, encoding="utf-8")
    made_by = {
        "pictures": stage.pictures, "sizes": [list(pair) for pair in stage.sizes], "batch": stage.batch, "lr": stage.lr,
        "aging": stage.aging, "ema": stage.ema, "seed": stage.seed, "precision": stage.precision, **stage.settings,
    }  # fmt: skip
    train = photographs.train
    descent: dict[str, Any] = {}
    if parent:
        made_by["from"] = parent.name
        descent = {"size": parent.size, "history": [*parent.history, parent.sha256]}
    return {
        **descent, "name": stage.out.name, "network": stage.model, "sha256": "", "stage": stage.name, "recipe": made_by,
        "data": {"folder": photographs.folder, "pictures": len(train), "left_out": train.left_out},
    }  # fmt: skip


def pretrain(asked: Pretraining, out: Path, recipe_text: str, room: Room) -> dict[str, float]:
    """L1 pre-training; see `archivecolor train pretrain --help`."""
    begun, parent = weights.load(begun_from(asked.origin, out)) if asked.origin else (None, None)
    asked = replace(asked, model=parent.network) if parent else asked
    stage = asked.stage(out, devices.choose_precision(asked.precision, room.device))
    teaching = asked.teaching()
    torch.manual_seed(stage.seed)
    network = weights.build(stage.model, stage.out) if begun is None else begun
    if not (out / checkpoint.FILE).exists():  # else all is in there, and what it began with need not be had any more
        start_encoder(network, asked.start())
    appearance = asked.appearance()
    needs_lite0 = teaching.teacher == "lite0" or appearance.needs_lite0
    lite0 = features.Lite0(stage.precision, room.device) if needs_lite0 else None
    painted = AppearanceLoss(appearance, lite0) if appearance.needed else None
    soft = None
    if teaching.soft_target:
        finished, _ = weights.load(weights.find(teaching.soft_target))
        soft = SoftTarget(finished, teaching.soft_weight, stage.precision, room.device)
    photographs = room.photographs()
    card = begin(stage, photographs, recipe_text, parent)
    if lite0 and teaching.teacher != "none" and teaching.pictures:
        card["recipe"]["taught"] = teacher.teach(
            stage, teaching, teacher.encoder_of(network), lite0, photographs.train, photographs.held, card, room.watch,
            room.stop,
        )  # fmt: skip
        if together.anyone(room.stop()):
            return {}
    step = Pretrain(network, stage.precision, room.device, asked.chroma_weight, soft, painted)
    if lite0 and teaching.weight:
        step = teacher.GuidedPretrain(network, lite0, teaching.weight, asked.chroma_weight)
    return loop.run(stage, step, photographs.train, photographs.held, card, room.watch, room.stop)


def gan(asked: Finetuning, out: Path, recipe_text: str, room: Room) -> dict[str, float]:
    """Adversarial fine-tuning; see `archivecolor train gan --help`."""
    network, parent = weights.load(begun_from(asked.origin, out))
    stage = asked.stage(parent.network, out, devices.choose_precision(asked.precision, room.device))
    torch.manual_seed(stage.seed)
    step = GuardedGanStep(network, asked.adversarial(), stage.lr, stage.precision, room.device, parent.sha256)
    photographs = room.photographs()
    card = begin(stage, photographs, recipe_text, parent)
    return loop.run(
        stage, step, photographs.train, photographs.held, card, room.watch,
        lambda: room.stop() or step.guard.collapsed, step.judge(),
    )  # fmt: skip


def baseline(asked: Baseline, out: Path, recipe_text: str, room: Room) -> dict[str, float]:
    """pix2pix from noise; see `archivecolor train baseline --help`."""
    stage = asked.stage(out, devices.choose_precision(asked.precision, room.device))
    torch.manual_seed(stage.seed)
    network = weights.build(stage.model, stage.out)
    step = GanStep(network, asked.adversarial(), stage.lr, stage.precision, room.device)
    photographs = room.photographs()
    card = begin(stage, photographs, recipe_text)
    return loop.run(stage, step, photographs.train, photographs.held, card, room.watch, room.stop)


def whole_road(road: Recipe, out: Path, room: Room) -> dict[str, dict[str, float]]:
    """All stages of a recipe, each in a subfolder named after it; the last validation of each that was reached.

    Raises:
        UsageError: the folder holds the road of another recipe.
    """
    path = out / recipe.FILE
    if path.exists() and path.read_text(encoding="utf-8") != road.text:
        raise UsageError(
            f"--recipe: differs from {path}, which the training in --out was begun with; go on with "
            f"--recipe {path}, or choose another --out"
        )
    together.wait()
    if together.leads():
        out.mkdir(parents=True, exist_ok=True)
        with files.written_whole(path) as part:
            part.write_text(road.text, encoding="utf-8")
    finetuning = road.gan
    if finetuning and not finetuning.origin:
        finetuning = replace(finetuning, origin=str(out / "pretrain"))
    stages = {
        "pretrain": road.pretrain and functools.partial(pretrain, road.pretrain),
        "gan": finetuning and functools.partial(gan, finetuning),
        "baseline": road.baseline and functools.partial(baseline, road.baseline),
    }
    reached = {}
    for name, stage in stages.items():
        if stage and not together.anyone(room.stop()):
            reached[name] = stage(out / name, road.text, room)
    return reached


def find_lr(asked: Search, data: Path, device: torch.device, seen: Callable[[str, int, int], None]) -> finder.Found:
    """Looks for the learning rate of a pre-training; see `archivecolor train find-lr --help`."""
    torch.manual_seed(asked.stage.seed)
    network = weights.build(asked.stage.model)
    start_encoder(network, asked.encoder)
    paths = dataset.chosen(data, asked.steps * asked.stage.batch)
    side = asked.stage.sizes[0][0]
    photos = dataset.load(paths, read_rgb, side, data, lambda n: seen("reading photographs", n, len(paths)))
    seen("trying rates", 0, asked.steps)
    return finder.find(network, photos, asked.stage, asked.chroma_weight, asked.steps, device)
