"""What a user can ask for, frozen at the door: each class checks its values and raises `UsageError`."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

from archivecolor.errors import UsageError


def require(condition: bool, message: str) -> None:
    """Raises UsageError with the message unless the condition holds."""
    if not condition:
        raise UsageError(message)


@dataclass(frozen=True)
class Hint:
    """A colour that a person pins to a place."""

    x: int
    """Pixels from the left of the picture as it is seen, upright."""
    y: int
    colour: str
    """`#rrggbb`; its hue and chroma count, the lightness stays the picture's."""

    def __post_init__(self) -> None:
        require(self.x >= 0 and self.y >= 0, f"--hint {self}: x and y must be 0 or more")
        require(bool(re.fullmatch("#[0-9a-f]{6}", self.colour)), f"--hint {self}: the colour must be like #3a5f8b")

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.colour}"


@dataclass(frozen=True)
class Palette:
    """The colours of a reference picture, as statistics (`reference.read_palette` makes them)."""

    name: str
    sha256: str
    """Of the reference's file."""
    classes: tuple[tuple[float, ...], ...]
    """For each class of lightness: mean a, mean b, var a, cov ab, var b."""
    strength: float = 1.0
    """How far colours move towards the reference's, 0 to 1."""

    def __post_init__(self) -> None:
        require(0 <= self.strength <= 1, f"--palette-strength {self.strength:g}: must be from 0 to 1")


@dataclass(frozen=True)
class ColorOptions:
    """What decides the colours of a picture, besides the weights."""

    size: int = 256
    """The network sees about `size`² pixels."""
    strength: float = 1.0
    """Chroma is multiplied by this."""
    tiles: str = "auto"
    """`auto`: for panoramas and rich detail; `always`; `never`."""
    palette: Palette | None = None
    """Colours are moved towards these."""
    hints: tuple[Hint, ...] = ()
    mirror: bool = False
    """The network looks at the mirror image too, and its two answers are averaged."""

    def __post_init__(self) -> None:
        require(64 <= self.size <= 2048, f"--size {self.size}: must be from 64 to 2048")
        require(0 <= self.strength <= 2, f"--strength {self.strength}: must be from 0 to 2")
        require(self.tiles in ("auto", "always", "never"), f"--tiles {self.tiles}: write auto, always or never")

    def guidance(self) -> tuple[str, ...]:
        """What a person said about the colours, for the record."""
        words = []
        if self.palette:
            source = f"{self.palette.name} (sha256 {self.palette.sha256})"
            words.append(f"palette of {source}, strength {self.palette.strength:g}")
        return (*words, *(f"colour {hint.colour} pinned at {hint.x},{hint.y}" for hint in self.hints))

    def decisive(self) -> dict[str, object]:
        """What goes into the digest. Guidance and mirror are named only where there are any, so that what was made
        before this program had them is still known for the same."""
        plain: dict[str, object] = {"size": self.size, "strength": float(self.strength), "tiles": self.tiles}
        added = {"guidance": list(self.guidance()), "mirror": self.mirror}
        return plain | {key: value for key, value in added.items() if value}


SOURCE_TYPES = (
    "compositeWithTrainedAlgorithmicMedia", "algorithmicallyEnhanced", "trainedAlgorithmicMedia", "compositeSynthetic",
    "composite", "algorithmicMedia", "dataDrivenMedia",
)  # fmt: skip
"""Terms of IPTC's vocabulary `digitalsourcetype` that a picture with added colour can bear."""
OTHER_SOURCE_TYPES = (
    "digitalCapture", "computationalCapture", "multiFrameComputationalCapture", "negativeFilm", "positiveFilm", "print",
    "humanEdits", "minorHumanEdits", "compositeCapture", "digitalCreation", "digitalArt", "softwareImage",
    "virtualRecording", "screenCapture",
)  # fmt: skip
"""Its other terms: all of them say, or leave it to be believed, that the colour was captured or made by hand."""


@dataclass(frozen=True)
class Disclosure:
    """How an output says that its colour was added."""

    source_type: str = SOURCE_TYPES[0]
    """A term of `SOURCE_TYPES`."""
    mark: str = ""
    """A line of text burnt into a corner; `auto` for the usual words, empty for none."""
    mark_font: Path | None = None
    """A TrueType or OpenType font, for letters that the built-in one lacks."""
    sidecar: bool = True
    """Beside each output, a JSON file with all that is needed to make it again."""
    c2pa: str = ""
    """`cert.pem,key.pem`: sign each output's content credentials with them."""

    def __post_init__(self) -> None:
        require(
            self.source_type not in OTHER_SOURCE_TYPES,
            f"--digital-source-type {self.source_type}: it would hide that the colour was added; write one of "
            f"{', '.join(SOURCE_TYPES)}",
        )
        require(
            self.source_type in SOURCE_TYPES,
            f"--digital-source-type {self.source_type}: no term of IPTC's; write one of {', '.join(SOURCE_TYPES)}",
        )
        require(self.mark.isprintable(), "--mark: must be one line of text")
        require(
            self.c2pa == "" or len(self.c2pa.split(",")) == 2, f"--c2pa {self.c2pa}: write the two files as CERT,KEY"
        )

    def decisive(self) -> dict[str, object]:
        """What decides the bytes of an output. Of a signature only that there is one: every one is new."""
        font = str(self.mark_font) if self.mark and self.mark_font else ""
        return {"source_type": self.source_type, "mark": self.mark, "mark_font": font, "c2pa": bool(self.c2pa)}


CODECS = ("auto", "h264", "h265", "av1", "prores", "gif", "dpx", "tiff", "png")
STILL_CODECS = ("dpx", "tiff", "png")
"""Those of `CODECS` that make a file of each frame."""
ON_BAD_FRAME = ("repeat", "grey")
DPX_CURVES = ("auto", "log", "linear", "video")


@dataclass(frozen=True)
class FilmOptions:
    """What decides how a film is coloured and written, besides `ColorOptions`."""

    codec: str = "auto"
    """`auto`: numbered files come out as such, all other films as `h264`."""
    master: bool = False
    """FFV1 with chroma in full resolution, in Matroska, instead of `codec`."""
    steady: float = 1.0
    """How steady colours are over time: 0 each frame by itself, 1 as far as the picture's motion allows."""
    every: str = "auto"
    """The network sees every so manieth frame; `auto`: as few as the error that is measured allows."""
    cuts: Path | None = None
    """A text file with the first frames of shots; None: they are looked for."""
    on_bad_frame: str = "repeat"
    """What stands for a frame that cannot be decoded: `repeat` the last good one, or `grey`."""
    fps: str = ""
    """Frames a second of numbered files: `18`, `23.976`, `24000/1001`; "": by their headers, or 24."""
    sequences: bool = False
    """Whether numbered pictures in folders are the frames of films; DPX files always are."""
    dpx_curve: str = "auto"
    """What the codes of DPX files stand for: printing density (`log`), light (`linear`) or `video`; `auto`: what their
    headers say."""
    deinterlace: bool = False
    title_card: str = ""
    """Words of a card that is shown before the film; `auto` for the usual ones, empty for none."""

    def __post_init__(self) -> None:
        require(self.codec in CODECS, f"--codec {self.codec}: write one of {', '.join(CODECS)}")
        require(0 <= self.steady <= 1, f"--steady {self.steady:g}: must be from 0 to 1")
        known = self.every == "auto" or (self.every.isdecimal() and 1 <= int(self.every) <= 24)
        require(known, f"--every {self.every}: write auto, or a number from 1 to 24")
        known = self.on_bad_frame in ON_BAD_FRAME
        require(known, f"--on-bad-frame {self.on_bad_frame}: write {' or '.join(ON_BAD_FRAME)}")
        require(not self.fps or _is_rate(self.fps), f"--fps {self.fps}: write 24, 16.667 or 24000/1001; 1 to 1000")
        known = self.dpx_curve in DPX_CURVES
        require(known, f"--dpx-curve {self.dpx_curve}: write one of {', '.join(DPX_CURVES)}")
        require(self.title_card.replace("\n", "").isprintable(), "--title-card: must be plain text")
        own = self.codec != "auto" and self.master
        require(not own, f"--master and --codec {self.codec}: a master is FFV1; leave one out")

    def decisive(self, numbered: bool) -> dict[str, object]:
        """What goes into the digest of a film file, or of numbered files; what was added later, only where it is asked
        for, and only where it counts."""
        later = ("fps", "sequences", "dpx_curve", "deinterlace", "title_card")
        usual = FilmOptions()
        told = {name: value for name, value in asdict(self).items()
                if name not in later or value != getattr(usual, name)}  # fmt: skip
        idle = ["sequences", *(["deinterlace"] if numbered else ["fps", "dpx_curve"])]  # what is a film is settled
        if not self.in_one_file(numbered):
            idle.append("title_card")
        told = {name: value for name, value in told.items() if name not in idle}
        cuts = self.cuts.read_text(encoding="utf-8") if self.cuts else None
        codec = "h264" if self.codec == "auto" and not numbered else self.codec
        return {**told, "codec": codec, "steady": float(self.steady), "cuts": cuts}

    def in_one_file(self, numbered: bool) -> bool:
        """Whether a film comes out as a file with a picture track, and not as numbered files or a GIF."""
        return self.codec not in ("gif", *STILL_CODECS) and not (numbered and self.codec == "auto" and not self.master)


def _is_rate(text: str) -> bool:
    form = re.fullmatch(r"(\d{1,6})(?:/(\d{1,6})|\.\d{1,6})?", text, re.ASCII)
    return bool(form) and int(form[2] or 1) > 0 and 1 <= Fraction(text) <= 1000 if form else False


@dataclass(frozen=True)
class Shard:
    """One of `count` shares of the inputs: nobody has to divide them, and none need know of the others."""

    index: int
    """From 1 to `count`."""
    count: int

    def __post_init__(self) -> None:
        require(
            1 <= self.index <= self.count, f"--shard {self.index}/{self.count}: must be from 1/{self.count} to "
            f"{self.count}/{self.count}",
        )  # fmt: skip

    def has(self, name: str) -> bool:
        """Whether the picture of this name is in it. The name alone decides, on every machine and in every version of
        Python, so that pictures that are added later move no others."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


DEFAULT_MODEL = "lite"
"""The weights of `run` on every device; `resnet18` once its numbers are at least as good."""
ENGINES = ("torch", "openvino")
PLACES = ("local", "ray")
FORMATS = ("same", "jpeg", "png", "tiff", "webp")


@dataclass(frozen=True)
class Strips:
    """When a TIFF is read, coloured and written strip by strip, and how large a copy of it is held meanwhile."""

    above: float = float("inf")
    """Megapixels, all pages together."""
    short_side: int = 1024
    """Of the reduced copy, in pixels; half the picture's own where that is smaller."""


@dataclass(frozen=True)
class RunOptions:
    """One run over a collection."""

    inputs: tuple[str, ...]
    out: Path
    model: str = DEFAULT_MODEL
    color: ColorOptions = ColorOptions()
    device: str = "auto"
    """Several with commas between them: a process for each. Only the command line (`supervise.drive`) starts these;
    `run.drive` takes one device."""
    precision: str = "auto"
    batch: int = 0
    """The most pictures that go through the network together, on a GPU."""
    workers: int = 0
    """Threads that read, spread and write; 0: one more than there are cores."""
    format: str = "same"
    quality: int = 95
    """Of JPEG and WebP, 1 to 100."""
    suffix: str = ""
    """Added to the stem of every output."""
    recolor: bool = False
    overwrite: bool = False
    limit: int | None = None
    max_megapixels: float = 500
    disclosure: Disclosure = Disclosure()
    strips_above: float = 100
    """Megapixels above which a TIFF is not held in memory."""
    engine: str = "torch"
    """What computes the network: `torch`, or `openvino` on CPUs."""
    redo: Path | None = None
    """Decisions of a review: only what they reject is done, again."""
    confidence: bool = False
    """Tell for each picture how sure its colours are; a second network is asked for it. No colour depends on it."""
    film: FilmOptions = FilmOptions()
    shard: Shard | None = None
    """The share of the inputs to do; None for all."""
    on: str = "local"
    """`local`: this machine; `ray`: a Ray cluster."""
    address: str = ""
    """Of the Ray cluster; empty: one is started on this machine."""
    beside: int = 1
    """Processes of this run on this machine, this one included; they share its cores and its memory."""

    def __post_init__(self) -> None:
        require(bool(self.inputs), "no INPUT given")
        require(self.engine in ENGINES, f"--engine {self.engine}: write one of {', '.join(ENGINES)}")
        require(self.batch >= 0, f"--batch {self.batch}: must be at least 1, or 0 for what the memory allows")
        require(self.workers >= 0, f"--workers {self.workers}: must be 0 (automatic) or more")
        require(self.format in FORMATS, f"--format {self.format}: write one of {', '.join(FORMATS)}")
        require(1 <= self.quality <= 100, f"--quality {self.quality}: must be from 1 to 100")
        require("/" not in self.suffix and "\\" not in self.suffix, f"--suffix {self.suffix}: must not contain a slash")
        require(self.limit is None or self.limit >= 1, f"--limit {self.limit}: must be at least 1")
        require(self.on in PLACES, f"--on {self.on}: write {' or '.join(PLACES)}")
        require(self.on == "ray" or not self.address, f"--address {self.address}: only with --on ray")
        several = "," in self.device
        require(not (several and self.shard), f"--device {self.device}: with --shard, each device takes one of its own")
        require(self.on == "local" or not several, f"--device {self.device}: with --on ray, Ray finds the devices")
        outside = "://" in self.address
        require(not outside, f"--address {self.address}: start it on a machine of the cluster, with --address auto")
        require(self.max_megapixels > 0, f"--max-megapixels {self.max_megapixels:g}: must be above 0")
        require(self.strips_above > 0, f"--strips-above {self.strips_above:g}: must be above 0")

    def strips(self) -> Strips:
        """Only TIFF is written strip by strip. The reduced copy has four times the side that the network sees, twice
        what the choice between one look and tiles needs."""
        above = self.strips_above if self.format in ("same", "tiff") else float("inf")
        return Strips(above, 4 * self.color.size)

    def digest(self) -> str:
        """A hash of everything that decides the bytes of an output, besides source and weights. Device and engine
        are left out: a run that began on one machine may be finished on another."""
        decisive = {
            **self.color.decisive(), **self.disclosure.decisive(), "precision": self.precision, "format": self.format,
            "quality": self.quality, "suffix": self.suffix, "recolor": self.recolor,
            "strips_above": float(self.strips_above),
        }  # fmt: skip
        return _hashed(decisive)

    def film_digest(self, numbered: bool = False, lossy: bool = False) -> str:
        """The same for a film's output.

        Args:
            numbered: its source is numbered files,
            lossy: and of a format that has a quality.
        """
        decisive = {
            **self.film.decisive(numbered), "size": self.color.size,
            "strength": float(self.color.strength), "source_type": self.disclosure.source_type,
            "precision": self.precision, "suffix": self.suffix, "recolor": self.recolor,
        }  # fmt: skip
        if self.disclosure.mark:
            decisive |= {"mark": self.disclosure.mark, "mark_font": str(self.disclosure.mark_font or "")}
        if self.film.title_card and self.film.in_one_file(numbered):
            decisive |= {"mark_font": str(self.disclosure.mark_font or "")}
        own_format = numbered and self.film.codec == "auto" and not self.film.master
        if own_format and lossy and self.quality != RunOptions.quality:
            decisive |= {"quality": self.quality}
        return _hashed(decisive)


def _hashed(decisive: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class FilmEvaluation:
    """A colour film to be coloured from its luma and compared."""

    film: Path
    options: FilmOptions = FilmOptions()
    plot: Path | None = None
    """A PNG to draw mean a and b over time in."""

    def __post_init__(self) -> None:
        require(self.plot is None or self.plot.suffix == ".png", f"--plot {self.plot}: must end in .png")


MEGAPIXELS = (2, 12, 50)


@dataclass(frozen=True)
class BenchOptions:
    """What to measure the speed of."""

    folder: Path | None = None
    """The user's own pictures; None for generated ones."""
    models: tuple[str, ...] = ("lite", "resnet18")
    pictures: int = 12
    """Of each group."""
    megapixels: tuple[int, ...] = MEGAPIXELS
    """Which sizes to generate."""
    device: str = "auto"
    precision: str = "auto"
    engine: str = "torch"
    chart: Path | None = None
    edges: Path | None = None
    """PNGs to draw."""
    flat: int = 0
    """Colour so many small files instead, and open a manifest of a hundred times as many rows."""

    def __post_init__(self) -> None:
        require(bool(self.models), "--model: name at least one")
        require(len(set(self.models)) == len(self.models), "--model: the same model is named twice")
        require(self.engine in ENGINES, f"--engine {self.engine}: write one of {', '.join(ENGINES)}")
        require(self.pictures >= 1, f"--pictures {self.pictures}: must be at least 1")
        known = ", ".join(map(str, MEGAPIXELS))
        fits = bool(self.megapixels) and set(self.megapixels) <= set(MEGAPIXELS)
        require(fits, f"--megapixels {' '.join(map(str, self.megapixels))}: choose among {known}")
        require(self.flat == 0 or self.flat >= 10, f"--flat {self.flat}: must be at least 10 files, or 0 for none")
        for flag, path in (("--chart", self.chart), ("--edges", self.edges)):
            require(path is None or path.suffix == ".png", f"{flag} {path}: must end in .png")


@dataclass(frozen=True)
class CandidateOptions:
    """Which colourings of a picture to show side by side."""

    picture: Path
    out: Path
    models: tuple[str, ...] = ("lite", "resnet18")
    sizes: tuple[int, ...] = (256, 384)
    strengths: tuple[float, ...] = (1.0, 1.4)
    side: int = 360
    """The long side of each on the sheet, pixels."""
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        require(self.out.suffix.lower() == ".png", f"--out {self.out}: must end in .png")
        require(
            bool(self.models and self.sizes and self.strengths), "--model, --size, --strength: name at least one each"
        )
        require(100 <= self.side <= 2000, f"--side {self.side}: must be from 100 to 2000")
        for size in self.sizes:
            ColorOptions(size)
        for strength in self.strengths:
            ColorOptions(strength=strength)


@dataclass(frozen=True)
class ReportOptions:
    """A review page of a run."""

    out: Path
    """The run's output folder."""
    to: Path | None = None
    """The report's folder; None: beside `out`, named after it."""
    view: int = 1000
    """The long side of the pictures in the before/after view, pixels."""
    workers: int = 0
    """Threads that read and reduce; 0: as many as there are cores."""

    def __post_init__(self) -> None:
        require(300 <= self.view <= 8000, f"--view {self.view}: must be from 300 to 8000")
        require(self.workers >= 0, f"--workers {self.workers}: must be 0 (automatic) or more")

    def folder(self) -> Path:
        """Where the report goes."""
        whole = self.out.resolve()
        return self.to or whole.with_name(f"{whole.name}-report")


@dataclass(frozen=True)
class Stage:
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
    ema: float = 0.998
    seed: int = 0
    precision: str = "fp32"
    """`fp32`, `bf16` or `fp16`, already decided."""
    validate_every: int = 8_000
    validation_pictures: int = 256
    validation_size: int = 128
    checkpoint_minutes: float = 4.0
    settings: dict[str, float | str] = field(default_factory=dict)
    """What only this kind of stage knows, for the card."""

    def __post_init__(self) -> None:
        require(self.pictures > 0, f"--pictures {self.pictures}: must be at least 1")
        require(self.batch > 0, f"--batch {self.batch}: must be at least 1")
        require(self.lr > 0, f"--lr {self.lr}: must be above 0")
        require(0 <= self.aging <= 1, f"--aging {self.aging}: must be from 0 to 1")
        require(0 <= self.ema < 1, f"--ema {self.ema}: must be from 0 to below 1")
        require(self.validate_every > 0, f"--validate-every {self.validate_every}: must be at least 1")
        stride = 256 if self.model == "pix2pix" else 32
        for side, share in self.sizes:
            require(
                side % stride == 0,
                f"--sizes {side}: {self.model} needs multiples of {stride}",
            )
            require(share > 0, f"--sizes {side}:{share}: the share must be above 0")


@dataclass(frozen=True)
class Evaluation:
    """What to measure, and on what."""

    data: Path
    models: tuple[str, ...]
    """Names or folders of weights, as `weights.find` takes them."""
    size: int = 256
    """The side of the centre crops."""
    limit: int = 0
    """At most so many pictures, spread evenly over the folder; 0 for all."""
    sheet: Path | None = None
    """A PNG to draw the same few pictures in: grey, by each model, true."""
    compare: bool = False
    """Two models are set side by side: captions on the sheet, differences in the table."""
    precision: str = "fp32"
    """`fp32`, `bf16` or `fp16`, already decided."""

    def __post_init__(self) -> None:
        require(bool(self.models), "--model: name at least one")
        require(len(set(self.models)) == len(self.models), "--model: the same model is named twice")
        require(not self.compare or len(self.models) == 2, "--compare: name exactly two weights, and no --model")
        require(self.size >= 64 and self.size % 32 == 0, f"--size {self.size}: must be a multiple of 32 from 64 on")
        require(self.limit >= 0 and self.limit != 1, f"--limit {self.limit}: must be 2 or more, or 0 for all")
        require(self.sheet is None or self.sheet.suffix == ".png", f"--sheet {self.sheet}: must end in .png")


@dataclass(frozen=True)
class Preview:
    """A sheet of photographs as the network sees them."""

    data: Path
    sheet: Path
    count: int = 8
    times: int = 5
    """How often each photograph is aged."""
    size: int = 192
    """The side of a tile in pixels."""
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.sheet.suffix == ".png", f"--out {self.sheet}: must end in .png")
        require(1 <= self.count <= 100, f"--count {self.count}: must be from 1 to 100")
        require(1 <= self.times <= 100, f"--times {self.times}: must be from 1 to 100")
        require(64 <= self.size <= 1024, f"--size {self.size}: must be from 64 to 1024")
        require(self.seed >= 0, f"--seed {self.seed}: must be 0 or more")


@dataclass(frozen=True)
class Search:
    """A look for the learning rate of a pre-training."""

    stage: Stage
    """Of its sizes, the first is used."""
    encoder: str = "imagenet"
    chroma_weight: float = 0.5
    steps: int = 100
    plot: Path | None = None

    def __post_init__(self) -> None:
        require(20 <= self.steps <= 10_000, f"--steps {self.steps}: must be from 20 to 10000")
        require(self.chroma_weight >= 0, f"--chroma-weight {self.chroma_weight:g}: must be 0 or more")
        require(self.plot is None or self.plot.suffix == ".png", f"--plot {self.plot}: must end in .png")


@dataclass(frozen=True)
class Appearance:
    """What counts of the painted picture beside L1 on ab (`training.appearance`); a part of weight 0 is left out."""

    feature_weight: float = 0.0
    """Of the distances between what EfficientNet-Lite0 sees in the painted and in the true picture."""
    psnr_weight: float = 0.0
    """Of each dB of PSNR; 0.01 of L1, in the network's range, is about worth one."""
    colour_weight: float = 0.0
    """Of the squared shortfall of colourfulness below `colour_target`."""
    colour_target: float = 0.9
    """Colourfulness ÷ the truth's."""

    def __post_init__(self) -> None:
        for name in ("feature_weight", "psnr_weight", "colour_weight"):
            value = getattr(self, name)
            require(value >= 0, f"--{name.replace('_', '-')} {value:g}: must be 0 or more")
        require(0 < self.colour_target <= 1.5, f"--colour-target {self.colour_target:g}: must be above 0, at most 1.5")

    @property
    def needed(self) -> bool:
        """Whether anything of it counts."""
        return any((self.feature_weight, self.psnr_weight, self.colour_weight))

    def settings(self) -> dict[str, float | str]:
        """For the recipe on the card: what counts, and nothing of the rest."""
        parts = {"feature_weight": self.feature_weight, "psnr_weight": self.psnr_weight}
        colour = {"colour_weight": self.colour_weight, "colour_target": self.colour_target}
        return {**{name: value for name, value in parts.items() if value}, **(colour if self.colour_weight else {})}


TEACHERS = ("none", "lite0")


@dataclass(frozen=True)
class Teaching:
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
        require(0 < self.soft_weight <= 1, f"--soft-weight {self.soft_weight}: must be above 0 and at most 1")
        both = bool(self.weight and self.soft_target)
        require(not both, "--teacher-weight: does not go with --soft-target; leave one of them out")

    def settings(self) -> dict[str, float | str]:
        """For the recipe on the card: what was asked for, and nothing of the rest."""
        beside: dict[str, float | str] = {}
        if self.soft_target:
            beside = {"soft_target": self.soft_target, "soft_weight": self.soft_weight}
        if self.teacher == "none":
            return beside
        sizes = ",".join(f"{side}:{share:g}" for side, share in self.sizes)
        return {
            "teacher": self.teacher, "teacher_pictures": self.pictures, "teacher_sizes": sizes,
            "teacher_lr": self.lr, "teacher_weight": self.weight, **beside,
        }  # fmt: skip


GANS = ("vanilla", "lsgan", "hinge")
DISCRIMINATORS = ("spectral", "batchnorm", "features")


@dataclass(frozen=True)
class StopWhen:
    """Limits of a validation: outside them a training counts as collapsed."""

    l1: float = 1.2
    """The most that L1 may be, as a multiple of the start's."""
    colour_low: float = 0.6
    """The least that colourfulness ÷ truth's may be, once it was well above (`gan.Guard`)."""
    colour_high: float = 1.15

    def __post_init__(self) -> None:
        require(self.l1 > 1, f"--stop-when l1:{self.l1:g}: must be above 1")
        low, high = self.colour_low, self.colour_high
        require(0 <= low < high, f"--stop-when colour:{low:g}-{high:g}: must be LOW-HIGH with 0 <= LOW < HIGH")


@dataclass(frozen=True)
class Adversarial:
    """How a U-Net and a discriminator learn against each other."""

    gan: str = "vanilla"
    l1_weight: float = 20.0
    """Of L1 on ab (in the network's range) beside the GAN loss. pix2pix has 100; against the bounded slopes of the
    spectral discriminator that leaves the U-Net as timid as it was."""
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
    appearance: Appearance = Appearance()

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
        return self.discriminator == "features" or self.appearance.feature_weight > 0

    def settings(self) -> dict[str, float | str]:
        """For the recipe on the card."""
        stop = self.stop_when
        limits = f"l1:{stop.l1:g},colour:{stop.colour_low:g}-{stop.colour_high:g}" if stop else "never"
        return {
            "gan": self.gan, "l1_weight": self.l1_weight, "chroma_weight": self.chroma_weight, "lr_d": self.lr_d,
            "warmup": self.warmup, "discriminator": self.discriminator, "stop_when": limits,
            **self.appearance.settings(),
        }  # fmt: skip


def validation_side(model: str, sizes: tuple[tuple[int, float], ...] = ()) -> int:
    """The side that validations look at: the largest that is trained at, from 128 to 256; pix2pix knows only 256.

    At 128 a training there can seem to win what it has not won at 256, where weights are used: measured, see
    weights/LOG.md, run 13.
    """
    return 256 if model == "pix2pix" else min(256, max([128, *(side for side, _ in sizes)]))


def parse_shard(text: str) -> Shard | None:
    """`3/8` -> Shard(3, 8); nothing -> None.

    Raises:
        UsageError: it is not of this form.
    """
    if text == "":
        return None
    form = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    if not form:
        raise UsageError(f"--shard {text}: write I/N, for example 3/8 for the third of eight")
    return Shard(int(form[1]), int(form[2]))


def parse_stop_when(text: str) -> StopWhen | None:
    """`l1:1.2,colour:0.6-1.15` -> StopWhen(1.2, 0.6, 1.15); `never` -> None.

    Raises:
        UsageError: it is not of this form.
    """
    if text == "never":
        return None
    form = re.fullmatch(r"l1:([\d.]+),colour:([\d.]+)-([\d.]+)", text)
    try:
        l1, low, high = (float(number) for number in (form.groups() if form else ()))
    except ValueError:
        raise UsageError(f"--stop-when {text!r}: write never, or for example l1:1.2,colour:0.6-1.15") from None
    return StopWhen(l1, low, high)


def parse_hint(text: str) -> Hint:
    """`120,80,#aa3322` -> Hint(120, 80, "#aa3322").

    Raises:
        UsageError: it is not of this form.
    """
    form = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*#?([0-9a-fA-F]{6})\s*", text)
    if not form:
        raise UsageError(
            f"--hint {text!r}: write x,y,#rrggbb in pixels of the upright picture, for example 120,80,#3a5f8b"
        )
    return Hint(int(form[1]), int(form[2]), f"#{form[3].lower()}")


def parse_sizes(text: str) -> tuple[tuple[int, float], ...]:
    """`112:0.85,160:0.12,224:0.03` or `256` -> ((128, 0.85), (192, 0.12), (256, 0.03)) or ((256, 1.0),).

    Raises:
        UsageError: it is not of this form.
    """
    try:
        pairs = [part.split(":") for part in text.split(",")]
        sizes = tuple((int(p[0]), float(p[1]) if len(p) > 1 else 1.0) for p in pairs)
    except (ValueError, IndexError):
        raise UsageError(f"--sizes {text!r}: write side:share pairs, for example 128:0.85,256:0.15") from None
    total = sum(share for _, share in sizes)
    require(abs(total - 1) < 1e-6, f"--sizes {text!r}: the shares add up to {total:g}, not to 1")
    return sizes
