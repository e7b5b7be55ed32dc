"""What a result says of where its colours come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from archivecolor.options.require import require

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
