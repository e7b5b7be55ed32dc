"""Colours the thumbnails of a film's frames: the network colours keyframes, and motion carries colours to the others.

The number of keyframes depends on the error of leaving frames out. The colours carried from one keyframe to the next
are compared with the network's own there. Where they differ by more than `MOST_ERROR`, the frame in the middle becomes
a keyframe too, and so on. All decisions depend on frames alone, and not on where the work was interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from archivecolor.film.header import Film
from archivecolor.film.planes import lightness_table
from archivecolor.film.survey import Segment, Survey
from archivecolor.film.work_folder import ShotState
from archivecolor.imaging import luminance, temporal
from archivecolor.imaging.arrays import FloatArray, Samples
from archivecolor.imaging.resize import resize
from archivecolor.imaging.temporal import Accumulator, FlowLink
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import FilmOptions
from archivecolor.pipeline.film.reference_guidance import ReferenceGuidance, with_paths

STEP = 8
"""Most frames from one keyframe to the next with `every` = auto; a power of two."""
LOOKAHEAD = 3 * STEP + 1
"""Frames that are read beyond a segment, so that its end is as steady as its middle. The last one is a regular
keyframe."""
MOST_ERROR = 3.0
"""Most Lab units of a and b, as a mean over the picture, between carried colours and the network's own."""
EXPOSURE_FRAMES = 6.0
"""Standard deviation, in frames, of the window over which exposure is evened out for the network."""
MOST_GAIN, MOST_SHIFT = 1.25, 12.0
"""Limits of the exposure correction. A larger change is no flicker of the film but a change of the light."""


@dataclass(frozen=True)
class FrameThumbnail:
    """One frame, reduced, as L* (h, w), 0 to 100."""

    guide: FloatArray
    """The frame's own; guides the upsampling of its chroma."""
    even: FloatArray
    """With even exposure; input of the network and of optical flow."""


@dataclass
class SegmentStats:
    """The keyframes of a segment and the errors they leave."""

    keyframes: int = 0
    """Number of frames that the network saw."""
    errors: list[float] = field(default_factory=list)
    """For each gap between keyframes, Lab units between carried colours and the network's own."""


class FrameSampler:
    """Makes the thumbnails of a film's frames."""

    def __init__(self, film: Film, survey: Survey, colorizer: Colorizer) -> None:
        display_width = film.width * float(film.sample_aspect or 1)
        upright = (film.height, display_width) if film.orientation < 5 else (display_width, film.height)
        self.upright = round(upright[0]), round(upright[1])
        """(height, width) of the film as it is seen, with square pixels."""
        self.network_size = colorizer.network_size_for(*self.upright)
        size = (self.network_size.height, self.network_size.width)
        self.size = size if film.orientation < 5 else size[::-1]
        """(h, w) of thumbnails, oriented as the film is stored."""
        self._table = lightness_table(film.tags, film.depth)
        self._gain, self._offset = _exposure_correction(survey)

    def thumbnail(self, index: int, luma: Samples) -> FrameThumbnail:
        """The thumbnail of frame number `index` with these luma codes (H, W)."""
        guide = self._table[resize(luma, *self.size)]
        return FrameThumbnail(guide, (guide * self._gain[index] + self._offset[index]).clip(0, 100))


def _exposure_correction(survey: Survey) -> tuple[FloatArray, FloatArray]:
    """Gain and offset on L* by frame: they remove flicker of the exposure, and stretch the contrast of a faint shot."""
    gain = np.ones(len(survey.pts), np.float32)
    offset = np.zeros(len(survey.pts), np.float32)
    for start, end in survey.shots():
        mean, contrast = (np.array(v[start:end]) for v in (survey.mean, survey.contrast))
        even_mean, even_contrast = _smooth(mean), _smooth(contrast)
        flicker_gain = (even_contrast / np.maximum(contrast, 1)).clip(1 / MOST_GAIN, MOST_GAIN)
        shift = (even_mean - mean).clip(-MOST_SHIFT, MOST_SHIFT)
        shot_gain, shot_offset = _shot_contrast_stretch(even_mean, even_contrast)
        gain[start:end] = flicker_gain * shot_gain
        offset[start:end] = (mean + shift - flicker_gain * mean) * shot_gain + shot_offset
    return gain, offset


def _smooth(values: Samples) -> Samples:
    """A Gaussian mean over time, (frames,); at the ends over the values that exist."""
    radius = int(3 * EXPOSURE_FRAMES)
    window = np.exp(-0.5 * (np.arange(-radius, radius + 1) / EXPOSURE_FRAMES) ** 2)
    total = np.convolve(values, window)[radius : radius + len(values)]
    return total / np.convolve(np.ones_like(values), window)[radius : radius + len(values)]


def _shot_contrast_stretch(mean: Samples, contrast: Samples) -> tuple[float, float]:
    """`luminance.stretch_contrast` for a whole shot, from the means and deviations of its frames. A gain for each frame
    would flicker."""
    centre, deviation = float(mean.mean()), float(contrast.mean())
    return luminance.stretch_contrast(
        np.linspace(centre - 2 * deviation, centre + 2 * deviation, 101, dtype=np.float32)
    )


class KeyframeColorizer:
    """Finds the small chroma of a film's frames, segment by segment.

    Args:
        guidance: brings the colours of references; None without any.
    """

    def __init__(
        self,
        film: Film,
        sampler: FrameSampler,
        colorizer: Colorizer,
        options: FilmOptions,
        guidance: ReferenceGuidance | None = None,
    ) -> None:
        self.stats = SegmentStats()
        """Of the latest segment."""
        self._guidance = guidance
        self._film, self._sampler, self._colorizer, self._options = film, sampler, colorizer, options
        self._predicted: dict[int, FloatArray] = {}
        """Frame index -> the network's ab, the same with or without references: these change no choice of keyframes."""
        self._guided: dict[int, FloatArray] = {}
        """Frame index -> ab with the colours of what looks alike in references."""
        self._links: dict[int, FlowLink] = {}
        """Frame index -> the motion from the frame before."""

    def colorize(
        self, segment: Segment, thumbnails: Sequence[FrameThumbnail], state: ShotState | None
    ) -> tuple[list[FloatArray], ShotState]:
        """Chroma for the frames of a segment.

        Args:
            thumbnails: of frames `segment.start` to `segment.window_end(LOOKAHEAD)`; with references, of more.
            state: what the segment before returned, if it is of the same shot.

        Returns:
            ab (2, h, w) of each frame, in Lab units, and the state for the next segment.
        """
        start, count = segment.start, segment.end - segment.start
        self.stats = SegmentStats()
        even = [thumbnail.even for thumbnail in thumbnails]
        links = self._flow_links(start, even, state["seen"] if state else None)
        near = segment.window_end(LOOKAHEAD) - start
        keyframe_ab = self._keyframe_chroma(segment, even[:near], links[:near])
        carried = Accumulator(state["colour"], state["weight"]) if state else None
        chroma, last = temporal.smooth_over_time(
            even[:near], keyframe_ab, links[:near], self._options.steady, carried, count
        )
        after = ShotState(seen=even[count - 1], colour=last.colour, weight=last.weight)
        if self._guidance:
            chroma, paths = self._guidance.guide(segment, links, chroma, state)
            after = with_paths(after, paths)
        self._forget(segment.end)
        self.stats.keyframes = sum(ab is not None for ab in keyframe_ab[:count])
        return chroma, after

    def skip(self, segment: Segment) -> tuple[list[FloatArray], ShotState]:
        """What `colorize` returns for a segment whose frames keep their own colours: no chroma, and an empty state."""
        self.stats = SegmentStats()
        if self._guidance:
            self._guidance.shares = {}
        self._forget(segment.end)
        nothing = np.zeros((0, 0), np.float32)
        return [], ShotState(seen=nothing, colour=nothing, weight=nothing)

    def _flow_links(self, start: int, even: Sequence[FloatArray], previous: FloatArray | None) -> list[FlowLink | None]:
        """For each frame, the link from the frame before; None for the first of a shot."""
        links: list[FlowLink | None] = []
        for i, lightness in enumerate(even):
            before = even[i - 1] if i else previous
            if before is not None and start + i not in self._links:
                self._links[start + i] = temporal.link_frames(before, lightness)
            links.append(self._links[start + i] if before is not None else None)
        return links

    def _forget(self, end: int) -> None:
        """Drops what is kept of frames before `end`."""
        self._predicted = {i: ab for i, ab in self._predicted.items() if i >= end}
        self._guided = {i: ab for i, ab in self._guided.items() if i >= end}
        self._links = {i: link for i, link in self._links.items() if i >= end}

    def _keyframe_chroma(
        self, segment: Segment, even: Sequence[FloatArray], links: Sequence[FlowLink | None]
    ) -> list[FloatArray | None]:
        """The network's ab (2, h, w) of keyframes, None for other frames."""
        every = STEP if self._options.every == "auto" else int(self._options.every)
        start, count = segment.start, len(even)
        first = -(start - segment.shot_start) % every
        keyframes = {*range(first, count, every), count - 1}
        self._predict(start, sorted(keyframes), even)
        if self._options.every == "auto":
            keyframes = self._refined(segment, keyframes, even, links)
        return [self._colors(segment, i, even[i]) if i in keyframes else None for i in range(count)]

    def _colors(self, segment: Segment, i: int, lightness: FloatArray) -> FloatArray:
        """ab (2, h, w) of a keyframe, which counts from the segment's start."""
        frame = segment.start + i
        if self._guidance is None:
            return self._predicted[frame]
        if frame not in self._guided:
            shot = segment.shot_start, segment.shot_end
            self._guided[frame] = self._guidance.keyframe_colors(frame, shot, lightness, self._predicted[frame])
        return self._guided[frame]

    def _predict(self, start: int, frames: Sequence[int], even: Sequence[FloatArray]) -> None:
        """Runs the network on those of the frames that it has not seen; `frames` count from `start`."""
        new = [i for i in frames if start + i not in self._predicted]
        predictions = self._colorizer.predict_ab(
            [even[i] for i in new], self._sampler.network_size, self._film.orientation
        )
        self._predicted |= {start + i: ab for i, ab in zip(new, predictions, strict=True)}

    def _refined(
        self, segment: Segment, keyframes: set[int], even: Sequence[FloatArray], links: Sequence[FlowLink | None]
    ) -> set[int]:
        """The keyframes, and the middle of every gap over which colours are not carried well enough."""
        gaps = [(a, b) for a, b in pairwise(sorted(keyframes)) if b - a > 1]
        while gaps:
            measured = [(a, b, self._carrying_error(segment.start, a, b, links)) for a, b in gaps]
            count = segment.end - segment.start
            self.stats.errors += [error for a, _, error in measured if error <= MOST_ERROR and a < count]
            split = [(a, (a + b) // 2, b) for a, b, error in measured if error > MOST_ERROR]
            self._predict(segment.start, [middle for _, middle, _ in split], even)
            keyframes = keyframes | {middle for _, middle, _ in split}
            gaps = [gap for a, middle, b in split for gap in ((a, middle), (middle, b)) if gap[1] - gap[0] > 1]
        return keyframes

    def _carrying_error(self, start: int, a: int, b: int, links: Sequence[FlowLink | None]) -> float:
        """Mean Lab units between the colours of frame a, carried to frame b, and the network's own of frame b."""
        ab = self._predicted[start + a]
        carried = temporal.accumulate_own(ab, np.ones(ab.shape[1:], np.float32))
        for i in range(a + 1, b + 1):
            link = links[i]
            assert link is not None
            carried = temporal.propagate(carried, link.back, link.trust_back, 1.0)
        difference = temporal.mean_chroma(carried) - self._predicted[start + b]
        return float(np.hypot(difference[0], difference[1]).mean())
