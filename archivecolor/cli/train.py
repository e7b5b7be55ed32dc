"""`archivecolor train`: the stages that make weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archivecolor.cli.say import watched

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make the weights: L1 pre-training, GAN, pix2pix.")


@app.command("pretrain")
def train_pretrain(
    data: Annotated[Path, typer.Option(help="Folder of colour photographs, or a text file that lists them.")],
    out: Annotated[Path, typer.Option(help="Weights folder to write; holds the state to resume from as well.")],
    model: Annotated[str, typer.Option(help="lite, resnet18 or pix2pix.")] = "lite",
    val: Annotated[Path | None, typer.Option(help="Held-out photographs; a fixed 4 % of --data when left out.")] = None,
    encoder: Annotated[
        str,
        typer.Option(
            help="imagenet, none, or a weights file to start the encoder from; auto: none for a resnet18 with a "
            "--teacher and for pix2pix, else imagenet."
        ),
    ] = "auto",
    teacher: Annotated[
        str, typer.Option(help="lite0: before all else the encoder learns from EfficientNet-Lite0 (ImageNet); or none.")
    ] = "none",
    teacher_pictures: Annotated[int, typer.Option(help="How many pictures the encoder is taught with.")] = 120_000,
    teacher_sizes: Annotated[str, typer.Option(help="side:share pairs of the teaching.")] = "96:0.5,128:0.5",
    teacher_lr: Annotated[float, typer.Option(help="Peak learning rate of the teaching.")] = 1e-3,
    teacher_weight: Annotated[
        float, typer.Option(help="Weight of the teacher's distances beside L1 afterwards; 0 leaves the teacher out.")
    ] = 0.0,
    soft_target: Annotated[
        str, typer.Option(help="Finished weights whose answer is a second target beside the true colours; or nothing.")
    ] = "",
    soft_weight: Annotated[float, typer.Option(help="Share of the soft target in the loss.")] = 0.5,
    pictures: Annotated[int, typer.Option(help="How many pictures to see.")] = 160_000,
    sizes: Annotated[str, typer.Option(help="side:share pairs, small sides first.")] = "128:0.85,192:0.12,256:0.03",
    batch: Annotated[int, typer.Option(help="Pictures per step.")] = 32,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 6e-4,
    aging: Annotated[float, typer.Option(help="Share of the pictures made to look old, 0 to 1.")] = 0.4,
    chroma_weight: Annotated[
        float, typer.Option(help="How much more a colourful pixel counts in the loss; 0 is plain L1.")
    ] = 0.5,
    validate_every: Annotated[int, typer.Option(help="Pictures between validations.")] = 8_000,
    seed: Annotated[int, typer.Option(help="Order, crops and aging depend on it alone.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
) -> None:
    """L1 pre-training of a U-Net. Ctrl-C saves; the same command goes on where it stopped.

    The taught encoder is left in OUT/encoder, where --encoder can take it from.

    Example: archivecolor train pretrain --model lite --data ./colour_photos --out ./weights/mine
    """
    from archivecolor import devices
    from archivecolor.options import Stage, Teaching, parse_sizes, small_side
    from archivecolor.training import school

    if encoder == "auto":
        encoder = "none" if model == "pix2pix" or (model == "resnet18" and teacher != "none") else "imagenet"
    teaching = Teaching(
        teacher, teacher_pictures, parse_sizes(teacher_sizes), teacher_lr, teacher_weight, soft_target, soft_weight
    )
    where = devices.choose_device(device)
    stage = Stage(
        name="pretrain", model=model, out=out, pictures=pictures, sizes=parse_sizes(sizes), batch=batch, lr=lr,
        aging=aging, seed=seed, precision=devices.choose_precision(precision, where), validate_every=validate_every,
        validation_size=small_side(model),
        settings={"encoder": encoder, "chroma_weight": chroma_weight, **teaching.settings()},
    )  # fmt: skip
    watched(lambda watch, stop: school.pretrain(stage, teaching, data, val, where, watch, stop))


@app.command("gan")
def train_gan(
    origin: Annotated[str, typer.Option("--from", help="Weights to start from: a name or a folder.")],
    data: Annotated[Path, typer.Option(help="Folder of colour photographs, or a text file that lists them.")],
    out: Annotated[Path, typer.Option(help="Weights folder to write; holds the state to resume from as well.")],
    val: Annotated[Path | None, typer.Option(help="Held-out photographs; a fixed 4 % of --data when left out.")] = None,
    gan: Annotated[str, typer.Option(help="The loss: vanilla, lsgan or hinge.")] = "vanilla",
    l1_weight: Annotated[
        float, typer.Option(help="Weight of L1 beside it; less gives more colour; 100 suits batchnorm.")
    ] = 20.0,
    chroma_weight: Annotated[
        float, typer.Option(help="How much more a colourful pixel counts in L1; 0 is plain L1.")
    ] = 0.5,
    discriminator: Annotated[
        str, typer.Option(help="spectral (PatchGAN with spectral norm) or batchnorm (that of pix2pix).")
    ] = "spectral",
    warmup: Annotated[int, typer.Option(help="Pictures from which the discriminator alone learns at first.")] = 480,
    pictures: Annotated[int, typer.Option(help="How many pictures to see.")] = 40_000,
    sizes: Annotated[
        str, typer.Option(help="side:share pairs, small sides first; auto: 128:0.85,192:0.12,256:0.03, pix2pix 256.")
    ] = "auto",
    batch: Annotated[int, typer.Option(help="Pictures per step.")] = 24,
    lr: Annotated[float, typer.Option(help="Peak learning rate of the U-Net.")] = 1e-4,
    lr_d: Annotated[float, typer.Option(help="Peak learning rate of the discriminator.")] = 4e-4,
    aging: Annotated[float, typer.Option(help="Share of the pictures made to look old, 0 to 1.")] = 0.4,
    ema: Annotated[float, typer.Option(help="Decay of the average that is judged and published.")] = 0.999,
    stop_when: Annotated[
        str,
        typer.Option(
            help="Ends a collapsed training: L1 above so many times the start's, or colourfulness outside, twice in a "
            "row; or never."
        ),
    ] = "l1:1.2,colour:0.6-1.15",
    validate_every: Annotated[int, typer.Option(help="Pictures between validations.")] = 2_000,
    seed: Annotated[int, typer.Option(help="Order, crops and aging depend on it alone.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
) -> None:
    """Adversarial fine-tuning: more colour than L1 alone dares. Ctrl-C saves; the same command goes on.

    OUT gets the best average: least val_l1 ÷ the start's + |1 - colourfulness ÷ truth's| of all validations within the
    limits of --stop-when.

    Example: archivecolor train gan --from lite --data ./colour_photos --out ./weights/mine_gan
    """
    from archivecolor import devices, weights
    from archivecolor.options import Adversarial, Stage, parse_sizes, parse_stop_when, small_side
    from archivecolor.training import school

    folder = weights.find(origin)
    model = weights.read_card(folder).network
    if sizes == "auto":
        sizes = "256" if model == "pix2pix" else "128:0.85,192:0.12,256:0.03"
    limits = parse_stop_when(stop_when)
    asked = Adversarial(gan, l1_weight, chroma_weight, lr_d, warmup, discriminator, limits)
    where = devices.choose_device(device)
    stage = Stage(
        name="gan", model=model, out=out, pictures=pictures, sizes=parse_sizes(sizes), batch=batch, lr=lr, aging=aging,
        ema=ema, seed=seed, precision=devices.choose_precision(precision, where), validate_every=validate_every,
        validation_size=small_side(model), settings=asked.settings(),
    )  # fmt: skip
    watched(lambda watch, stop: school.gan(stage, asked, folder, data, val, where, watch, stop))


@app.command("baseline")
def train_baseline(
    data: Annotated[Path, typer.Option(help="Folder of colour photographs, or a text file that lists them.")],
    out: Annotated[Path, typer.Option(help="Weights folder to write; holds the state to resume from as well.")],
    val: Annotated[Path | None, typer.Option(help="Held-out photographs; a fixed 4 % of --data when left out.")] = None,
    gan: Annotated[str, typer.Option(help="The loss: vanilla, lsgan or hinge.")] = "vanilla",
    l1_weight: Annotated[float, typer.Option(help="Weight of L1 beside it.")] = 100.0,
    pictures: Annotated[int, typer.Option(help="How many pictures to see.")] = 160_000,
    batch: Annotated[int, typer.Option(help="Pictures per step.")] = 16,
    lr: Annotated[float, typer.Option(help="Peak learning rate of generator and discriminator.")] = 2e-4,
    aging: Annotated[float, typer.Option(help="Share of the pictures made to look old, 0 to 1.")] = 0.0,
    validate_every: Annotated[int, typer.Option(help="Pictures between validations.")] = 8_000,
    seed: Annotated[int, typer.Option(help="Order, crops and aging depend on it alone.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
) -> None:
    """pix2pix from nothing, to compare with: its U-Net and PatchGAN at 256 pixels, both learning from the start.

    As in the paper, but for the cycle of the learning rate and for the average that is published.

    Example: archivecolor train baseline --data ./colour_photos --out ./weights/my_baseline
    """
    from archivecolor import devices
    from archivecolor.options import Adversarial, Stage, small_side
    from archivecolor.training import school

    asked = Adversarial(gan, l1_weight, lr_d=lr, warmup=0, discriminator="batchnorm", stop_when=None)
    where = devices.choose_device(device)
    stage = Stage(
        name="baseline", model="pix2pix", out=out, pictures=pictures, sizes=((256, 1.0),), batch=batch, lr=lr,
        aging=aging, seed=seed, precision=devices.choose_precision(precision, where), validate_every=validate_every,
        validation_size=small_side("pix2pix"), settings=asked.settings(),
    )  # fmt: skip
    watched(lambda watch, stop: school.baseline(stage, asked, data, val, where, watch, stop))
