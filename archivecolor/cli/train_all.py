"""`archivecolor train all`: the whole road from one recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archivecolor.cli.training_session import AsJson, Data, Device, Val, training_session


def train_all(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write: a weights folder for each stage, and the recipe.")],
    recipe: Annotated[
        Path | None, typer.Option(help="TOML file; that of an old --out goes on, left out it is the program's own.")
    ] = None,
    val: Val = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """The whole road from one recipe: pre-training, adversarial fine-tuning, and pix2pix if the recipe has it.

    A recipe has the tables [pretrain], [gan] and [baseline], whose keys are the options of those commands
    (--chroma-weight is chroma_weight), as in the recipe.toml that every training leaves in its OUT. Each stage leaves
    a weights folder in OUT/pretrain, OUT/gan, OUT/baseline. Ctrl-C saves; the same command goes on where it stopped.

    Example: archivecolor train all --data ./colour_photos --out ./weights/road
    """
    from archivecolor.training import recipe as recipes
    from archivecolor.training import trainer

    path = recipe or (out / recipes.FILE if (out / recipes.FILE).exists() else recipes.default())
    stages = recipes.read(path)
    crop = stages.longest_side()
    training_session(data, val, crop, device, as_json, lambda context: trainer.train_all(stages, out, context))
