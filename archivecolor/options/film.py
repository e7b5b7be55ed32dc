"""What films need beyond photographs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, ClassVar

from archivecolor.options.require import require
from archivecolor.options.table import Choice, Digest, Option, Options, between


class Codec(Choice):
    AUTO = "auto"
    H264 = "h264"
    H265 = "h265"
    AV1 = "av1"
    PRORES = "prores"
    GIF = "gif"
    DPX = "dpx"
    TIFF = "tiff"
    PNG = "png"


STILL_CODECS = (Codec.DPX, Codec.TIFF, Codec.PNG)
"""These write one file for each frame."""


class OnBadFrame(Choice):
    REPEAT = "repeat"
    GREY = "grey"


class DpxCurve(Choice):
    AUTO = "auto"
    LOG = "log"
    LINEAR = "linear"
    VIDEO = "video"


@dataclass(frozen=True, kw_only=True)
class FilmOptions(Options):
    """What decides how a film is coloured and written, besides `ColorOptions`."""

    HEADING: ClassVar[str] = "Films"

    codec: Annotated[
        Codec,
        Option(
            "Codec of films; dpx, tiff and png write one file for each frame. auto: numbered files stay numbered "
            "files, other films become h264.",
            metavar="CODEC",
            digest=Digest.FILM,
        ),
    ] = Codec.AUTO
    master: Annotated[
        bool,
        Option("Write films as FFV1 with full chroma in Matroska; luma is kept bit for bit.", digest=Digest.FILM),
    ] = False
    steady: Annotated[
        float,
        Option(
            "How steady a film's colours are over time: 0 colours each frame by itself, 1 smooths along all motion.",
            check=between(0, 1),
            rare=True,
            digest=Digest.FILM,
        ),
    ] = 1.0
    every: Annotated[
        str,
        Option(
            "N: the network sees every Nth frame; auto: as few as keep the measured colour error under the limit.",
            metavar="auto|N",
            rare=True,
            digest=Digest.FILM,
        ),
    ] = "auto"
    cuts: Annotated[
        Path | None,
        Option(
            "Text file with the first frame of each shot; without it, cuts are detected.", rare=True, digest=Digest.FILM
        ),
    ] = None
    references: Annotated[
        Path | None,
        Option(
            "Folder of frames that a person coloured (000123.png, 00-01-23.456.jpg, or any name); the film keeps to "
            "them. `archivecolor frames` makes frames to begin with.",
            metavar="DIR",
            digest=Digest.FILM,
            digest_only_if_changed=True,
        ),
    ] = None
    on_bad_frame: Annotated[
        OnBadFrame,
        Option(
            "What replaces a frame that cannot be decoded: the last good frame, or grey.", rare=True, digest=Digest.FILM
        ),
    ] = OnBadFrame.REPEAT
    fps: Annotated[
        str,
        Option(
            "Frames per second of numbered files, for example 18, 23.976 or 24000/1001; without it, what their "
            "headers say, or 24.",
            metavar="RATE",
            digest=Digest.FILM,
            digest_only_if_changed=True,
        ),
    ] = ""
    sequences: Annotated[
        bool, Option("Treat numbered pictures in folders as the frames of films; DPX files always are.")
    ] = False
    dpx_curve: Annotated[
        DpxCurve,
        Option(
            "What DPX codes stand for: printing density (log), light (linear) or video; auto: what the headers say.",
            rare=True,
            digest=Digest.FILM,
            digest_only_if_changed=True,
        ),
    ] = DpxCurve.AUTO
    deinterlace: Annotated[
        bool,
        Option(
            "Make interlaced films progressive; without it, they stay interlaced.",
            rare=True,
            digest=Digest.FILM,
            digest_only_if_changed=True,
        ),
    ] = False
    drop_audio: Annotated[
        bool,
        Option(
            "Leave all sound out; without it, a film whose sound cannot be kept is not coloured.",
            digest=Digest.FILM,
            digest_only_if_changed=True,
        ),
    ] = False
    title_card: Annotated[
        str,
        Option(
            "Show a card for five seconds before a film, to say that its colour is invented; auto: the usual words.",
            metavar="TEXT",
            digest=Digest.FILM,
            digest_only_if_changed=True,
        ),
    ] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.every == "auto" or (self.every.isdecimal() and 1 <= int(self.every) <= 24)
        require(known, f"--every {self.every}: write auto, or a number from 1 to 24")
        require(not self.fps or _is_rate(self.fps), f"--fps {self.fps}: write 24, 16.667 or 24000/1001; 1 to 1000")
        require(self.title_card.replace("\n", "").isprintable(), "--title-card: must be plain text")
        both = self.codec != Codec.AUTO and self.master
        require(not both, f"--master and --codec {self.codec}: a master is FFV1; leave one out")

    def digest_fields(self, kind: Digest, numbered: bool = False) -> dict[str, object]:
        """What goes into the digest of a film file, or of numbered files: only what has an effect there."""
        unused = ["deinterlace"] if numbered else ["fps", "dpx_curve"]
        if not self.in_one_file(numbered):
            unused += ["title_card", "drop_audio"]
        plain = {name: value for name, value in super().digest_fields(kind).items() if name not in unused}
        if "references" in plain:  # as `attempt.identity_of` writes it, by the content of the folder
            plain["references"] = str(self.references)
        if kind is Digest.FILM:
            plain["cuts"] = self.cuts.read_text(encoding="utf-8") if self.cuts else None
            plain["codec"] = Codec.H264 if self.codec == Codec.AUTO and not numbered else self.codec
        return plain

    def in_one_file(self, numbered: bool) -> bool:
        """Whether the film is written as one file with a picture track, not as numbered files or a GIF."""
        if self.codec == Codec.AUTO:
            return self.master or not numbered
        return self.codec not in (Codec.GIF, *STILL_CODECS)


def _is_rate(text: str) -> bool:
    form = re.fullmatch(r"(\d{1,6})(?:/(\d{1,6})|\.\d{1,6})?", text, re.ASCII)
    return bool(form) and int(form[2] or 1) > 0 and 1 <= Fraction(text) <= 1000 if form else False
