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

from archivecolor import files, photo, weights
from archivecolor.errors import UsageError
from archivecolor.imaging import luminance
from archivecolor.imaging.arrays import ByteArray
from archivecolor.imaging.orientation import to_upright
from archivecolor.inference import devices
from archivecolor.networks import NETWORKS
from archivecolor.options import LARGEST_VALIDATION, LrSearchOptions, StageOptions, require
from archivecolor.training import (
    checkpoint,
    dataset,
    distillation,
    distributed,
    lite0_features,
    loop,
    lr_finder,
    recipe,
)
from archivecolor.training.appearance_loss import AppearanceLoss
from archivecolor.training.dataset import PhotoSet
from archivecolor.training.gan import GanStep, GuardedGanStep
from archivecolor.training.pretrain import PretrainStep, SoftTarget, start_encoder
from archivecolor.training.recipe import Baseline, Finetuning, Pretraining, Recipe

SPLIT = "split.json"


def read_rgb(path: Path) -> ByteArray:
    """The first page of a colour picture, upright, as sRGB, uint8 (H, W, 3).

    Raises:
        PictureError: it cannot be read.
    """
    page = photo.read(path).pages[0]
    rgb = luminance.to_srgb8(page.samples, page.icc)
    return np.ascontiguousarray(to_upright(rgb, page.orientation, axes=(0, 1)))


@dataclass(frozen=True)
class Photographs:
    """The two sides of the split, decoded."""

    folder: str
    """What the place they came from is called."""
    train: PhotoSet
    held: PhotoSet
    in_both: int = 0
    """How many photographs are on both sides: what a validation says of them flatters."""

    def counts(self) -> dict[str, Any]:
        """How many there are on each side, and how many were left out and why."""
        return {
            "train": len(self.train), "val": len(self.held), "in_both": self.in_both,
            "left_out": {"train": self.train.left_out, "val": self.held.left_out},
        }  # fmt: skip


@dataclass(frozen=True)
class TrainingContext:
    """What a stage is not told by its recipe: the photographs, where it computes, who watches and may stop it."""

    photographs: Callable[[], Photographs]
    """Asked for once the network stands: what cannot begin for another reason should not read for minutes before."""
    device: torch.device
    watch: loop.Watch = lambda progress: None
    stop: loop.Stop = lambda: False
    say: Callable[[str], None] = lambda text: None
    """Told what a person should know, a line of text each time."""


def kept_side(crop: int) -> int:
    """The short side that photographs are kept at, so that crops of a mean share need not be enlarged."""
    return round(crop / dataset.MEAN_CROP)


def load_photographs(
    data: Path, val: Path | None, short: int, seen: Callable[[str, int, int], None] = lambda what, done, total: None
) -> Photographs:
    """Decodes all photographs of `data`; the held-out ones are those of `val`, or a fixed part (`dataset.split`).

    Args:
        short: the side of the largest crops; decoded pictures are kept no larger than a crop of the mean share needs.
        seen: called with what is being read, how many pictures are through, and of how many.

    Raises:
        NoInputError: there is nothing to learn from, or to judge by.
    """
    cv2.setNumThreads(1)
    train_paths = dataset.find(data)
    held_paths = dataset.find(val) if val else []
    if not val:
        train_paths, held_paths = dataset.split(train_paths, data)
    looked_at = [held_paths[i] for i in dataset.spread(len(held_paths), StageOptions.validation_pictures)]
    beyond = set(held_paths) - set(looked_at)
    train = dataset.load(
        train_paths, read_rgb, kept_side(short), data,
        lambda n: seen("reading photographs", n, len(train_paths)),
    )  # fmt: skip
    held = dataset.load(
        looked_at, read_rgb, LARGEST_VALIDATION, val or data, lambda n: seen("held-out ones", n, len(looked_at))
    )
    why = f"beyond the {StageOptions.validation_pictures} that validations look at"
    held.reasons.update({dataset.name_of(path, val or data): why for path in held_paths if path in beyond})
    both = {path.resolve() for path in train_paths} & {path.resolve() for path in looked_at}
    return Photographs(data.name, train, held, len(both))


def keep_split(out: Path, photographs: Photographs, begun: bool) -> None:
    """Writes which pictures train and which are held out, and why others are neither, to `split.json`.

    Args:
        begun: whether the folder holds a training that is to be gone on with.

    Raises:
        UsageError: the folder holds a training with other pictures. It could not be gone on with: which picture comes
            when depends on all of them.
    """
    sides = {"train": photographs.train, "val": photographs.held}
    split = {name: {"pictures": photos.names, "left_out": photos.reasons} for name, photos in sides.items()}
    path = out / SPLIT
    if path.exists() and begun:
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
    if distributed.is_main_process():
        out.mkdir(parents=True, exist_ok=True)
        with files.atomic_write(path) as part:
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
    stage: StageOptions, photographs: Photographs, recipe_text: str, say: Callable[[str], None],
    parent: weights.Card | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Leaves split and recipe in the folder; what its card says of the training from the start.

    Args:
        say: told when the training goes on with other options than before; the recipe keeps both.
        parent: the card of the weights that it goes on from.

    Raises:
        UsageError: the folder holds another training.
    """
    seen, path = seen_so_far(stage), stage.out / recipe.FILE
    keep_split(stage.out, photographs, bool(seen))
    changed: list[str] = []
    if seen and path.exists():
        before = path.read_text(encoding="utf-8")
        changed = recipe.changes(before, recipe_text, stage.name, seen)
        if changed and changed[-1] not in before:
            say(f"goes on with other options. {changed[-1].removeprefix('# ')} ({path} keeps both)")
    distributed.barrier()
    if distributed.is_main_process():
        with files.atomic_write(path) as part:
            part.write_text("".join(f"{line}\n" for line in changed) + recipe_text, encoding="utf-8")
    made_by: dict[str, Any] = {
        "pictures": stage.pictures, "sizes": [list(pair) for pair in stage.sizes], "batch": stage.batch, "lr": stage.lr,
        "aging": stage.aging, "ema": stage.ema, "seed": stage.seed, "precision": stage.precision, **stage.settings,
    }  # fmt: skip
    if changed:
        made_by["changed"] = [line.removeprefix("# ") for line in changed]
    train = photographs.train
    descent: dict[str, Any] = {"licence": "not stated: that is for whoever trained them to say"}
    if parent:
        made_by["from"] = parent.name
        descent = {"size": parent.size, "licence": begun_under(parent), "history": [*parent.history, parent.sha256]}
    return {
        **descent, "name": stage.out.name, "network": stage.model, "sha256": "", "stage": stage.name, "recipe": made_by,
        "data": {"folder": photographs.folder, "pictures": len(train), "left_out": train.left_out},
    }  # fmt: skip


def check_out(stage: StageOptions) -> None:
    """Looks, before photographs are read for minutes, whether the stage may write to its folder.

    Raises:
        UsageError: it holds another training, or finished weights.
    """
    if checkpoint.check(stage) is None and (stage.out / weights.CARD).exists():
        raise UsageError(
            f"{stage.out}: holds finished weights and no {checkpoint.FILE} to go on from; choose another --out, and to "
            "train these weights on, name them as what to begin from (--from, or from in a recipe)"
        )


def begun_under(parent: weights.Card) -> str:
    """The licence of weights that go on from others: theirs holds on, and what comes to it is not ours to say."""
    known = "not stated: begun from weights under "
    return parent.licence if parent.licence.startswith("not stated") else known + parent.licence


def seen_so_far(stage: StageOptions) -> str:
    """How many pictures the training in the folder has seen, as its recipe says it; empty where none has begun.

    Raises:
        UsageError: the folder holds another training.
    """
    if about := checkpoint.check(stage):
        return str(about["pictures"])
    if not stage.settings.get("teacher_pictures"):
        return ""
    taught = checkpoint.check(replace(stage, name="teach", out=stage.out / distillation.FOLDER))
    return f"{taught['pictures']} of the teaching" if taught else ""


def check_names(road: Recipe, made: Path | None = None) -> None:
    """Looks now, and not when a stage begins after days, for the network and the weights that a recipe names.

    Args:
        made: where the road's own pre-training leaves its weights; they need not be there yet.

    Raises:
        UsageError: there is no such network, or it does not take crops of these sizes.
        WeightsError: there are no such weights.
    """
    pretrain, gan = road.pretrain, road.gan
    if pretrain:
        model = weights.read_card(weights.find(pretrain.origin)).network if pretrain.origin else pretrain.model
        require(model in NETWORKS, f"--model {model}: write one of {', '.join(NETWORKS)}")
        replace(pretrain, model=model).stage(Path(), "fp32")
        if pretrain.soft_target:
            weights.find(pretrain.soft_target)
    own = bool(pretrain and gan and made and Path(gan.origin).resolve() == made.resolve())
    if gan and gan.origin and not own:
        gan.stage(weights.read_card(weights.find(gan.origin)).network, Path(), "fp32")


def pretrain(asked: Pretraining, out: Path, recipe_text: str, room: TrainingContext) -> dict[str, float]:
    """L1 pre-training; see `archivecolor train pretrain --help`."""
    check_names(Recipe(recipe_text, pretrain=asked))
    begun, parent = weights.load(begun_from(asked.origin, out)) if asked.origin else (None, None)
    asked = replace(asked, model=parent.network) if parent else asked
    stage = asked.stage(out, devices.choose_precision(asked.precision, room.device))
    check_out(stage)
    teaching = asked.teaching()
    torch.manual_seed(stage.seed)
    network = weights.build(stage.model, stage.out) if begun is None else begun
    if not (out / checkpoint.FILE).exists():  # else all is in there, and what it began with need not be had any more
        start_encoder(network, asked.start())
    appearance = asked.appearance()
    needs_lite0 = teaching.teacher == "lite0" or appearance.needs_lite0
    lite0 = lite0_features.Lite0(stage.precision, room.device) if needs_lite0 else None
    painted = AppearanceLoss(appearance, lite0) if appearance.needed else None
    soft = None
    if teaching.soft_target:
        finished, its_card = weights.load(weights.find(teaching.soft_target))
        soft = SoftTarget(finished, teaching.soft_weight, stage.precision, room.device)
    photographs = room.photographs()
    card = begin(stage, photographs, recipe_text, room.say, parent)
    if soft:
        card["recipe"]["soft_target_sha256"] = its_card.sha256
    if lite0 and teaching.teacher != "none" and teaching.pictures:
        taught = distillation.distil_encoder(
            stage, teaching, distillation.encoder_of(network), lite0, photographs.train, photographs.held, card,
            room.watch, room.stop,
        )  # fmt: skip
        if taught:
            card["recipe"]["taught"] = taught
        if distributed.any_process(room.stop()):
            return {}
    frozen = asked.decided_norms() == "frozen"
    step = PretrainStep(network, stage.precision, room.device, asked.chroma_weight, soft, painted, frozen)
    if lite0 and teaching.weight:
        step = distillation.DistilledPretrainStep(network, lite0, teaching.weight, asked.chroma_weight, frozen)
    numbers = loop.run(stage, step, photographs.train, photographs.held, card, room.watch, room.stop)
    tell_where(out, room)
    return numbers


def gan(asked: Finetuning, out: Path, recipe_text: str, room: TrainingContext) -> dict[str, float]:
    """Adversarial fine-tuning; see `archivecolor train gan --help`."""
    network, parent = weights.load(begun_from(asked.origin, out))
    stage = asked.stage(parent.network, out, devices.choose_precision(asked.precision, room.device))
    check_out(stage)
    torch.manual_seed(stage.seed)
    step = GuardedGanStep(
        network, asked.adversarial(), stage.lr, stage.precision, room.device, parent.sha256, asked.norms == "frozen"
    )
    photographs = room.photographs()
    card = begin(stage, photographs, recipe_text, room.say, parent)
    loop.run(
        stage, step, photographs.train, photographs.held, card, room.watch,
        lambda: room.stop() or step.guard.collapsed, step.judge(),
    )  # fmt: skip
    kept = step.kept()
    if step.guard.collapsed:
        room.say(f"--stop-when: ended, since {step.guard.STRIKES} validations in a row were outside the limits")
    if kept["kept_at"] == 0 and step.guard.standing.judged_at > 0:
        room.say(f"no average was better than the weights it began from, so that {out} holds these")
    tell_where(out, room, f", as they were at picture {kept['kept_at']}")
    return kept


def baseline(asked: Baseline, out: Path, recipe_text: str, room: TrainingContext) -> dict[str, float]:
    """pix2pix from noise; see `archivecolor train baseline --help`."""
    stage = asked.stage(out, devices.choose_precision(asked.precision, room.device))
    check_out(stage)
    torch.manual_seed(stage.seed)
    network = weights.build(stage.model, stage.out)
    step = GanStep(network, asked.adversarial(), stage.lr, stage.precision, room.device)
    photographs = room.photographs()
    card = begin(stage, photographs, recipe_text, room.say)
    numbers = loop.run(stage, step, photographs.train, photographs.held, card, room.watch, room.stop)
    tell_where(out, room)
    return numbers


def tell_where(out: Path, room: TrainingContext, seen: str = "") -> None:
    """Names the weights that a stage has left, and what they are for."""
    room.say(f"{out}: the weights{seen}; archivecolor run --model {out}")


def whole_road(road: Recipe, out: Path, room: TrainingContext) -> dict[str, dict[str, float]]:
    """All stages of a recipe, each in a subfolder named after it; the numbers of what each that was reached has left.

    Raises:
        UsageError, WeightsError: the folder holds the road of another recipe; see `check_names`.
    """
    check_names(road, out / "pretrain")
    path = out / recipe.FILE
    if path.exists() and path.read_text(encoding="utf-8") != road.text:
        raise UsageError(
            f"--recipe: differs from {path}, which the training in --out was begun with; go on with "
            f"--recipe {path}, or choose another --out"
        )
    distributed.barrier()
    if distributed.is_main_process():
        out.mkdir(parents=True, exist_ok=True)
        with files.atomic_write(path) as part:
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
        if stage and not distributed.any_process(room.stop()):
            reached[name] = stage(out / name, road.text, room)
    return reached


def find_lr(
    asked: LrSearchOptions, data: Path, device: torch.device, seen: Callable[[str, int, int], None]
) -> lr_finder.Found:
    """Looks for the learning rate of a pre-training; see `archivecolor train find-lr --help`."""
    torch.manual_seed(asked.stage.seed)
    network = weights.build(asked.stage.model)
    start_encoder(network, asked.encoder)
    paths = dataset.chosen(data, asked.steps * asked.stage.batch)
    side = asked.stage.sizes[0][0]
    photos = dataset.load(paths, read_rgb, kept_side(side), data, lambda n: seen("reading photographs", n, len(paths)))
    seen("trying rates", 0, asked.steps)
    return lr_finder.find(network, photos, asked.stage, asked.chroma_weight, asked.steps, device)
