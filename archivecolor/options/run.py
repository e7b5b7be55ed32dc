"""A run as a whole, and the verbs around it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from archivecolor.errors import UsageError
from archivecolor.options.colour import ColorOptions
from archivecolor.options.disclosure import Disclosure
from archivecolor.options.film import FilmOptions
from archivecolor.options.require import require


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
    """Tell for each picture how sure its colours are; the network looks at it twice. No colour depends on it."""
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
