"""A run as a whole."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from archivecolor.errors import UsageError
from archivecolor.options.compute import ColorizerOptions
from archivecolor.options.disclosure import Disclosure
from archivecolor.options.film import Codec, FilmOptions
from archivecolor.options.require import require
from archivecolor.options.table import Choice, Digest, Option, above, at_least, between

DEFAULT_MODEL = "lite"
"""The weights of `run` on every device. This becomes `resnet18` when its numbers are at least as good."""


class OutputFormat(Choice):
    SAME = "same"
    JPEG = "jpeg"
    PNG = "png"
    TIFF = "tiff"
    WEBP = "webp"

    @classmethod
    def _missing_(cls, value: object) -> OutputFormat | None:
        """`jpg` and `tif`, as files are called, are known too."""
        short = {"jpg": cls.JPEG, "tif": cls.TIFF}
        return (
            short.get(value.lower()) if isinstance(value, str) and value.lower() in short else super()._missing_(value)
        )


class Place(Choice):
    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True)
class Shard:
    """One of `count` shares of the inputs. Each share is known by its number alone; nobody has to divide the inputs."""

    index: int
    """From 1 to `count`."""
    count: int

    def __post_init__(self) -> None:
        first, last = f"1/{self.count}", f"{self.count}/{self.count}"
        inside = 1 <= self.index <= self.count
        require(inside, f"--shard {self.index}/{self.count}: must be from {first} to {last}")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def has(self, name: str) -> bool:
        """Whether the picture of this name is in the share. The name alone decides, on every machine and in every
        version of Python, so pictures that are added later move no others."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


def parse_shard(text: str) -> Shard | None:
    """`3/8` -> Shard(3, 8); empty -> None.

    Raises:
        UsageError: it is not of this form.
    """
    if text == "":
        return None
    form = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    if not form:
        raise UsageError(f"--shard {text}: write I/N, for example 3/8 for the third of eight")
    return Shard(int(form[1]), int(form[2]))


ACCESS_FORMATS = {"jpg": "jpeg", "webp": "webp", "png": "png", "jp2": "jp2", "tif": "tiff"}
"""What --access calls a format -> its name."""
_FULL_SIZE_FORMS = {"jp2": "jp2", "tif:pyramid": "tif"}
"""Forms for image servers -> their formats."""


@dataclass(frozen=True)
class AccessForm:
    """A kind of copies for the web."""

    format: str
    """A key of ACCESS_FORMATS, which is also the suffix."""
    side: int = 0
    """The long side at most, in pixels; 0: as large as the picture."""

    @property
    def is_tiled(self) -> bool:
        """Whether it is for image servers, in tiles and levels."""
        return self.side == 0

    def __str__(self) -> str:
        whole = {format: form for form, format in _FULL_SIZE_FORMS.items()}
        return f"{self.format}:{self.side}" if self.side else whole[self.format]


def parse_access(text: str) -> AccessForm:
    """`jpg:2000` -> AccessForm("jpg", 2000), `tif:pyramid` -> AccessForm("tif").

    Raises:
        UsageError: it is not of this form.
    """
    if text.lower() in _FULL_SIZE_FORMS:
        return AccessForm(_FULL_SIZE_FORMS[text.lower()])
    form = re.fullmatch(r"(jpg|webp|png|jp2):(\d{2,5})", text.lower(), re.ASCII)
    if not form or not 16 <= int(form[2]) <= 16383:
        known = ", ".join(f"{name}:2000" for name in ACCESS_FORMATS if name != "tif")
        raise UsageError(
            f"--access {text}: write a format and its long side in pixels, 16 to 16383: {known}; or "
            f"{' or '.join(_FULL_SIZE_FORMS)}, as large as the picture"
        )
    return AccessForm(form[1], int(form[2]))


@dataclass(frozen=True)
class Strips:
    """When a TIFF is read, coloured and written strip by strip, and how large its reduced copy in memory is."""

    above: float = float("inf")
    """Megapixels of all pages together."""
    short_side: int = 1024
    """Of the reduced copy, in pixels; half the picture's own short side where that is smaller."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(ColorizerOptions):
    """One run over a collection."""

    HEADING: ClassVar[str] = "What"

    inputs: Annotated[
        tuple[str, ...],
        Option(
            "Files, folders, patterns (*.tif, frame_%06d.dpx), @list.txt, or - for a list or a picture on stdin.",
            metavar="INPUT...",
            positional=True,
        ),
    ]
    out: Annotated[
        Path,
        Option(
            "Folder for the coloured tree and its manifest.jsonl; for one picture also a file, or - for stdout.",
            short="-o",
        ),
    ]
    model: Annotated[str, Option("Weights: lite, slim, resnet18, or a folder.", metavar="NAME", heading="Colours")] = (
        DEFAULT_MODEL
    )
    device: Annotated[
        str,
        Option(
            "auto, cpu, cuda or cuda:N; several with commas between them: one process for each.",
            metavar="DEVICE",
            heading="Machines",
        ),
    ] = "auto"
    """Only the command line starts several processes (`multi_device.drive`); `runner.drive` takes one device."""
    workers: Annotated[
        int,
        Option(
            "Threads that read, merge and write; 0: one more than there are cores.",
            check=at_least(0),
            heading="Machines",
        ),
    ] = 0
    format: Annotated[OutputFormat, Option("Format of the outputs.", digest=Digest.PHOTO, heading="Photographs")] = (
        OutputFormat.SAME
    )
    quality: Annotated[
        int,
        Option(
            "Quality of JPEG and WebP, 1 to 100.", check=between(1, 100), digest=Digest.PHOTO, heading="Photographs"
        ),
    ] = 95
    suffix: Annotated[
        str, Option("Added to the stem of every output's name, for example _color.", digest=Digest.BOTH, rare=True)
    ] = ""
    recolor: Annotated[bool, Option("Also colour pictures that are in colour already.", digest=Digest.BOTH)] = False
    overwrite: Annotated[
        bool, Option("Colour everything again, and replace files that this program did not make.", rare=True)
    ] = False
    copy_xmp: Annotated[
        bool,
        Option("Copy the .xmp file beside a picture (photo.xmp, photo.jpg.xmp) beside its output.", rare=True),
    ] = False
    access: Annotated[
        tuple[AccessForm, ...],
        Option(
            "Also write a small copy in sRGB, OUT/access/jpg-2000/..., with a long side of 2000 pixels at most; or a "
            "large one in tiles for image servers (tif:pyramid, jp2). May be repeated (webp:1200).",
            metavar="jpg:2000",
            heading="Photographs",
            parse=parse_access,
        ),
    ] = ()
    shard: Annotated[
        Shard | None,
        Option(
            "Colour only the I-th of N shares; other machines take the others, then run manifest merge.",
            metavar="I/N",
            heading="Machines",
            rare=True,
            parse=parse_shard,
        ),
    ] = None
    on: Annotated[
        Place, Option("Where to run: local is this machine, ray a Ray cluster.", heading="Machines", rare=True)
    ] = Place.LOCAL
    address: Annotated[
        str,
        Option(
            "Address of the Ray cluster, or auto; without it, a cluster is started on this machine.",
            heading="Machines",
            rare=True,
        ),
    ] = ""
    exclude: Annotated[
        tuple[str, ...],
        Option(
            "Skip files and folders with such a name (*_thumb.jpg), or path below INPUT (1920/*). May be repeated.",
            metavar="GLOB",
        ),
    ] = ()
    include: Annotated[
        tuple[str, ...],
        Option(
            "Do not skip these, although --exclude or the list of system folders (@eaDir, #recycle, ...) names them. "
            "May be repeated.",
            metavar="GLOB",
            rare=True,
        ),
    ] = ()
    limit: Annotated[int | None, Option("Only the first N pictures.", metavar="N", check=at_least(1))] = None
    max_megapixels: Annotated[
        float, Option("Refuse larger pictures before decoding them.", check=above(0), heading="Photographs", rare=True)
    ] = 500
    decode_timeout: Annotated[
        float,
        Option(
            "Give up a photograph whose decoding takes longer than this; 0: never.",
            metavar="SECONDS",
            check=above(0).or_zero("for no limit"),
            heading="Photographs",
            rare=True,
        ),
    ] = 1800
    """Enforced by the process that watches the working process (`execution/supervise`), so only on the command line: a
    decoder that hangs cannot be stopped from within."""
    redo: Annotated[
        Path | None, Option("decisions.json of a review: colour again the pictures that it rejects, and no others.")
    ] = None
    strips_above: Annotated[
        float,
        Option(
            "Colour TIFFs above this many megapixels strip by strip instead of holding them in memory.",
            check=above(0),
            heading="Photographs",
            rare=True,
            digest=Digest.PHOTO,
        ),
    ] = 100
    disclosure: Disclosure = Disclosure()
    film: FilmOptions = FilmOptions()
    local_processes: int = 1
    """Processes of this run on this machine, this one included. They share its cores and its memory."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.inputs), "no INPUT given")
        require("/" not in self.suffix and "\\" not in self.suffix, f"--suffix {self.suffix}: must not contain a slash")
        require(self.on == Place.RAY or not self.address, f"--address {self.address}: only with --on ray")
        several = "," in self.device
        require(not (several and self.shard), f"--device {self.device}: with --shard, each device takes one of its own")
        require(self.on == Place.LOCAL or not several, f"--device {self.device}: with --on ray, Ray finds the devices")
        outside = "://" in self.address
        require(not outside, f"--address {self.address}: start it on a machine of the cluster, with --address auto")

    def strips(self) -> Strips:
        """Only TIFF is written strip by strip. The reduced copy has four times the side that the network sees: twice
        what the choice between the whole picture and tiles needs."""
        above = self.strips_above if self.format in (OutputFormat.SAME, OutputFormat.TIFF) else float("inf")
        return Strips(above, 4 * self.color.size)

    def digest(self) -> str:
        """A hash of everything that decides the bytes of a photograph's output, besides source and weights. Device and
        engine are left out: a run that began on one machine may be finished on another."""
        return _hashed(
            {
                name: value
                for group in (self, self.color, self.disclosure)
                for name, value in group.digest_fields(Digest.PHOTO).items()
            }
        )

    def film_digest(self, numbered: bool = False, lossy: bool = False) -> str:
        """The same for a film's output.

        Args:
            numbered: its source is numbered files,
            lossy: of a format that has a quality.
        """
        values = self.digest_fields(Digest.FILM) | self.color.digest_fields(Digest.FILM)
        values |= self.disclosure.digest_fields(Digest.FILM) | self.film.digest_fields(Digest.FILM, numbered)
        if self.film.title_card and self.film.in_one_file(numbered):
            values |= {"mark_font": str(self.disclosure.mark_font or "")}
        keeps_format = numbered and self.film.codec == Codec.AUTO and not self.film.master
        if keeps_format and lossy and self.quality != RunOptions.quality:
            values |= {"quality": self.quality}
        return _hashed(values)


def _hashed(values: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
