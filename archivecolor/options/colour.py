"""How colours are found and applied: what all pictures of a run share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, ClassVar

from archivecolor.errors import UsageError
from archivecolor.options.require import require
from archivecolor.options.table import Choice, Digest, Option, Options, between


class Tiles(Choice):
    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True)
class Hint:
    """A colour that a person pins to a place."""

    x: int
    """Pixels from the left of the upright picture."""
    y: int
    """Pixels from its top."""
    colour: str
    """`#rrggbb`. Its hue and chroma count; the picture keeps its own lightness."""
    seconds: Fraction | None = None
    """Of a film: after its first frame. None for a photograph."""

    def __post_init__(self) -> None:
        require(self.x >= 0 and self.y >= 0, f"--hint {self}: x and y must be 0 or more")
        require(bool(re.fullmatch("#[0-9a-f]{6}", self.colour)), f"--hint {self}: the colour must be like #3a5f8b")

    def __str__(self) -> str:
        time = "" if self.seconds is None else f"{float(self.seconds):g}:"
        return f"{time}{self.x},{self.y},{self.colour}"


_TIME = r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?):"


def parse_hint(text: str) -> Hint:
    """`120,80,#aa3322` -> Hint(120, 80, "#aa3322"); with a time before it (`83.5:`, `1:23.5:` or `0:01:23.5:`), that of
    a film.

    Raises:
        UsageError: it is not of this form.
    """
    form = re.fullmatch(rf"\s*(?:{_TIME})?\s*(\d+)\s*,\s*(\d+)\s*,\s*#?([0-9a-fA-F]{{6}})\s*", text, re.ASCII)
    if not form:
        raise UsageError(
            f"--hint {text!r}: write x,y,#rrggbb in pixels of the upright picture, for example 120,80,#3a5f8b; for a "
            "film with the time before it, 1:23.5:120,80,#3a5f8b"
        )
    seconds = None if form[3] is None else Fraction(form[3]) + 60 * int(form[2] or 0) + 3600 * int(form[1] or 0)
    return Hint(int(form[4]), int(form[5]), f"#{form[6].lower()}", seconds)


@dataclass(frozen=True)
class Region:
    """A rectangle of the upright picture, in pixels."""

    x: int
    """Its left column."""
    y: int
    """Its upper row."""
    width: int
    height: int

    def __post_init__(self) -> None:
        require(self.x >= 0 and self.y >= 0, f"--keep-neutral {self}: x and y must be 0 or more")
        require(self.width > 0 and self.height > 0, f"--keep-neutral {self}: width and height must be above 0")

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}"


def parse_region(text: str) -> Region:
    """`120,80,400,60` -> Region(120, 80, 400, 60).

    Raises:
        UsageError: it is not of this form.
    """
    form = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", text, re.ASCII)
    if not form:
        raise UsageError(
            f"--keep-neutral {text!r}: write x,y,width,height in pixels of the upright picture, like 0,900,600,80"
        )
    x, y, width, height = map(int, form.groups())
    return Region(x, y, width, height)


@dataclass(frozen=True)
class Palette:
    """The colours of a reference picture, as statistics (`reference_palette.read_palette` measures them)."""

    name: str
    sha256: str
    """Of the reference's file."""
    classes: tuple[tuple[float, ...], ...]
    """For each class of lightness: mean a, mean b, var a, cov ab, var b."""
    strength: float = 1.0
    """How far colours move towards the reference's, 0 to 1."""

    def __post_init__(self) -> None:
        require(0 <= self.strength <= 1, f"--palette-strength {self.strength:g}: must be from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class ColorOptions(Options):
    """What decides the colours of a picture, besides the weights."""

    HEADING: ClassVar[str] = "Colours"

    size: Annotated[
        int,
        Option("The network sees about SIZE x SIZE pixels.", check=between(64, 2048), digest=Digest.BOTH, rare=True),
    ] = 256
    strength: Annotated[float, Option("Multiplies the chroma, 0 to 2.", check=between(0, 2), digest=Digest.BOTH)] = 1.0
    warmth: Annotated[
        float,
        Option(
            "Makes all colours warmer, up to 1, or cooler, down to -1; grey stays grey.",
            check=between(-1, 1),
            digest=Digest.BOTH,
            digest_only_if_changed=True,
            rare=True,
        ),
    ] = 0.0
    tiles: Annotated[
        Tiles,
        Option(
            "Whether overlapping tiles are coloured one by one; auto: for panoramas and rich detail.",
            digest=Digest.PHOTO,
            rare=True,
        ),
    ] = Tiles.AUTO
    palette: Palette | None = None
    """The pictures' colours are moved towards these."""
    hints: Annotated[
        tuple[Hint, ...],
        Option(
            "Pin a colour to a pixel of one upright picture; it spreads up to the edges around it. In a film, "
            "pin it in the frame at TIME (1:23.5); it follows the motion. May be repeated.",
            flag="--hint",
            metavar="[TIME:]X,Y,#RRGGBB",
            parse=parse_hint,
        ),
    ] = ()
    neutral: Annotated[
        tuple[Region, ...],
        Option(
            "Leave a rectangle of one upright picture without colour: a caption, a stamp, a frame. May be repeated.",
            flag="--keep-neutral",
            metavar="X,Y,W,H",
            parse=parse_region,
        ),
    ] = ()
    mirror: Annotated[
        bool,
        Option(
            "Colour the mirror image too, and average both: steadier colours, twice the network's time.",
            digest=Digest.PHOTO,
            digest_only_if_changed=True,
            rare=True,
        ),
    ] = False
    whole_sheet: Annotated[
        bool,
        Option(
            "Colour mounts, plain borders and grey scales too, and each half of a stereo pair by itself.",
            digest=Digest.PHOTO,
            digest_only_if_changed=True,
            rare=True,
        ),
    ] = False

    def guidance(self) -> tuple[str, ...]:
        """What a person said about the colours, for the record."""
        words = []
        if self.palette:
            source = f"{self.palette.name} (sha256 {self.palette.sha256})"
            words.append(f"palette of {source}, strength {self.palette.strength:g}")
        words += [f"colour {hint.colour} pinned at {hint.x},{hint.y}" for hint in self.photo_hints]
        regions = (f"{one.width} x {one.height} pixels at {one.x},{one.y}" for one in self.neutral)
        return (*words, *(f"no colour in {region}" for region in regions))

    @property
    def photo_hints(self) -> tuple[Hint, ...]:
        """The hints on a photograph."""
        return tuple(hint for hint in self.hints if hint.seconds is None)

    @property
    def film_hints(self) -> tuple[Hint, ...]:
        """The hints on a film."""
        return tuple(hint for hint in self.hints if hint.seconds is not None)

    def film_guidance(self) -> tuple[str, ...]:
        """What a person said about the colours of a film, for the record."""
        return tuple(
            f"colour {hint.colour} pinned at {hint.x},{hint.y} of the frame at {float(hint.seconds or 0):g} s"
            for hint in self.film_hints
        )

    def of_one_picture(self) -> tuple[str, ...]:
        """The flags in use that name places, which only one picture has."""
        flags = {"--hint": self.hints, "--keep-neutral": self.neutral}
        return tuple(flag for flag, places in flags.items() if places)

    def digest_fields(self, kind: Digest) -> dict[str, object]:
        """Guidance is part of a photograph's digest only where there is some: finished runs were made before it
        existed."""
        guidance = list(self.guidance() if kind & Digest.PHOTO else self.film_guidance())
        return super().digest_fields(kind) | ({"guidance": guidance} if guidance else {})


@dataclass(frozen=True, kw_only=True)
class ReferenceOptions(Options):
    """A reference picture, before its palette is measured."""

    HEADING: ClassVar[str] = "Colours"

    palette: Annotated[Path | None, Option("Colour photograph; the pictures' colours are moved towards its.")] = None
    palette_strength: Annotated[
        float, Option("How far colours move towards those of --palette, 0 to 1.", check=between(0, 1), rare=True)
    ] = 0.7
