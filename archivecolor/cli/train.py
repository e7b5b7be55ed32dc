"""`archivecolor train`: the stages that make weights."""

from __future__ import annotations

import typer

from archivecolor.cli import find_lr, preview, train_all
from archivecolor.cli.from_options import takes_options
from archivecolor.cli.training_session import training_session
from archivecolor.errors import UsageError
from archivecolor.options import Baseline, Finetuning, Pretraining, TrainingRequest
from archivecolor.training.recipe import Recipe, as_toml

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make the weights: L1 pre-training, GAN, pix2pix.",
)
app.command("all")(train_all.train_all)
app.command("preview")(preview.train_preview)
app.command("find-lr")(find_lr.train_find_lr)


@app.command("pretrain")
@takes_options(TrainingRequest, Pretraining)
def train_pretrain(request: TrainingRequest, options: Pretraining) -> None:
    """L1 pre-training of a U-Net. Ctrl-C saves; the same command goes on where it stopped.

    The taught encoder is left in OUT/encoder, where --encoder can take it from. Several GPUs, here as in all stages:
    torchrun --nproc-per-node N -m archivecolor train pretrain …; README tells of several machines.

    Example: archivecolor train pretrain --model lite --data ./colour_photos --out ./weights/mine
    """
    from archivecolor.training import trainer

    recipe = Recipe(as_toml(options, "archivecolor train pretrain"), pretrain=options)
    training_session(request, recipe, lambda context: trainer.pretrain(options, request.out, recipe.text, context))


@app.command("gan")
@takes_options(TrainingRequest, Finetuning)
def train_gan(request: TrainingRequest, options: Finetuning) -> None:
    """Adversarial fine-tuning: truer and surer colours than L1 alone brings. Ctrl-C saves; the same command goes on.

    OUT gets the best average: least val_l1 ÷ the start's + 0.45 · |1 - colourfulness ÷ truth's| of all validations
    within the limits of --stop-when. The defaults are for a few hundred photographs of one archive: a quarter of an
    hour of lite on one core. For whole collections see the recipe that `train all` begins with. Look at the result
    with `archivecolor evaluate --compare` before you use it.

    Example: archivecolor train gan --from lite --data ./my_colour_photos --out ./weights/mine
    """
    from archivecolor.training import trainer

    if not options.origin:
        raise UsageError("--from: name the weights to start from")
    recipe = Recipe(as_toml(options, "archivecolor train gan"), gan=options)
    training_session(request, recipe, lambda context: trainer.gan(options, request.out, recipe.text, context))


@app.command("baseline")
@takes_options(TrainingRequest, Baseline)
def train_baseline(request: TrainingRequest, options: Baseline) -> None:
    """pix2pix from nothing, to compare with: its U-Net and PatchGAN at 256 pixels, both learning from the start.

    As in the paper, but for batches of 16, crops of 65 to 100 % of the short side, the cycle of the learning rate,
    gradients clipped at norm 1, and the average that is published.

    Example: archivecolor train baseline --data ./colour_photos --out ./weights/my_baseline
    """
    from archivecolor.training import trainer

    recipe = Recipe(as_toml(options, "archivecolor train baseline"), baseline=options)
    training_session(request, recipe, lambda context: trainer.baseline(options, request.out, recipe.text, context))
