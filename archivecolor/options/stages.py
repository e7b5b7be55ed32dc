"""The options of the training verbs: one table for each stage. The keys of a recipe are those of these tables.

The values are checked when a stage is made of them (`StageOptions` and its neighbours), because some depend on others.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from archivecolor.errors import UsageError
from archivecolor.options.require import require
from archivecolor.options.table import Choice, Option, Options, at_least, between, ends_in, with_defaults
from archivecolor.options.training import (
    AdversarialOptions,
    AppearanceOptions,
    DistillationOptions,
    StageOptions,
    parse_sizes,
    parse_stop_when,
    validation_side,
)

SIZES, FINETUNING_SIZES = "128:0.85,192:0.12,256:0.03", "192:0.6,256:0.4"
"""What `auto` means for the crops of a pre-training and of a fine-tuning. A fine-tuning is too short to start small."""
NORMS = ("frozen", "learnt")
"""Batch norms keep the statistics they have, or use those of each batch and continue to learn them."""

_MODEL = Option("lite, slim, resnet18 or pix2pix.")
_ENCODER = Option(
    "imagenet, none, or a weights file to start the encoder from. auto: none for a resnet18 with a --teacher and for "
    "pix2pix, else imagenet; torchvision downloads resnet18's once."
)
_PICTURES = Option("How many pictures to see: each photograph many times, in new crops.")
_BATCH = Option("Pictures per step, of all processes together.")
_AGING = Option("Share of the pictures that are made to look old, 0 to 1.")
_MOUNTS = Option("Share of the pictures that lie on a grey mount, as a stereo card, or beside a grey scale, 0 to 1.")
_CHROMA_WEIGHT = Option("How much more a colourful pixel counts in L1; 0 is plain L1.")
_GAN = Option("The loss: vanilla, lsgan or hinge.")
_VALIDATE_EVERY = Option("Pictures between validations.")
_SEED = Option("Order, crops and aging depend on it alone.")
_DEVICE = Option("auto, cpu, cuda or cuda:N.", metavar="DEVICE")
_PRECISION = Option("auto, fp32, bf16 or fp16.")
_DATA = Option("Folder of colour photographs, or a text file that lists them.")


class DataOn(Choice):
    AUTO = "auto"
    DEVICE = "device"
    HOST = "host"


@dataclass(frozen=True, kw_only=True)
class TrainingRequest(Options):
    """The photographs and the output of a training, and what it prints."""

    data: Annotated[Path, _DATA]
    out: Annotated[Path, Option("Folder to write the weights to; it also has the state to resume from.")]
    val: Annotated[
        Path | None,
        Option(
            "Held-out photographs, of which at most 256 are used. Without it, a fixed 4 % of --data, of few "
            "photographs up to a fifth."
        ),
    ] = None
    device: Annotated[str, _DEVICE] = "auto"
    data_on: Annotated[
        DataOn,
        Option(
            "Where crops are made and aged: device (a GPU keeps the photographs in its memory), host (by the "
            "processor's cores), or auto: device where the photographs fit. A resumed training keeps its own."
        ),
    ] = DataOn.AUTO
    compile: Annotated[
        bool, Option("Compile the network with torch.compile: minutes for each size of crops, faster steps on a GPU.")
    ] = False
    as_json: Annotated[bool, Option("One JSON line per report on stdout.", flag="--json")] = False
    log_file: Annotated[
        Path | None, Option("Append every message, and the traceback of every error, to this file.")
    ] = None
    tensorboard: Annotated[bool, Option("Write losses and validations to OUT/tensorboard, too.")] = False


def resolve_sizes(sizes: str, default: str, model: str) -> tuple[tuple[int, float], ...]:
    """The sides of the crops and their shares. `auto` is the default; pix2pix takes only one side."""
    return parse_sizes(sizes if sizes != "auto" else "256" if model == "pix2pix" else default)


@dataclass(frozen=True, kw_only=True)
class StageRecipe(Options):
    """Where the options of one stage come from, besides the command line."""

    recipe: Annotated[
        Path | None,
        Option(
            "TOML file with this stage's table, as every training leaves in its OUT; other flags override its keys."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class LoopOptions(Options):
    """The course of a training: where it starts, how long it takes, and when it ends."""

    origin: Annotated[
        str, Option("Weights to start from, a name or a folder; their network is the model.", flag="--from")
    ] = ""
    pictures: Annotated[int, _PICTURES] = 160_000
    sizes: Annotated[
        str,
        Option(
            f"side:share pairs, small sides first, multiples of 32, or one side; auto: {SIZES}, of fine-tunings "
            f"{FINETUNING_SIZES}, pix2pix 256."
        ),
    ] = "auto"
    batch: Annotated[int, _BATCH] = 32
    lr: Annotated[float, Option("Peak learning rate of the U-Net; `train find-lr` suggests one.")] = 6e-4
    aging: Annotated[float, _AGING] = 0.4
    mounts: Annotated[float, _MOUNTS] = 0.0
    chroma_weight: Annotated[float, _CHROMA_WEIGHT] = 0.5
    validate_every: Annotated[int, _VALIDATE_EVERY] = 8_000
    rounds: Annotated[
        int,
        Option(
            "How often the cycle of the learning rate is repeated, each time over twice as many pictures.",
            check=between(1, 10),
        ),
    ] = 1
    patience: Annotated[
        int,
        Option(
            "Ends the training when so many validations in a row, or with --rounds so many rounds, were no better than "
            "the best one; 0: never.",
            check=at_least(0),
        ),
    ] = 0
    minutes: Annotated[
        float,
        Option("Ends the training after so many minutes, those before a resume included; 0: never.", check=at_least(0)),
    ] = 0.0
    stop_when: Annotated[
        str,
        Option(
            "Ends a collapsed training, and keeps no average outside these limits: L1 and wild pixels above so many "
            "times the start's, fine chroma contrast below that share of it, or colourfulness outside, twice in a row "
            "(too little counts once there was a tenth more); or never."
        ),
    ] = "never"
    seed: Annotated[int, _SEED] = 0
    precision: Annotated[str, _PRECISION] = "auto"

    def ending_settings(self) -> dict[str, float | str]:
        """For the recipe on the card: rounds and the limits of patience and time, if there are any."""
        values = {"rounds": self.rounds if self.rounds > 1 else 0, "patience": self.patience, "minutes": self.minutes}
        return {name: value for name, value in values.items() if value}


@dataclass(frozen=True, kw_only=True)
class UnetTraining(AppearanceOptions, LoopOptions):
    """What the stages have in common that train a U-Net: `train pretrain` and `train gan`."""

    def losses_beside_l1(self) -> AppearanceOptions:
        return AppearanceOptions(**{part.name: getattr(self, part.name) for part in fields(AppearanceOptions)})


@dataclass(frozen=True, kw_only=True)
class Pretraining(UnetTraining):
    """`archivecolor train pretrain`."""

    model: Annotated[str, _MODEL] = "lite"
    encoder: Annotated[str, _ENCODER] = "auto"
    teacher: Annotated[
        str, Option("lite0: the encoder is first trained with EfficientNet-Lite0 (ImageNet) as its teacher; or none.")
    ] = "none"
    teacher_pictures: Annotated[int, Option("How many pictures the encoder is taught with.")] = 120_000
    teacher_sizes: Annotated[str, Option("side:share pairs of the teaching.")] = "96:0.5,128:0.5"
    teacher_lr: Annotated[float, Option("Peak learning rate of the teaching.")] = 1e-3
    teacher_weight: Annotated[
        float, Option("Weight of the teacher's distances beside L1 afterwards; 0 leaves the teacher out.")
    ] = 0.0
    soft_target: Annotated[
        str, Option("Finished weights whose colours are a second target beside the true ones; or nothing.")
    ] = ""
    soft_weight: Annotated[float, Option("Share of the soft target in the loss.")] = 0.5
    decoder_lr_ratio: Annotated[
        float, Option("The learning rate of everything but the encoder, as a multiple of --lr.")
    ] = 1.0
    norms: Annotated[
        str,
        Option(
            "Batch norms: frozen (they keep their statistics), learnt (those of each batch), or auto: frozen for "
            "finished weights (--from) whose encoder is not taught anew."
        ),
    ] = "auto"

    def resolve_norms(self) -> str:
        """`frozen` or `learnt`.

        `auto` is frozen for finished weights, except if the encoder is taught anew: then the norms must follow it.

        Raises:
            UsageError: the value is unknown, or new norms are to be frozen.
        """
        require(self.norms in ("auto", *NORMS), f"--norms {self.norms}: write one of auto, {', '.join(NORMS)}")
        if self.norms == "frozen" and not self.origin:
            raise UsageError("--norms frozen: new norms have no statistics to keep; add --from, or leave it out")
        taught = self.teacher != "none" and self.teacher_pictures
        return self.norms if self.norms != "auto" else "frozen" if self.origin and not taught else "learnt"

    def resolve_encoder(self) -> str:
        """What the encoder starts from: `imagenet`, `none`, or a path.

        Raises:
            UsageError: the weights to start from have an encoder already.
        """
        if self.origin:
            if self.encoder != "auto":
                raise UsageError(
                    f"--encoder {self.encoder}: the weights of --from have an encoder; leave one of them out"
                )
            return "none"
        if self.encoder != "auto":
            return self.encoder
        taught = self.model == "resnet18" and self.teacher != "none"
        return "none" if self.model == "pix2pix" or taught else "imagenet"

    def distillation_options(self) -> DistillationOptions:
        return DistillationOptions(
            teacher=self.teacher,
            pictures=self.teacher_pictures,
            sizes=parse_sizes(self.teacher_sizes, "--teacher-sizes"),
            lr=self.teacher_lr,
            weight=self.teacher_weight,
            soft_target=self.soft_target,
            soft_weight=self.soft_weight,
        )

    def appearance_options(self) -> AppearanceOptions:
        """The losses of the colorized picture.

        Raises:
            UsageError: they cannot be combined with the teacher's.
        """
        options = self.losses_beside_l1()
        if options.needed and self.teacher_weight:
            raise UsageError(
                "--teacher-weight: cannot be combined with --feature-weight, --psnr-weight, --ciede2000-weight or "
                "--colour-weight; leave it out"
            )
        return options

    def stage(self, out: Path, precision: str) -> StageOptions:
        """The options of the training loop. `precision` is not `auto`."""
        require(self.chroma_weight >= 0, f"--chroma-weight {self.chroma_weight:g}: must be 0 or more")
        require(self.decoder_lr_ratio > 0, f"--decoder-lr-ratio {self.decoder_lr_ratio:g}: must be above 0")
        sizes = resolve_sizes(self.sizes, SIZES, self.model)
        return StageOptions(
            name="pretrain",
            model=self.model,
            out=out,
            pictures=self.pictures,
            sizes=sizes,
            batch=self.batch,
            lr=self.lr,
            aging=self.aging,
            mounts=self.mounts,
            seed=self.seed,
            precision=precision,
            validate_every=self.validate_every,
            validation_size=validation_side(self.model, sizes),
            rounds=self.rounds,
            minutes=self.minutes,
            settings={
                "encoder": self.resolve_encoder(),
                **({"decoder_lr_ratio": self.decoder_lr_ratio} if self.decoder_lr_ratio != 1 else {}),
                "chroma_weight": self.chroma_weight,
                "norms": self.resolve_norms(),
                **({"stop_when": self.stop_when} if self.stop_when != "never" else {}),
                **self.ending_settings(),
                **self.distillation_options().settings(),
                **self.appearance_options().settings(),
            },
        )


@dataclass(frozen=True, kw_only=True)
@with_defaults(
    feature_weight=6.0,
    psnr_weight=2.0,
    colour_weight=20.0,
    pictures=1_120,
    batch=16,
    lr=1e-4,
    aging=0.3,
    validate_every=320,
    stop_when="l1:1.2,colour:0.4-1.15",
)
class Finetuning(UnetTraining):
    """`archivecolor train gan`. --from is required; in a recipe, the default is the result of `[pretrain]`.

    The defaults were the best ones for a few hundred photographs of one archive (weights/LOG.md, run 19).
    """

    gan: Annotated[str, _GAN] = "vanilla"
    l1_weight: Annotated[float, Option("Weight of L1 beside it; less gives more colour.")] = 100.0
    discriminator: Annotated[
        str,
        Option(
            "spectral (PatchGAN with spectral norm), batchnorm (that of pix2pix) or features (sees the feature maps of "
            "EfficientNet-Lite0)."
        ),
    ] = "spectral"
    warmup: Annotated[int, Option("Pictures from which the discriminator alone learns at first.")] = 160
    lr_d: Annotated[float, Option("Peak learning rate of the discriminator.")] = 4e-4
    norms: Annotated[
        str, Option("Batch norms of the U-Net: frozen (they keep their statistics) or learnt (those of each batch).")
    ] = "frozen"
    ema: Annotated[float, Option("Decay of the average that is validated and published.")] = 0.999

    def adversarial_options(self) -> AdversarialOptions:
        return AdversarialOptions(
            gan=self.gan,
            l1_weight=self.l1_weight,
            chroma_weight=self.chroma_weight,
            lr_d=self.lr_d,
            warmup=self.warmup,
            discriminator=self.discriminator,
            stop_when=parse_stop_when(self.stop_when),
            appearance=self.losses_beside_l1(),
        )

    def stage(self, model: str, out: Path, precision: str) -> StageOptions:
        """The options of the training loop. `model` is the network's name; `precision` is not `auto`."""
        require(
            self.warmup < self.pictures,
            f"--warmup {self.warmup}: leaves the U-Net none of the {self.pictures} --pictures; make it less",
        )
        require(self.norms in NORMS, f"--norms {self.norms}: write one of {', '.join(NORMS)}")
        sizes = resolve_sizes(self.sizes, FINETUNING_SIZES, model)
        return StageOptions(
            name="gan",
            model=model,
            out=out,
            pictures=self.pictures,
            sizes=sizes,
            batch=self.batch,
            lr=self.lr,
            aging=self.aging,
            mounts=self.mounts,
            ema=self.ema,
            seed=self.seed,
            precision=precision,
            validate_every=self.validate_every,
            validation_size=validation_side(model, sizes),
            rounds=self.rounds,
            minutes=self.minutes,
            settings={"norms": self.norms, **self.adversarial_options().settings(), **self.ending_settings()},
        )


@dataclass(frozen=True, kw_only=True)
class Baseline(Options):
    """`archivecolor train baseline`."""

    gan: Annotated[str, _GAN] = "vanilla"
    l1_weight: Annotated[float, Option("Weight of L1 beside it.")] = 100.0
    pictures: Annotated[int, _PICTURES] = 160_000
    batch: Annotated[int, _BATCH] = 16
    lr: Annotated[float, Option("Peak learning rate of generator and discriminator.")] = 2e-4
    aging: Annotated[float, _AGING] = 0.0
    validate_every: Annotated[int, _VALIDATE_EVERY] = 8_000
    seed: Annotated[int, _SEED] = 0
    precision: Annotated[str, _PRECISION] = "auto"

    def adversarial_options(self) -> AdversarialOptions:
        return AdversarialOptions(
            self.gan, self.l1_weight, lr_d=self.lr, warmup=0, discriminator="batchnorm", stop_when=None
        )

    def stage(self, out: Path, precision: str) -> StageOptions:
        """The options of the training loop. `precision` is not `auto`."""
        return StageOptions(
            name="baseline",
            model="pix2pix",
            out=out,
            pictures=self.pictures,
            sizes=((256, 1.0),),
            batch=self.batch,
            lr=self.lr,
            aging=self.aging,
            seed=self.seed,
            precision=precision,
            validate_every=self.validate_every,
            validation_size=validation_side("pix2pix"),
            settings=self.adversarial_options().settings(),
        )


@dataclass(frozen=True, kw_only=True)
class LrSearchOptions(Options):
    """`archivecolor train find-lr`: a search for the learning rate of a pre-training."""

    data: Annotated[Path, _DATA]
    origin: Annotated[
        str, Option("Weights to start from, a name or a folder; their network is the model.", flag="--from")
    ] = ""
    model: Annotated[str, _MODEL] = "lite"
    encoder: Annotated[str, _ENCODER] = "auto"
    size: Annotated[int, Option("Side of the crops in pixels; pix2pix needs 256.")] = 128
    batch: Annotated[int, Option("Pictures per step, as in the training.")] = 32
    steps: Annotated[int, Option("Steps from the lowest rate to the highest.", check=between(20, 10_000))] = 100
    aging: Annotated[float, _AGING] = 0.4
    chroma_weight: Annotated[float, _CHROMA_WEIGHT] = 0.5
    plot: Annotated[Path | None, Option("PNG of the loss over the rate.", check=ends_in(".png"))] = None
    seed: Annotated[int, _SEED] = 0
    device: Annotated[str, _DEVICE] = "auto"
    precision: Annotated[str, _PRECISION] = "auto"
    as_json: Annotated[bool, Option("Print JSON instead of text.", flag="--json")] = False

    def pretraining(self) -> Pretraining:
        """The pre-training whose learning rate is searched for."""
        return Pretraining(
            origin=self.origin,
            model=self.model,
            encoder=self.encoder,
            sizes=str(self.size),
            batch=self.batch,
            aging=self.aging,
            chroma_weight=self.chroma_weight,
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True)
class PreviewOptions(Options):
    """`archivecolor train preview`: a sheet of photographs as the network sees them."""

    data: Annotated[Path, _DATA]
    out: Annotated[Path, Option("PNG to draw.", check=ends_in(".png"))]
    count: Annotated[int, Option("How many photographs, evenly spaced over --data.", check=between(1, 100))] = 8
    times: Annotated[int, Option("How often each photograph is aged.", check=between(1, 100))] = 5
    size: Annotated[int, Option("Side of a tile in pixels.", check=between(64, 1024))] = 192
    mounts: Annotated[float, _MOUNTS] = 0.0
    seed: Annotated[int, Option("The aging depends on it alone.", check=at_least(0))] = 0
