"""How weights are made."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

from archivecolor.errors import UsageError
from archivecolor.options.require import require
from archivecolor.options.table import Option, Options, above, at_least

LARGEST_SIDE = 4096
"""In pixels; no memory holds a training or an evaluation of larger squares."""


@dataclass(frozen=True)
class StageOptions:
    """One stage of a training."""

    name: str
    """`teach`, `pretrain`, `baseline` or `gan`."""
    model: str
    out: Path
    pictures: int = 160_000
    """How many pictures to see; the learning rate's cycle is stretched over them."""
    sizes: tuple[tuple[int, float], ...] = ((128, 0.85), (192, 0.12), (256, 0.03))
    """(side in pixels, share of the pictures), in order."""
    batch: int = 32
    lr: float = 6e-4
    aging: float = 0.4
    """Share of the pictures whose luminance is made to look old."""
    mounts: float = 0.0
    """Share of the pictures that lie on a mount or beside a grey scale."""
    ema: float = 0.998
    seed: int = 0
    precision: str = "fp32"
    """`fp32`, `bf16` or `fp16`, already decided."""
    validate_every: int = 8_000
    validation_pictures: int = 256
    validation_size: int = 128
    rounds: int = 1
    """How often the learning rate's cycle is repeated, each time over twice as many pictures as before."""
    minutes: float = 0.0
    """The most time that the stage may take, those before a resume included; 0: no limit."""
    checkpoint_minutes: float = 4.0
    data_on: str = "host"
    """Where batches are made, `host` or `device`, already decided."""
    settings: dict[str, float | str] = field(default_factory=dict)
    """Options that only this kind of stage has, for the card."""

    def __post_init__(self) -> None:
        require(self.pictures > 0, f"--pictures {self.pictures}: must be at least 1")
        require(self.batch > 0, f"--batch {self.batch}: must be at least 1")
        require(self.lr > 0, f"--lr {self.lr}: must be above 0")
        require(self.seed >= 0, f"--seed {self.seed}: must be 0 or more")
        require(0 <= self.aging <= 1, f"--aging {self.aging}: must be from 0 to 1")
        require(0 <= self.mounts <= 1, f"--mounts {self.mounts}: must be from 0 to 1")
        require(0 <= self.ema < 1, f"--ema {self.ema}: must be from 0 to below 1")
        require(self.validate_every > 0, f"--validate-every {self.validate_every}: must be at least 1")
        require(self.rounds > 0, f"--rounds {self.rounds}: must be at least 1")
        stride = 256 if self.model == "pix2pix" else 32
        for side, share in self.sizes:
            require(side > 0 and side % stride == 0, f"--sizes {side}: {self.model} needs multiples of {stride}")
            require(side <= LARGEST_SIDE, f"--sizes {side}: must be at most {LARGEST_SIDE}")
            require(share > 0, f"--sizes {side}:{share}: the share must be above 0")

    def round_ends(self) -> tuple[float, ...]:
        """The share of the training that is done at the end of each round: 1/7, 3/7 and 1 for three rounds."""
        return tuple((2**i - 1) / (2**self.rounds - 1) for i in range(1, self.rounds + 1))


@dataclass(frozen=True, kw_only=True)
class AppearanceOptions(Options):
    """Losses of the colorized picture beside L1 on ab (`training.appearance_loss`); one of weight 0 is left out."""

    feature_weight: Annotated[
        float,
        Option(
            "Weight, beside L1, of the difference that EfficientNet-Lite0 sees between the colorized and the true "
            "picture.",
            check=at_least(0),
        ),
    ] = 0.0
    psnr_weight: Annotated[
        float,
        Option("Weight of each dB of the picture's PSNR; 0.02 times L1's makes it the main loss.", check=at_least(0)),
    ] = 0.0
    ciede2000_weight: Annotated[
        float,
        Option(
            "Weight of each unit of the mean CIEDE2000 difference; 0.01 times L1's counts like L1.", check=at_least(0)
        ),
    ] = 0.0
    colour_weight: Annotated[
        float,
        Option("Weight of the squared shortfall of colourfulness below --colour-target, beside L1.", check=at_least(0)),
    ] = 0.0
    colour_target: Annotated[
        float, Option("Wanted colourfulness, as a share of the true pictures'.", check=above(0, 1.5))
    ] = 0.9

    @property
    def needs_lite0(self) -> bool:
        """Whether EfficientNet-Lite0 has a part in it."""
        return self.feature_weight > 0

    @property
    def needed(self) -> bool:
        """Whether anything of it counts."""
        return any(self._weights().values())

    def settings(self) -> dict[str, float | str]:
        """For the recipe on the card: only the losses in use."""
        target = {"colour_target": self.colour_target} if self.colour_weight else {}
        return {**{name: value for name, value in self._weights().items() if value}, **target}

    def _weights(self) -> dict[str, float]:
        return {name: value for name, value in asdict(self).items() if name.endswith("_weight")}


TEACHERS = ("none", "lite0")


@dataclass(frozen=True)
class DistillationOptions:
    """How the encoder is taught before, and perhaps beside, the pre-training."""

    teacher: str = "none"
    """`lite0`: EfficientNet-Lite0 with its ImageNet weights, which sees the colour picture; or `none`."""
    pictures: int = 120_000
    sizes: tuple[tuple[int, float], ...] = ((96, 0.5), (128, 0.5))
    lr: float = 1e-3
    weight: float = 0.0
    """Of the cosine distances in the loss of the pre-training that follows; 0 leaves them out."""
    soft_target: str = ""
    """Weights, by name or folder, whose answer is a second target beside the true colours; none when empty."""
    soft_weight: float = 0.5
    """Share of the soft target in L1."""

    def __post_init__(self) -> None:
        require(self.teacher in TEACHERS, f"--teacher {self.teacher}: write one of {', '.join(TEACHERS)}")
        require(self.pictures >= 0, f"--teacher-pictures {self.pictures}: must be 0 or more")
        require(self.lr > 0, f"--teacher-lr {self.lr}: must be above 0")
        require(self.weight >= 0, f"--teacher-weight {self.weight}: must be 0 or more")
        for side, _ in self.sizes:
            require(side > 0 and side % 32 == 0, f"--teacher-sizes {side}: the encoders need multiples of 32")
            require(side <= LARGEST_SIDE, f"--teacher-sizes {side}: must be at most {LARGEST_SIDE}")
        require(0 < self.soft_weight <= 1, f"--soft-weight {self.soft_weight}: must be above 0 and at most 1")
        both = bool(self.weight and self.soft_target)
        require(not both, "--teacher-weight: does not go with --soft-target; leave one of them out")

    def settings(self) -> dict[str, float | str]:
        """For the recipe on the card: only the options in use."""
        beside: dict[str, float | str] = {}
        if self.soft_target:
            beside = {"soft_target": self.soft_target, "soft_weight": self.soft_weight}
        if self.teacher == "none":
            return beside
        sizes = ",".join(f"{side}:{share:g}" for side, share in self.sizes)
        return {
            "teacher": self.teacher,
            "teacher_pictures": self.pictures,
            "teacher_sizes": sizes,
            "teacher_lr": self.lr,
            "teacher_weight": self.weight,
            **beside,
        }


GANS = ("vanilla", "lsgan", "hinge")
DISCRIMINATORS = ("spectral", "batchnorm", "features")


@dataclass(frozen=True)
class StopWhen:
    """Limits of a validation: outside them a training counts as collapsed."""

    l1: float = 1.2
    """The most that L1 may be, as a multiple of the start's."""
    colour_low: float = 0.6
    """The least that colourfulness ÷ truth's may be, once it was well above (`training.early_stopping`)."""
    colour_high: float = 1.15
    wild: float = 2.0
    """The most that the share of wild pixels may be, as a multiple of the start's."""
    fine: float = 0.5
    """The least that fine chroma contrast may be, as a share of the start's."""

    def __post_init__(self) -> None:
        require(self.l1 > 1, f"--stop-when l1:{self.l1:g}: must be above 1")
        low, high = self.colour_low, self.colour_high
        require(0 <= low < high, f"--stop-when colour:{low:g}-{high:g}: must be LOW-HIGH with 0 <= LOW < HIGH")
        require(self.wild > 1, f"--stop-when wild:{self.wild:g}: must be above 1")
        require(0 <= self.fine < 1, f"--stop-when fine:{self.fine:g}: must be from 0 to below 1")

    def text(self) -> str:
        """As `parse_stop_when` reads it. Limits that are newer than finished cards appear only if they differ."""
        parts = [f"l1:{self.l1:g}", f"colour:{self.colour_low:g}-{self.colour_high:g}"]
        parts += [f"wild:{self.wild:g}"] if self.wild != StopWhen.wild else []
        parts += [f"fine:{self.fine:g}"] if self.fine != StopWhen.fine else []
        return ",".join(parts)


@dataclass(frozen=True)
class AdversarialOptions:
    """How a U-Net and a discriminator learn against each other."""

    gan: str = "vanilla"
    l1_weight: float = 20.0
    """Of L1 on ab (in the network's range) beside the GAN loss. pix2pix has 100; against the bounded slopes of the
    spectral discriminator that leaves the U-Net as timid as it was, unless `appearance` asks for more."""
    chroma_weight: float = 0.0
    """How much more a colourful pixel counts in L1, as in the pre-training; 0 as in pix2pix."""
    lr_d: float = 4e-4
    """Peak learning rate of the discriminator; the stage's is the U-Net's."""
    warmup: int = 480
    """Pictures from which the discriminator alone learns at first."""
    discriminator: str = "spectral"
    """`spectral`: a PatchGAN with spectral norm; `batchnorm`: the one of pix2pix; `features`: judges what
    EfficientNet-Lite0 sees."""
    stop_when: StopWhen | None = StopWhen()
    """None: never."""
    appearance: AppearanceOptions = AppearanceOptions()

    def __post_init__(self) -> None:
        require(self.gan in GANS, f"--gan {self.gan}: write one of {', '.join(GANS)}")
        require(self.l1_weight >= 0, f"--l1-weight {self.l1_weight:g}: must be 0 or more")
        require(self.chroma_weight >= 0, f"--chroma-weight {self.chroma_weight:g}: must be 0 or more")
        require(self.lr_d > 0, f"--lr-d {self.lr_d:g}: must be above 0")
        require(self.warmup >= 0, f"--warmup {self.warmup}: must be 0 or more")
        known = self.discriminator in DISCRIMINATORS
        require(known, f"--discriminator {self.discriminator}: write one of {', '.join(DISCRIMINATORS)}")

    @property
    def needs_lite0(self) -> bool:
        """Whether EfficientNet-Lite0 has a part in it."""
        return self.discriminator == "features" or self.appearance.needs_lite0

    def settings(self) -> dict[str, float | str]:
        """For the recipe on the card."""
        return {
            "gan": self.gan,
            "l1_weight": self.l1_weight,
            "chroma_weight": self.chroma_weight,
            "lr_d": self.lr_d,
            "warmup": self.warmup,
            "discriminator": self.discriminator,
            "stop_when": self.stop_when.text() if self.stop_when else "never",
            **self.appearance.settings(),
        }


LARGEST_VALIDATION = 256
"""The side that held-out photographs are kept at: the one that `run` works at."""


def validation_side(model: str, sizes: tuple[tuple[int, float], ...] = ()) -> int:
    """The side of validation pictures: the largest side in the training, from 128 to 256; pix2pix takes only 256.

    At 128 px a training can seem to gain what it does not gain at 256 px, where weights are used (weights/LOG.md, run
    13).
    """
    if model == "pix2pix":
        return 256
    return min(LARGEST_VALIDATION, max([128, *(side for side, _ in sizes)]))


def parse_stop_when(text: str) -> StopWhen | None:
    """`l1:1.2,colour:0.6-1.15,wild:2,fine:0.5` -> StopWhen(1.2, 0.6, 1.15, 2.0, 0.5); `never` -> None.

    `wild` and `fine` may be left out.

    Raises:
        UsageError: it is not of this form.
    """
    if text == "never":
        return None
    number = r"([\d.]+)"
    form = re.fullmatch(f"l1:{number},colour:{number}-{number}(?:,wild:{number})?(?:,fine:{number})?", text)
    try:
        l1, low, high = (float(part) for part in (form.groups()[:3] if form else ()))
        wild, fine = (float(part) if part else None for part in (form.groups()[3:] if form else ()))
    except ValueError:
        raise UsageError(
            f"--stop-when {text!r}: write never, or for example l1:1.2,colour:0.6-1.15,wild:2,fine:0.5"
        ) from None
    limits = StopWhen(l1, low, high)
    return replace(limits, wild=limits.wild if wild is None else wild, fine=limits.fine if fine is None else fine)


def parse_sizes(text: str, flag: str = "--sizes") -> tuple[tuple[int, float], ...]:
    """`128:0.85,192:0.12,256:0.03` or `256` -> ((128, 0.85), (192, 0.12), (256, 0.03)) or ((256, 1.0),).

    Raises:
        UsageError: it is not of this form.
    """
    try:
        pairs = [part.split(":") for part in text.split(",")]
        sizes = tuple((int(p[0]), float(p[1]) if len(p) > 1 else 1.0) for p in pairs)
    except (ValueError, IndexError):
        raise UsageError(f"{flag} {text!r}: write side:share pairs, for example 128:0.85,256:0.15") from None
    total = sum(share for _, share in sizes)
    require(abs(total - 1) < 1e-6, f"{flag} {text!r}: the shares add up to {total:g}, not to 1")
    return sizes
