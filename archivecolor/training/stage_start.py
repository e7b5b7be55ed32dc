"""What a stage decides and writes before its first step: where batches are made, split, recipe, and the card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from archivecolor import files, weights
from archivecolor.errors import UsageError
from archivecolor.options import DataOn, StageOptions
from archivecolor.training import checkpoint, distillation, distributed, recipe
from archivecolor.training.checkpoint import JsonObject
from archivecolor.training.dataset import PhotoSet
from archivecolor.training.packed_photos import packed_bytes
from archivecolor.training.photographs import Photographs, save_split

Say = Callable[[str], None]


MEMORY_SHARE = 0.4
"""Photographs are kept on the device if they take at most this share of its free memory."""


def choose_source(
    stage: StageOptions, photos: PhotoSet, device: torch.device, requested: DataOn, say: Say
) -> StageOptions:
    """The stage with `data_on` decided. A resumed training keeps where its batches were made, unless told otherwise.

    Args:
        requested: `auto` is the device, if it is a GPU whose memory has room for the photographs.
        say: called if the choice may surprise.

    Raises:
        UsageError: batches are to be made on the device, and the photographs do not fit there, or are to be laid on
            sheets.
    """
    about = checkpoint.read_about(stage) or _about_teaching(stage)
    before = DataOn(about.get("data_on", DataOn.HOST)) if about else None
    needed = packed_bytes(photos.pictures)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
    fits = not distributed.any_process(free is not None and needed > MEMORY_SHARE * free)
    wanted = requested if requested != DataOn.AUTO else before
    if wanted == DataOn.DEVICE and stage.mounts:
        raise UsageError(
            f"--mounts {stage.mounts:g}: only the host lays pictures on sheets; add --data-on host, or leave it out"
        )
    if wanted == DataOn.DEVICE and not fits:
        raise UsageError(
            f"--data-on device: the photographs take {needed / 1e9:.1f} GB, more than {MEMORY_SHARE:.0%} of the free "
            f"memory of {device}; use --data-on host, or fewer photographs"
        )
    on_device = device.type == "cuda" and fits and not stage.mounts
    chosen = wanted or (DataOn.DEVICE if on_device else DataOn.HOST)
    if before and before != chosen:
        say(f"--data-on {chosen}: crops and aging are drawn otherwise from here on than on the {before}")
    elif before == DataOn.HOST and on_device and requested == DataOn.AUTO:
        say("batches are made on the host, as they were when this training began; --data-on device is faster")
    if before and device.type == "cuda":
        say("resumes; on a GPU the losses differ in their last digits from those of a training without a break")
    return replace(stage, data_on=str(chosen))


def start_stage(
    stage: StageOptions,
    photographs: Photographs,
    recipe_text: str,
    say: Say,
    parent: weights.Card | None = None,
    step: checkpoint.Step | None = None,
) -> JsonObject:
    """Writes split and recipe into the folder of a stage. Returns what the card says from the start.

    Args:
        say: called if the training resumes with other options than before, or has nothing left to learn. The recipe
            keeps both options.
        parent: the card of the weights that it starts from.
        step: what will be trained. A folder with a training of other modules is refused before it is changed.

    Raises:
        UsageError: the folder contains another training.
    """
    if step:
        checkpoint.check_fits(stage, step)
        checkpoint.check_free_space(stage.out, step)
    if stage.batch > len(photographs.train):
        times = stage.batch / len(photographs.train)
        say(f"--batch {stage.batch}: each step sees each of the {len(photographs.train)} photographs {times:.1f} times")
    about = checkpoint.read_about(stage)
    if about and about["pictures"] >= stage.pictures:
        say(
            f"{stage.out}: has seen {about['pictures']} pictures, and --pictures asks for {stage.pictures}: nothing is "
            "trained"
        )
    pictures, path = resumed_pictures(stage), stage.out / recipe.FILE
    save_split(stage.out, photographs, bool(pictures))
    changed: list[str] = []
    if pictures and path.exists():
        with checkpoint.damaged_file(path):
            before = path.read_text(encoding="utf-8")
            changed = recipe.changed_options(before, recipe_text, stage.name, pictures)
        if changed and changed[-1] not in before:
            say(f"resumes with other options. {changed[-1].removeprefix('# ')} ({path} keeps both)")
    distributed.barrier()
    if distributed.is_main_process():
        with files.atomic_write(path) as part:
            part.write_text("".join(f"{line}\n" for line in changed) + recipe_text, encoding="utf-8")
    return card_fields(stage, photographs, changed, parent)


def card_fields(
    stage: StageOptions, photographs: Photographs, changed: list[str], parent: weights.Card | None
) -> JsonObject:
    """The card as far as it is known before the training.

    Args:
        changed: lines about other options, from `recipe.changed_options`.
    """
    made_by: JsonObject = {
        "pictures": stage.pictures,
        "sizes": [list(pair) for pair in stage.sizes],
        "batch": stage.batch,
        "lr": stage.lr,
        "aging": stage.aging,
        **({"mounts": stage.mounts} if stage.mounts else {}),
        "ema": stage.ema,
        "seed": stage.seed,
        "precision": stage.precision,
        **({"data_on": stage.data_on} if stage.data_on != StageOptions.data_on else {}),
        **stage.settings,
    }
    if changed:
        made_by["changed"] = [line.removeprefix("# ") for line in changed]
    inherited: JsonObject = {"licence": "not stated: that is for whoever trained them to say"}
    if parent:
        made_by["from"] = parent.name
        history = [*parent.history, parent.sha256]
        inherited = {"size": parent.size, "licence": inherited_licence(parent), "history": history}
    train = photographs.train
    return {
        **inherited,
        "name": stage.out.name,
        "network": stage.model,
        "sha256": "",
        "stage": stage.name,
        "recipe": made_by,
        "data": {"folder": photographs.folder, "pictures": len(train), "left_out": train.left_out},
    }


def inherited_licence(parent: weights.Card) -> str:
    """The licence of weights that started from others: the parent's still applies, the rest is not for us to state."""
    known = "not stated: begun from weights under "
    return parent.licence if parent.licence.startswith("not stated") else known + parent.licence


def resumed_pictures(stage: StageOptions) -> str:
    """How many pictures the training in the folder has seen, as the recipe file says it; empty if there is none.

    Raises:
        UsageError: the folder contains another training.
    """
    if about := checkpoint.read_about(stage):
        return str(about["pictures"])
    about = _about_teaching(stage)
    return f"{about['pictures']} of the teaching" if about else ""


def _about_teaching(stage: StageOptions) -> JsonObject | None:
    """The metadata of the checkpoint of the stage that taught this one's encoder, or None if there is none."""
    if not stage.settings.get("teacher_pictures"):
        return None
    return checkpoint.read_about(replace(stage, name=distillation.STAGE, out=stage.out / distillation.FOLDER))
