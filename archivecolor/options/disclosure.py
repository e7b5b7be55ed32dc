"""Options for what an output says about its colours."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar

from archivecolor.options.require import require
from archivecolor.options.table import Digest, Option, Options


class SourceType(StrEnum):
    """The terms of IPTC's vocabulary `digitalsourcetype` that fit a picture with added colour."""

    COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA = "compositeWithTrainedAlgorithmicMedia"
    ALGORITHMICALLY_ENHANCED = "algorithmicallyEnhanced"
    TRAINED_ALGORITHMIC_MEDIA = "trainedAlgorithmicMedia"
    COMPOSITE_SYNTHETIC = "compositeSynthetic"
    COMPOSITE = "composite"
    ALGORITHMIC_MEDIA = "algorithmicMedia"
    DATA_DRIVEN_MEDIA = "dataDrivenMedia"


OTHER_SOURCE_TYPES = (
    "digitalCapture",
    "computationalCapture",
    "multiFrameComputationalCapture",
    "negativeFilm",
    "positiveFilm",
    "print",
    "humanEdits",
    "minorHumanEdits",
    "compositeCapture",
    "digitalCreation",
    "digitalArt",
    "softwareImage",
    "virtualRecording",
    "screenCapture",
)
"""Its other terms. All of them say, or suggest, that the colour was captured or made by hand."""


@dataclass(frozen=True, kw_only=True)
class Disclosure(Options):
    """How an output states that its colour was added."""

    HEADING: ClassVar[str] = "Disclosure"

    source_type: Annotated[
        SourceType,
        Option(
            "IPTC's term for the outputs, for example algorithmicallyEnhanced.",
            flag="--digital-source-type",
            metavar="TERM",
            rare=True,
            digest=Digest.BOTH,
        ),
    ] = SourceType.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA
    mark: Annotated[
        str,
        Option("Burn a small line of text into a corner; auto: the usual words.", metavar="TEXT", digest=Digest.PHOTO),
    ] = ""
    mark_font: Annotated[
        Path | None, Option("TrueType or OpenType font for --mark, for letters beyond English.", rare=True)
    ] = None
    sidecar: Annotated[
        bool, Option("Write NAME.json beside each output, with everything that is needed to make it again.")
    ] = True
    c2pa: Annotated[str, Option("Sign content credentials with these two PEM files.", metavar="CERT,KEY")] = ""

    def __post_init__(self) -> None:
        require(
            self.source_type not in OTHER_SOURCE_TYPES,
            f"--digital-source-type {self.source_type}: it would hide that the colour was added; write one of "
            f"{', '.join(SourceType)}",
        )
        super().__post_init__()
        require(self.mark.isprintable(), "--mark: must be one line of text")
        require(
            self.c2pa == "" or len(self.c2pa.split(",")) == 2, f"--c2pa {self.c2pa}: write the two files as CERT,KEY"
        )

    def digest_fields(self, kind: Digest) -> dict[str, object]:
        """A font counts only with a mark. Every signature is new, so only whether there is one counts."""
        plain = super().digest_fields(kind)
        font = str(self.mark_font) if self.mark and self.mark_font else ""
        if kind is Digest.PHOTO:
            return plain | {"mark_font": font, "c2pa": bool(self.c2pa)}
        return plain | ({"mark": self.mark, "mark_font": font} if self.mark else {})
