"""What films need beyond photographs."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

from archivecolor.options.require import require

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
