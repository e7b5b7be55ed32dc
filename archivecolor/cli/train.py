"""`archivecolor train`: the stages that make weights."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TypeVar

import typer

from archivecolor.cli import find_lr, preview, train_all, train_mine
from archivecolor.cli.from_options import given_on_command_line, takes_options
from archivecolor.cli.training_session import training_session
from archivecolor.errors import UsageError
from archivecolor.options import Baseline, Finetuning, Pretraining, StageRecipe, TrainingRequest
from archivecolor.training import recipe as recipes
from archivecolor.training.recipe import Recipe, as_toml

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make the weights: on your own archive (mine), or from the beginning.",
)
app.command("mine")(train_mine.train_mine)
app.command("all")(train_all.train_all)
app.command("preview")(preview.train_preview)
app.command("find-lr")(find_lr.train_find_lr)


Stage = TypeVar("Stage", Pretraining, Finetuning, Baseline)


def _on_recipe(path: Path | None, table: str, options: Stage) -> Stage:
    """The options of a recipe's table, changed by those that the command line has.

    Raises:
        UsageError: the recipe cannot be read, or has no such table.
    """
    if path is None:
        return options
    base = getattr(recipes.read(path), table)
    if base is None:
        raise UsageError(f"--recipe {path}: has no [{table}]; name another recipe, or leave it out")
    from_command_line = given_on_command_line()
    changes = {field.name: getattr(options, field.name) for field in fields(options) if field.name in from_command_line}
    return replace(base, **changes)


@app.command("pretrain")
@takes_options(TrainingRequest, Pretraining, StageRecipe)
def train_pretrain(request: TrainingRequest, options: Pretraining, base: StageRecipe) -> None:
    """L1 pre-training of a U-Net. Ctrl-C saves; the same command goes on where it stopped.

    The taught encoder is left in OUT/encoder, where --encoder can take it from. Several GPUs, here as in all stages:
    torchrun --nproc-per-node N -m archivecolor train pretrain …; README tells of several machines.

    Example: archivecolor train pretrain --model lite --data ./colour_photos --out ./weights/mine
    """
    from archivecolor.training import trainer

    options = _on_recipe(base.recipe, "pretrain", options)
    recipe = Recipe(as_toml(options, "archivecolor train pretrain"), pretrain=options)
    training_session(request, recipe, lambda context: trainer.pretrain(options, request.out, recipe.text, context))


@app.command("gan")
@takes_options(TrainingRequest, Finetuning, StageRecipe)
def train_gan(request: TrainingRequest, options: Finetuning, base: StageRecipe) -> None:
    """Adversarial fine-tuning: truer and surer colours than L1 alone brings. Ctrl-C saves; the same command goes on.

    OUT gets the best average: least val_l1 ÷ the start's + 0.45 · |1 - colourfulness ÷ truth's| of all validations
    within the limits of --stop-when. The defaults are for a few hundred photographs of one archive: a quarter of an
    hour of lite on one core. For whole collections see the recipe that `train all` begins with. Look at the result
    with `archivecolor evaluate --compare` before you use it.

    Example: archivecolor train gan --from lite --data ./my_colour_photos --out ./weights/mine
    """
    from archivecolor.training import trainer

    options = _on_recipe(base.recipe, "gan", options)
    if not options.origin:
        raise UsageError("--from: name the weights to start from")
    recipe = Recipe(as_toml(options, "archivecolor train gan"), gan=options)
    training_session(request, recipe, lambda context: trainer.gan(options, request.out, recipe.text, context))


@app.command("baseline")
@takes_options(TrainingRequest, Baseline, StageRecipe)
def train_baseline(request: TrainingRequest, options: Baseline, base: StageRecipe) -> None:
    """pix2pix from nothing, to compare with: its U-Net and PatchGAN at 256 pixels, both learning from the start.

    As in the paper, but for batches of 16, crops of 65 to 100 % of the short side, the cycle of the learning rate,
    gradients clipped at norm 1, and the average that is published.

    Example: archivecolor train baseline --data ./colour_photos --out ./weights/my_baseline
    """
    from archivecolor.training import trainer

    options = _on_recipe(base.recipe, "baseline", options)
    recipe = Recipe(as_toml(options, "archivecolor train baseline"), baseline=options)
    training_session(request, recipe, lambda context: trainer.baseline(options, request.out, recipe.text, context))
