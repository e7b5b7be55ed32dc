"""`archivecolor train all`: all stages of one recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from archivecolor.cli.from_options import takes_options
from archivecolor.cli.training_session import training_session
from archivecolor.options import Option, Options, TrainingRequest


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(Options):
    """The recipe of `archivecolor train all`."""

    recipe: Annotated[
        Path | None, Option("TOML file. Default: the one in --out if there is one, else the program's own.")
    ] = None


@takes_options(TrainingRequest, RecipeOptions)
def train_all(request: TrainingRequest, options: RecipeOptions) -> None:
    """All stages of one recipe: pre-training, adversarial fine-tuning, and pix2pix if the recipe has it.

    A recipe has the tables [pretrain], [gan] and [baseline], whose keys are the options of those commands
    (--chroma-weight is chroma_weight), as in the recipe.toml that every training leaves in its OUT. Each stage leaves
    a weights folder in OUT/pretrain, OUT/gan, OUT/baseline. Ctrl-C saves; the same command goes on where it stopped.

    Example: archivecolor train all --data ./colour_photos --out ./weights/mine
    """
    from archivecolor.training import recipe as recipes
    from archivecolor.training import trainer

    resumed = request.out / recipes.FILE
    recipe = recipes.read(options.recipe or (resumed if resumed.exists() else recipes.default()))
    training_session(request, recipe, lambda context: trainer.train_all(recipe, request.out, context))
