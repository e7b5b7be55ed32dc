"""The colours of a film's frames, small: some frames are shown to the network, the rest take theirs along the motion.

How many are shown is decided by what leaving them out would cost: the colours that travelled from one shown frame to
the next are compared with the network's own there, and where they differ by more than `MOST_ERROR`, the frame in the
middle is shown too, and so on. All decisions depend on frames alone and not on where the work was broken off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from archivecolor.film.header import Film
from archivecolor.film.planes import lightness_table
from archivecolor.film.survey import Segment, Survey
from archivecolor.imaging import luminance, temporal
from archivecolor.imaging.arrays import FloatArray, Samples
from archivecolor.imaging.temporal import Accumulator, FlowLink
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import FilmOptions

STEP = 8
"""Frames between two that the network sees under `auto`, where nothing speaks against it; a power of two."""
LOOKAHEAD = 3 * STEP + 1
"""Frames that are looked at beyond a segment, so that its end is as steady as its middle; the last is one of those
that are shown anyway."""
MOST_ERROR = 3.0
"""Lab units of a and b, mean over the picture, by which travelled colours may miss the network's own."""
EXPOSURE_FRAMES = 6.0
"""Standard deviation of the window over which exposure is evened out before the network looks."""
MOST_GAIN, MOST_SHIFT = 1.25, 12.0
"""Bounds of that evening out: what goes further is no pumping but light being switched on."""


@dataclass(frozen=True)
class FrameThumbnail:
    """One frame, small: its own L* (h, w), to lay colours onto, and the evened one that network and flow see."""

    guide: FloatArray
    seen: FloatArray


@dataclass
class SegmentStats:
    """What was done for a segment and what it cost."""

    shown: int = 0
    """Frames the network saw."""
    errors: list[float] = field(default_factory=list)
    """Lab units by which colours that travelled missed the network's, where frames were left out."""


class FrameSampler:
    """Makes the small looks of a film's frames."""

    def __init__(self, film: Film, survey: Survey, colorizer: Colorizer) -> None:
        wide = film.width * float(film.sample_aspect or 1)
        upright = (film.height, wide) if film.orientation < 5 else (wide, film.height)
        self.small = colorizer.network_size_for(round(upright[0]), round(upright[1]))
        stored = (self.small.height, self.small.width)
        self.size = stored if film.orientation < 5 else stored[::-1]
        self._table = lightness_table(film.tags, film.depth)
        self._gain, self._offset = _exposure_correction(survey)

    def look(self, index: int, luma: Samples) -> FrameThumbnail:
        """Frame number `index` with its luma codes (H, W)."""
        shrinks = luma.size > self.size[0] * self.size[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        guide = self._table[cv2.resize(luma, self.size[::-1], interpolation=how)]
        return FrameThumbnail(guide, (guide * self._gain[index] + self._offset[index]).clip(0, 100))


def _exposure_correction(survey: Survey) -> tuple[FloatArray, FloatArray]:
    """By frame, gain and offset on L* that take out pumping of the exposure, and make a faint shot legible."""
    gain = np.ones(len(survey.pts), np.float32)
    offset = np.zeros(len(survey.pts), np.float32)
    for start, end in survey.shots():
        mean, contrast = (np.array(v[start:end]) for v in (survey.mean, survey.contrast))
        even_mean, even_contrast = _smooth(mean), _smooth(contrast)
        own = (even_contrast / np.maximum(contrast, 1)).clip(1 / MOST_GAIN, MOST_GAIN)
        shift = (even_mean - mean).clip(-MOST_SHIFT, MOST_SHIFT)
        more, base = _shot_contrast_stretch(even_mean, even_contrast)
        gain[start:end] = own * more
        offset[start:end] = (mean + shift - own * mean) * more + base
    return gain, offset


def _smooth(values: Samples) -> Samples:
    """Gaussian over time; at the ends over what there is."""
    reach = int(3 * EXPOSURE_FRAMES)
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / EXPOSURE_FRAMES) ** 2)
    total = np.convolve(values, window)[reach : reach + len(values)]
    return total / np.convolve(np.ones_like(values), window)[reach : reach + len(values)]


def _shot_contrast_stretch(mean: Samples, contrast: Samples) -> tuple[float, float]:
    """`tone.legible` for a whole shot, from means and deviations of its frames: one gain, or it would pump itself."""
    middle, spread = float(mean.mean()), float(contrast.mean())
    return luminance.stretch_contrast(np.linspace(middle - 2 * spread, middle + 2 * spread, 101, dtype=np.float32))


class KeyframeColorizer:
    """Gives segment after segment of a film its small colours."""

    def __init__(self, film: Film, eye: FrameSampler, colorizer: Colorizer, options: FilmOptions) -> None:
        self.effort = SegmentStats()
        self._film, self._eye, self._colorizer, self._options = film, eye, colorizer, options
        self._asked: dict[int, FloatArray] = {}
        self._links: dict[int, FlowLink] = {}

    def tint(
        self, segment: Segment, looks: Sequence[FrameThumbnail], before: dict[str, Any] | None
    ) -> tuple[list[FloatArray], dict[str, Any]]:
        """Colours for the frames of a segment.

        Args:
            looks: of frames `segment.start` to `segment.reach(AHEAD)`.
            before: the state that the segment before left, where this one goes on with its shot.

        Returns:
            ab (2, h, w) of each frame, Lab units, and the state for the next segment.
        """
        start, count = segment.start, segment.end - segment.start
        self.effort = SegmentStats()
        seen = [look.seen for look in looks]
        links = self._linked(start, seen, before["seen"] if before else None)
        ab = self._answers(segment, seen, links)
        brought = Accumulator(before["colour"], before["weight"]) if before else None
        result, left = temporal.smooth_over_time(seen, ab, links, self._options.steady, brought, count)
        self._forget(segment.end)
        self.effort.shown = sum(colours is not None for colours in ab[:count])
        return result, {"seen": seen[count - 1], "colour": left.colour, "weight": left.weight}

    def _linked(self, start: int, seen: Sequence[FloatArray], previous: FloatArray | None) -> list[FlowLink | None]:
        """By frame, the link from the one before."""
        links: list[FlowLink | None] = []
        for i, light in enumerate(seen):
            before = seen[i - 1] if i else previous
            if before is not None and start + i not in self._links:
                self._links[start + i] = temporal.link_frames(before, light)
            links.append(self._links[start + i] if before is not None else None)
        return links

    def _forget(self, end: int) -> None:
        self._asked = {i: ab for i, ab in self._asked.items() if i >= end}
        self._links = {i: link for i, link in self._links.items() if i >= end}

    def _answers(
        self, segment: Segment, seen: Sequence[FloatArray], links: Sequence[FlowLink | None]
    ) -> list[FloatArray | None]:
        """The network's ab of the frames it is shown, None of the others."""
        every = STEP if self._options.every == "auto" else int(self._options.every)
        start, count = segment.start, len(seen)
        first = -(start - segment.shot_start) % every
        shown = sorted({*range(first, count, every), count - 1})
        self._ask(start, shown, seen)
        if self._options.every == "auto":
            shown = self._refined(segment, shown, seen, links)
        chosen = set(shown)
        return [self._asked[start + i] if i in chosen else None for i in range(count)]

    def _ask(self, start: int, wanted: Sequence[int], seen: Sequence[FloatArray]) -> None:
        new = [i for i in wanted if start + i not in self._asked]
        answers = self._colorizer.predict_ab([seen[i] for i in new], self._eye.small, self._film.orientation)
        self._asked |= {start + i: ab for i, ab in zip(new, answers, strict=True)}

    def _refined(
        self, segment: Segment, shown: list[int], seen: Sequence[FloatArray], links: Sequence[FlowLink | None]
    ) -> list[int]:
        """The frames to be shown, with the middle of every gap that colours do not cross well enough."""
        open_gaps = [(a, b) for a, b in pairwise(shown) if b - a > 1]
        while open_gaps:
            missed = [(a, b, self._error(segment.start, a, b, links)) for a, b in open_gaps]
            inside = segment.end - segment.start
            self.effort.errors += [error for a, _, error in missed if error <= MOST_ERROR and a < inside]
            wide = [(a, (a + b) // 2, b) for a, b, error in missed if error > MOST_ERROR]
            self._ask(segment.start, [middle for _, middle, _ in wide], seen)
            shown = sorted({*shown, *(middle for _, middle, _ in wide)})
            open_gaps = [gap for a, m, b in wide for gap in ((a, m), (m, b)) if gap[1] - gap[0] > 1]
        return shown

    def _error(self, start: int, a: int, b: int, links: Sequence[FlowLink | None]) -> float:
        """Lab units by which the colours of frame a, carried to frame b, miss those that the network gives b."""
        known = self._asked[start + a]
        passed = temporal.accumulate_own(known, np.ones(known.shape[1:], np.float32))
        for i in range(a + 1, b + 1):
            link = links[i]
            assert link is not None
            passed = temporal.propagate(passed, link.back, link.trust_back, 1.0)
        away = temporal.mean_chroma(passed) - self._asked[start + b]
        return float(np.hypot(away[0], away[1]).mean())
