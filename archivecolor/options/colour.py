"""How colours are found and laid on: what all pictures of a run share."""

from __future__ import annotations

import re
from dataclasses import dataclass

from archivecolor.errors import UsageError
from archivecolor.options.require import require


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
