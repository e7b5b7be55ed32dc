"""The survey of a whole film before it is coloured: time stamps, shots, the exposure of each frame, and its colour.

It costs one decoding, a few per cent of the work. The film's work folder keeps it for a resumed run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction

import cv2
import numpy as np

from archivecolor.film.colour_sections import ColourDetector
from archivecolor.film.header import ContainerFilm, Film, ImageSequence
from archivecolor.film.planes import lightness_table
from archivecolor.film.shots import DETECT_HEIGHT, ShotDetector, shots
from archivecolor.film.source import FrameSource, read_frames
from archivecolor.imaging.arrays import Samples


@dataclass(frozen=True)
class Segment:
    """Frames [start, end) of the shot [shot_start, shot_end): the part of a film that is encoded as a whole."""

    number: int
    start: int
    end: int
    shot_start: int
    shot_end: int

    def window_end(self, lookahead: int) -> int:
        """One past the last frame that is read for this segment: up to `lookahead` frames of its shot follow it."""
        return min(self.end + lookahead, self.shot_end)


@dataclass(frozen=True)
class Survey:
    """What a survey found. `pts`, `mean` and `contrast` hold one value per frame."""

    pts: list[int] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    """Mean L* of each frame."""
    contrast: list[float] = field(default_factory=list)
    """Standard deviation of its L*."""
    cuts: list[int] = field(default_factory=list)
    """First frames of shots."""
    bad: list[int] = field(default_factory=list)
    """Frames that could not be decoded."""
    coloured: float = 0.0
    """Share of the examined frames that hold colour, 0 to 1."""
    trouble: str = ""
    """Why the film ends before its header says; "" when it does not."""
    deinterlaced: int = 0
    """Frames that were made progressive."""
    held: int = 0
    """Ticks that the last frame stays, where these are more than a frame; else 0."""
    breaks: int = 0
    """Places where time went back or jumped, and was made continuous."""
    sections: list[tuple[int, int]] = field(default_factory=list)
    """First frame and end of every part in colour. Such a part begins and ends a shot."""

    def end(self, film: Film) -> int:
        """When the last frame ends, in ticks of the time base."""
        return self.pts[-1] + (self.held or film.frame_ticks)

    def shots(self) -> list[tuple[int, int]]:
        """First frame and end (one past the last) of every shot."""
        return shots([*self.cuts, *(bound for section in self.sections for bound in section)], len(self.pts))

    def is_in_colour(self, segment: Segment) -> bool:
        """Whether the frames of a segment have colours of their own."""
        return any(first <= segment.start < end for first, end in self.sections)

    def segments(self, longest: int, step: int) -> list[Segment]:
        """Every shot in segments of at most `longest` frames. All lengths but the last of a shot are multiples of
        `step`."""
        return list(_segments(self.shots(), longest, step))

    def as_json(self) -> dict[str, object]:
        """The fields by name, as the work folder keeps them."""
        return asdict(self)


def _segments(shots: Sequence[tuple[int, int]], longest: int, step: int) -> Iterator[Segment]:
    number = 0
    for first, end in shots:
        count = -(-(end - first) // longest)
        length = -(-(end - first) // (count * step)) * step
        for start in range(first, end, length):
            yield Segment(number, start, min(start + length, end), first, end)
            number += 1


def survey_frames(
    film: Film,
    cuts: list[int] | None,
    on_bad_frame: str,
    progress: Callable[[int, int], bool] = lambda index, pts: False,
) -> Survey | None:
    """Surveys all frames.

    Args:
        cuts: first frames of shots; None: they are detected.
        on_bad_frame: `repeat` the last good frame, or `grey`.
        progress: called with each frame's index and pts; the survey stops when it returns True.

    Returns:
        None when it was stopped.
    """
    detector = ShotDetector(film.rate) if cuts is None else None
    result, colours, source = Survey(), ColourDetector(), read_frames(film, on_bad_frame)
    table = lightness_table(film.tags, film.depth)
    for frame in source:
        if progress(frame.index, frame.pts):
            return None
        lightness = table[_reduced(frame.luma)]
        result.pts.append(frame.pts)
        result.mean.append(round(float(lightness.mean()), 3))
        result.contrast.append(round(float(lightness.std()), 3))
        if frame.bad:
            result.bad.append(frame.index)
        if detector:
            detector.add(frame.index, np.rint(lightness * 2.55).astype(np.uint8))
        colours.add(frame.picture)
    found_cuts = detector.cuts if detector else cuts or []
    sections = colours.sections(found_cuts)
    result = replace(
        result,
        cuts=found_cuts,
        coloured=sum(end - first for first, end in sections) / len(result.pts) if result.pts else 0.0,
        sections=sections,
        deinterlaced=source.deinterlaced,
        breaks=source.breaks,
    )
    result = replace(result, held=_held_ticks(film, source, result))
    return replace(result, trouble=_early_end(film, source, result))


def _reduced(luma: Samples) -> Samples:
    """Luma codes (H, W) at the size in which shots are detected."""
    height = min(DETECT_HEIGHT, luma.shape[0])
    width = max(1, round(luma.shape[1] * height / luma.shape[0]))
    return cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)


def _held_ticks(film: Film, source: FrameSource, survey: Survey) -> int:
    """See `Survey.held`. MP4 and AVI say how long all pictures stay, Matroska how long the last one does."""
    if isinstance(film, ImageSequence) or not survey.pts or source.trouble:
        return 0
    ticks = 0 if film.has_index else source.last_ticks
    if film.has_all_bytes or (film.has_index and source.packets >= film.expected_frames):
        start = 0 if film.container == "avi" else survey.pts[0]  # AVI counts its chunks from 0, also empty ones
        ticks = max(ticks, start + round(Fraction(film.duration_s) / film.time_base) - survey.pts[-1])
    return ticks if 2 * ticks > 3 * film.frame_ticks else 0


def _early_end(film: Film, source: FrameSource, survey: Survey) -> str:
    """Why fewer frames are there than the header promises, in words; "" when all are there."""
    count = len(survey.pts)
    cause = f" ({source.trouble})" if source.trouble else ""
    has_all_bytes = isinstance(film, ContainerFilm) and film.has_all_bytes
    if film.expected_frames > source.packets and not has_all_bytes:
        return f"truncated: {count} of {film.expected_frames} frames are there{cause}"
    if count and film.duration_s and not has_all_bytes and not (isinstance(film, ContainerFilm) and film.has_index):
        end = float((survey.end(film) - survey.pts[0]) * film.time_base)
        if end < film.duration_s - max(0.25, 4 / float(film.rate)):
            return f"truncated: {end:.2f} of {film.duration_s:.2f} s are there{cause}"
    return f"broken off after {count} frames{cause}" if source.trouble else ""
