"""`archivecolor train`: the stages that make weights. Their options and defaults are those of a recipe's tables."""

from __future__ import annotations

from typing import Annotated

import typer

from archivecolor.cli import find_lr, preview, train_all
from archivecolor.cli.training_session import (
    Aging,
    AsJson,
    Batch,
    ChromaWeight,
    Ciede2000Weight,
    ColourTarget,
    ColourWeight,
    Data,
    Device,
    FeatureWeight,
    Out,
    Pictures,
    Precision,
    PsnrWeight,
    Seed,
    Val,
    ValidateEvery,
    training_session,
)
from archivecolor.training.recipe import Baseline, Finetuning, Pretraining, Recipe, as_toml

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make the weights: L1 pre-training, GAN, pix2pix.",
)
app.command("all")(train_all.train_all)
app.command("preview")(preview.train_preview)
app.command("find-lr")(find_lr.train_find_lr)
PRETRAIN, GAN, BASELINE = Pretraining(), Finetuning(), Baseline()


@app.command("pretrain")
def train_pretrain(
    data: Data,
    out: Out,
    model: Annotated[str, typer.Option(help="lite, resnet18 or pix2pix.")] = PRETRAIN.model,
    origin: Annotated[
        str, typer.Option("--from", help="Weights to go on from, a name or a folder; their network is the model.")
    ] = PRETRAIN.origin,
    val: Val = None,
    encoder: Annotated[
        str,
        typer.Option(
            help="imagenet, none, or a weights file to start the encoder from; auto: none for a resnet18 with a "
            "--teacher and for pix2pix, else imagenet (resnet18's are downloaded once)."
        ),
    ] = PRETRAIN.encoder,
    teacher: Annotated[
        str, typer.Option(help="lite0: before all else the encoder learns from EfficientNet-Lite0 (ImageNet); or none.")
    ] = PRETRAIN.teacher,
    teacher_pictures: Annotated[
        int, typer.Option(help="How many pictures the encoder is taught with.")
    ] = PRETRAIN.teacher_pictures,
    teacher_sizes: Annotated[str, typer.Option(help="side:share pairs of the teaching.")] = PRETRAIN.teacher_sizes,
    teacher_lr: Annotated[float, typer.Option(help="Peak learning rate of the teaching.")] = PRETRAIN.teacher_lr,
    teacher_weight: Annotated[
        float, typer.Option(help="Weight of the teacher's distances beside L1 afterwards; 0 leaves the teacher out.")
    ] = PRETRAIN.teacher_weight,
    soft_target: Annotated[
        str, typer.Option(help="Finished weights whose answer is a second target beside the true colours; or nothing.")
    ] = PRETRAIN.soft_target,
    soft_weight: Annotated[float, typer.Option(help="Share of the soft target in the loss.")] = PRETRAIN.soft_weight,
    feature_weight: FeatureWeight = PRETRAIN.feature_weight,
    psnr_weight: PsnrWeight = PRETRAIN.psnr_weight,
    ciede2000_weight: Ciede2000Weight = PRETRAIN.ciede2000_weight,
    colour_weight: ColourWeight = PRETRAIN.colour_weight,
    colour_target: ColourTarget = PRETRAIN.colour_target,
    pictures: Pictures = PRETRAIN.pictures,
    sizes: Annotated[
        str,
        typer.Option(
            help="side:share pairs, small sides first, multiples of 32, or one side; auto: 128:0.85,192:0.12,256:0.03, "
            "pix2pix 256."
        ),
    ] = PRETRAIN.sizes,
    batch: Batch = PRETRAIN.batch,
    lr: Annotated[float, typer.Option(help="Peak learning rate; `train find-lr` suggests one.")] = PRETRAIN.lr,
    aging: Aging = PRETRAIN.aging,
    chroma_weight: ChromaWeight = PRETRAIN.chroma_weight,
    norms: Annotated[
        str,
        typer.Option(
            help="Batch norms: frozen (they keep their statistics), learnt (those of each batch), or auto: frozen for "
            "finished weights (--from) whose encoder is not taught anew."
        ),
    ] = PRETRAIN.norms,
    validate_every: ValidateEvery = PRETRAIN.validate_every,
    seed: Seed = PRETRAIN.seed,
    device: Device = "auto",
    precision: Precision = PRETRAIN.precision,
    as_json: AsJson = False,
) -> None:
    """L1 pre-training of a U-Net. Ctrl-C saves; the same command goes on where it stopped.

    The taught encoder is left in OUT/encoder, where --encoder can take it from. Several GPUs, here as in all stages:
    torchrun --nproc-per-node N -m archivecolor train pretrain …; README tells of several machines.

    Example: archivecolor train pretrain --model lite --data ./colour_photos --out ./weights/mine
    """
    from archivecolor.training import trainer

    asked = Pretraining(
        model=model, origin=origin, encoder=encoder, teacher=teacher, teacher_pictures=teacher_pictures,
        teacher_sizes=teacher_sizes, teacher_lr=teacher_lr, teacher_weight=teacher_weight, soft_target=soft_target,
        soft_weight=soft_weight, feature_weight=feature_weight, psnr_weight=psnr_weight,
        ciede2000_weight=ciede2000_weight, colour_weight=colour_weight, colour_target=colour_target,
        pictures=pictures, sizes=sizes, batch=batch, lr=lr, aging=aging, chroma_weight=chroma_weight,
        norms=norms, validate_every=validate_every, seed=seed, precision=precision,
    )  # fmt: skip
    text = as_toml(asked, "archivecolor train pretrain")
    short = Recipe(text, pretrain=asked).longest_side()
    training_session(data, val, short, device, as_json, lambda room: trainer.pretrain(asked, out, text, room))


@app.command("gan")
def train_gan(
    origin: Annotated[str, typer.Option("--from", help="Weights to start from: a name or a folder.")],
    data: Data,
    out: Out,
    val: Val = None,
    gan: Annotated[str, typer.Option(help="The loss: vanilla, lsgan or hinge.")] = GAN.gan,
    l1_weight: Annotated[float, typer.Option(help="Weight of L1 beside it; less gives more colour.")] = GAN.l1_weight,
    chroma_weight: ChromaWeight = GAN.chroma_weight,
    feature_weight: FeatureWeight = GAN.feature_weight,
    psnr_weight: PsnrWeight = GAN.psnr_weight,
    ciede2000_weight: Ciede2000Weight = GAN.ciede2000_weight,
    colour_weight: ColourWeight = GAN.colour_weight,
    colour_target: ColourTarget = GAN.colour_target,
    discriminator: Annotated[
        str,
        typer.Option(
            help="spectral (PatchGAN with spectral norm), batchnorm (that of pix2pix) or features (judges "
            "what EfficientNet-Lite0 sees)."
        ),
    ] = GAN.discriminator,
    warmup: Annotated[
        int, typer.Option(help="Pictures from which the discriminator alone learns at first.")
    ] = GAN.warmup,
    pictures: Pictures = GAN.pictures,
    sizes: Annotated[
        str,
        typer.Option(
            help="side:share pairs, small sides first, multiples of 32, or one side; auto: 192:0.6,256:0.4, "
            "pix2pix 256."
        ),
    ] = GAN.sizes,
    batch: Batch = GAN.batch,
    lr: Annotated[float, typer.Option(help="Peak learning rate of the U-Net.")] = GAN.lr,
    lr_d: Annotated[float, typer.Option(help="Peak learning rate of the discriminator.")] = GAN.lr_d,
    aging: Aging = GAN.aging,
    norms: Annotated[
        str,
        typer.Option(
            help="Batch norms of the U-Net: frozen (they keep their statistics) or learnt (those of each batch)."
        ),
    ] = GAN.norms,
    ema: Annotated[float, typer.Option(help="Decay of the average that is judged and published.")] = GAN.ema,
    stop_when: Annotated[
        str,
        typer.Option(
            help="Ends a collapsed training: L1 above so many times the start's, or colourfulness outside, twice in a "
            "row (too little counts once there was a tenth more); or never."
        ),
    ] = GAN.stop_when,
    validate_every: ValidateEvery = GAN.validate_every,
    seed: Seed = GAN.seed,
    device: Device = "auto",
    precision: Precision = GAN.precision,
    as_json: AsJson = False,
) -> None:
    """Adversarial fine-tuning: truer and surer colours than L1 alone brings. Ctrl-C saves; the same command goes on.

    OUT gets the best average: least val_l1 ÷ the start's + 0.45 · |1 - colourfulness ÷ truth's| of all validations
    within the limits of --stop-when. The defaults are for a few hundred photographs of one archive: a quarter of an
    hour of lite on one core. For whole collections see the recipe that `train all` begins with. Look at the result
    with `archivecolor evaluate --compare` before you use it.

    Example: archivecolor train gan --from lite --data ./my_colour_photos --out ./weights/mine
    """
    from archivecolor.training import trainer

    asked = Finetuning(
        origin=origin, gan=gan, l1_weight=l1_weight, chroma_weight=chroma_weight, discriminator=discriminator,
        feature_weight=feature_weight, psnr_weight=psnr_weight, ciede2000_weight=ciede2000_weight,
        colour_weight=colour_weight, colour_target=colour_target, warmup=warmup, pictures=pictures, sizes=sizes,
        batch=batch, lr=lr, lr_d=lr_d, aging=aging, norms=norms, ema=ema, stop_when=stop_when,
        validate_every=validate_every, seed=seed, precision=precision,
    )  # fmt: skip
    text = as_toml(asked, "archivecolor train gan")
    short = Recipe(text, gan=asked).longest_side()
    training_session(data, val, short, device, as_json, lambda room: trainer.gan(asked, out, text, room))


@app.command("baseline")
def train_baseline(
    data: Data,
    out: Out,
    val: Val = None,
    gan: Annotated[str, typer.Option(help="The loss: vanilla, lsgan or hinge.")] = BASELINE.gan,
    l1_weight: Annotated[float, typer.Option(help="Weight of L1 beside it.")] = BASELINE.l1_weight,
    pictures: Pictures = BASELINE.pictures,
    batch: Batch = BASELINE.batch,
    lr: Annotated[float, typer.Option(help="Peak learning rate of generator and discriminator.")] = BASELINE.lr,
    aging: Aging = BASELINE.aging,
    validate_every: ValidateEvery = BASELINE.validate_every,
    seed: Seed = BASELINE.seed,
    device: Device = "auto",
    precision: Precision = BASELINE.precision,
    as_json: AsJson = False,
) -> None:
    """pix2pix from nothing, to compare with: its U-Net and PatchGAN at 256 pixels, both learning from the start.

    As in the paper, but for batches of 16, crops of 65 to 100 % of the short side, the cycle of the learning rate,
    gradients clipped at norm 1, and the average that is published.

    Example: archivecolor train baseline --data ./colour_photos --out ./weights/my_baseline
    """
    from archivecolor.training import trainer

    asked = Baseline(
        gan=gan, l1_weight=l1_weight, pictures=pictures, batch=batch, lr=lr, aging=aging,
        validate_every=validate_every, seed=seed, precision=precision,
    )  # fmt: skip
    text = as_toml(asked, "archivecolor train baseline")
    training_session(data, val, 256, device, as_json, lambda room: trainer.baseline(asked, out, text, room))
