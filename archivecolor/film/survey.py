"""The first look at a whole film: every time stamp, the shots, the exposure of each frame, and whether it is in colour.

It costs a decoding, a few per cent of the work, and is kept in the film's work folder, so that a resumed run has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np

from archivecolor.film.header import Film
from archivecolor.film.planes import lightness_table
from archivecolor.film.read import Frame
from archivecolor.film.shots import DETECT_HEIGHT, ShotFinder, shots
from archivecolor.film.source import Source, frames_of
from archivecolor.imaging import luminance
from archivecolor.imaging.arrays import Samples

COLOUR_EVERY = 24
"""Frames between two looks at whether the film is in colour."""


@dataclass(frozen=True)
class Segment:
    """Frames [start, end) of one shot [shot_start, shot_end); the piece of the film that is written as a whole."""

    number: int
    start: int
    end: int
    shot_start: int
    shot_end: int

    def reach(self, ahead: int) -> int:
        """One past the last frame that is looked at for this segment."""
        return min(self.end + ahead, self.shot_end)


@dataclass(frozen=True)
class Survey:
    """What was found; lists hold one value per frame."""

    pts: list[int] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    """Mean L* of the frame."""
    contrast: list[float] = field(default_factory=list)
    """Standard deviation of its L*."""
    cuts: list[int] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    """Frames that could not be decoded."""
    coloured: float = 0.0
    """Share of the frames looked at that hold colour."""
    trouble: str = ""
    """Why the film ends before its header says; "" when it does not."""
    deinterlaced: int = 0
    """Frames that were made progressive."""

    def shots(self) -> list[tuple[int, int]]:
        """First frame and end of every shot."""
        return shots(self.cuts, len(self.pts))

    def segments(self, longest: int, step: int) -> list[Segment]:
        """Every shot in parts of at most `longest` frames, whose lengths but the last are multiples of `step`."""
        return list(_numbered(self.shots(), longest, step))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _numbered(parts: Sequence[tuple[int, int]], longest: int, step: int) -> Iterator[Segment]:
    number = 0
    for first, end in parts:
        pieces = -(-(end - first) // longest)
        length = -(-(end - first) // (pieces * step)) * step
        for start in range(first, end, length):
            yield Segment(number, start, min(start + length, end), first, end)
            number += 1


def survey(
    film: Film, cuts: list[int] | None, on_bad_frame: str, seen: Callable[[int, int], bool] = lambda index, pts: False
) -> Survey | None:
    """Looks at all frames.

    Args:
        cuts: first frames of shots, where the user knows them; otherwise they are looked for.
        seen: told of each frame's index and pts; when it answers true, the survey is broken off.

    Returns:
        None when it was broken off.
    """
    finder = ShotFinder(film.rate) if cuts is None else None
    found, colours, reader = Survey(cuts=cuts or []), [], frames_of(film, on_bad_frame)
    table = lightness_table(film.tags, film.depth)
    for frame in reader:
        if seen(frame.index, frame.pts):
            return None
        small = _small(frame.luma)
        lightness = table[small]
        found.pts.append(frame.pts)
        found.mean.append(round(float(lightness.mean()), 3))
        found.contrast.append(round(float(lightness.std()), 3))
        if frame.bad:
            found.bad.append(frame.index)
        if finder:
            finder.see(frame.index, np.rint(lightness * 2.55).astype(np.uint8))
        if frame.index % COLOUR_EVERY == 0 and frame.picture is not None:
            colours.append(has_colour(frame))
    found_cuts = finder.cuts if finder else found.cuts
    share = sum(colours) / len(colours) if colours else 0.0
    return Survey(
        found.pts,
        found.mean,
        found.contrast,
        found_cuts,
        found.bad,
        share,
        _ended_early(film, reader, found),
        reader.deinterlaced,
    )


def _small(luma: Samples) -> Samples:
    height = min(DETECT_HEIGHT, luma.shape[0])
    width = max(1, round(luma.shape[1] * height / luma.shape[0]))
    return cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)


def has_colour(frame: Frame) -> bool:
    """Whether a frame holds the colours of things, beyond a tint."""
    assert frame.picture is not None
    width = max(16, 160 * frame.picture.width // max(frame.picture.width, frame.picture.height))
    height = max(16, 160 * frame.picture.height // max(frame.picture.width, frame.picture.height))
    rgb = frame.picture.reformat(width, height, "rgb24").to_ndarray()
    return luminance.residual_chroma(rgb) >= luminance.MONOCHROME_CHROMA


def _ended_early(film: Film, reader: Source, found: Survey) -> str:
    """In words, or "" when all is there that the header promises."""
    count = len(found.pts)
    if film.expected_frames > reader.packets:
        return f"truncated: {count} of {film.expected_frames} frames are there{_cause(reader)}"
    if count and film.duration_s:
        end = float((found.pts[-1] - found.pts[0] + film.frame_ticks) * film.time_base)
        if end < film.duration_s - max(0.25, 4 / float(film.rate)):
            return f"truncated: {end:.2f} of {film.duration_s:.2f} s are there{_cause(reader)}"
    return f"broken off after {count} frames{_cause(reader)}" if reader.trouble else ""


def _cause(reader: Source) -> str:
    return f" ({reader.trouble})" if reader.trouble else ""
