"""Colours one film: survey, then segment by segment read -> keyframes -> smooth -> encode, then join.

A segment is at most a few seconds of one shot. The film's work folder keeps each finished segment and the state for the
next one, so that a film that is interrupted and resumed is equal byte for byte to one that was not. The encoder works
on one segment while the network works on the next; no more than these two are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from archivecolor.errors import PictureError, SourceReadError, TooLargeError
from archivecolor.film import shots
from archivecolor.film.header import Film
from archivecolor.film.read import Frame
from archivecolor.film.source import open_source, read_frames
from archivecolor.film.survey import Segment, Survey, survey_frames
from archivecolor.film.work_folder import SegmentNotes, ShotState, WorkFolder
from archivecolor.inference.colorizer import Colorizer
from archivecolor.inference.guidance import adjusted
from archivecolor.options import RunOptions
from archivecolor.pipeline.film.frame_sink import ColoredSegment, FrameSink
from archivecolor.pipeline.film.keyframes import LOOKAHEAD, STEP, FrameSampler, FrameThumbnail, KeyframeColorizer
from archivecolor.pipeline.film.reference_bank import FrameDescriber, ReferenceBank, used_shares
from archivecolor.pipeline.film.reference_guidance import REFERENCE_LOOKAHEAD, ReferenceGuidance
from archivecolor.pipeline.observer import FilmObserver

WINDOW_MEGAPIXELS = 160.0
"""Luma samples of one window of frames (a segment and its lookahead), in millions of bytes."""
LONGEST_SEGMENT = 64
"""Frames; each needs about 4 MB for its thumbnails and flow, besides its luma."""
THUMBNAIL_MEGAPIXELS = 4.0
"""Memory for a frame's thumbnails and flow, in millions of 8-bit samples."""


class InterruptedFilmError(PictureError):
    """The film was asked to stop. Its finished segments lie in the work folder."""


@dataclass(frozen=True)
class ColoredFilm:
    """The result of colouring a film."""

    keyframes: int
    """Number of frames that the network saw."""
    mean_error: float | None
    """Mean over all gaps between keyframes of `SegmentStats.errors`; None without gaps."""
    worst_error: float | None
    max_delta_l: float | None
    """Largest |ΔL*| of frames that are files of their own; None for other outputs."""
    references: dict[int, list[float]]
    """Index of a reference's frame -> number of frames that it reached, sum of its shares in them, first and last."""
    notes: tuple[str, ...]


def film_megapixels(film: Film, lookahead: int = LOOKAHEAD) -> float:
    """Memory that colouring a film needs, in millions of 8-bit luma samples.

    Args:
        lookahead: frames that are read beyond a segment.
    """
    return (longest_segment(film) + lookahead) * (2 * _luma_bytes(film) / 1e6 + THUMBNAIL_MEGAPIXELS)


def longest_segment(film: Film) -> int:
    """Frames of the longest segment: a multiple of `STEP`, at most `LONGEST_SEGMENT`, so that a window of frames fits
    into `WINDOW_MEGAPIXELS`."""
    frames = int(WINDOW_MEGAPIXELS * 1e6 / _luma_bytes(film)) - LOOKAHEAD
    return max(STEP, min(LONGEST_SEGMENT, frames // STEP * STEP))


def _luma_bytes(film: Film) -> int:
    """Bytes of a frame's luma."""
    return film.width * film.height * (1 if film.depth == 8 else 2)


def survey_film(film: Film, options: RunOptions, work: WorkFolder, observer: FilmObserver) -> Survey:
    """The survey from the work folder, or a new one.

    Raises:
        InterruptedFilmError: it was asked to stop.
    """
    if saved := work.survey():
        return saved

    def progress(index: int, pts: int) -> bool:
        observer.progress("looking through", index, film.expected_frames, float(pts * film.time_base))
        return observer.stop_requested()

    cuts = shots.read_cuts(options.film.cuts) if options.film.cuts else None
    result = survey_frames(film, cuts, options.film.on_bad_frame, progress)
    if result and result.trouble:
        # A read error that passes can look like the end of the file. What is damaged looks the same twice.
        result = survey_frames(film, cuts, options.film.on_bad_frame, progress)
    if result is None:
        raise InterruptedFilmError("interrupted while it was looked through; the same command begins it again")
    work.save_survey(result)
    return result


def color_film(
    film: Film,
    survey: Survey,
    sink: FrameSink,
    work: WorkFolder,
    colorizer: Colorizer,
    options: RunOptions,
    observer: FilmObserver,
    bank: ReferenceBank | None = None,
) -> ColoredFilm:
    """Colours a film into its sink.

    Args:
        bank: the references of the film, if there are any.

    Raises:
        InterruptedFilmError: it was asked to stop; the next call resumes.
        OutputError: the output cannot be written.
        PictureError: the film cannot be coloured.
    """
    segments = survey.segments(longest_segment(film), STEP)
    _color_segments(film, survey, sink, work, segments, colorizer, options, observer, bank)
    count, seconds = len(survey.pts), float((survey.pts[-1] - survey.pts[0]) * film.time_base)
    observer.progress("joining", count, count, seconds)
    notes = sink.join(survey, segments, work)
    saved = [work.index(segment)["notes"] for segment in segments]
    errors = [error for segment in saved for error in segment["errors"]]
    work.remove()
    return ColoredFilm(
        keyframes=sum(segment["shown"] for segment in saved),
        mean_error=float(np.mean(errors)) if errors else None,
        worst_error=max(errors, default=None),
        max_delta_l=max((segment["max_delta_l"] for segment in saved if "max_delta_l" in segment), default=None),
        references=used_shares(segment.get("references", {}) for segment in saved),
        notes=notes,
    )


def _color_segments(
    film: Film,
    survey: Survey,
    sink: FrameSink,
    work: WorkFolder,
    segments: list[Segment],
    colorizer: Colorizer,
    options: RunOptions,
    observer: FilmObserver,
    bank: ReferenceBank | None,
) -> None:
    """Colours and encodes every segment that is not finished yet."""
    first = next((s.number for s in segments if not work.finished(s)), len(segments))
    if first == len(segments):
        return
    sampler = FrameSampler(film, survey, colorizer)
    adjust = partial(adjusted, options.color)
    describer = FrameDescriber(colorizer, sampler.network_size)
    guidance = ReferenceGuidance(bank, describer, film.orientation, adjust) if bank else None
    keyframes = KeyframeColorizer(film, sampler, colorizer, options.film, guidance)
    lookahead = REFERENCE_LOOKAHEAD if bank else LOOKAHEAD
    resumes_shot = first > 0 and segments[first].start > segments[first].shot_start
    state: ShotState | None = work.state(segments[first - 1]) if resumes_shot else None
    with ThreadPoolExecutor(1, "archivecolor-encoder", torch.set_num_threads, (1,)) as encoder:
        writing: Future[None] | None = None
        windows = segment_windows(
            film, segments[first:], sampler, options.film.on_bad_frame, survey.is_in_colour, lookahead
        )
        for segment, frames, thumbnails in windows:
            if segment.start == segment.shot_start:
                state = None
            if survey.is_in_colour(segment):
                chroma, state = keyframes.skip(segment)
            else:
                chroma, state = keyframes.colorize(segment, thumbnails, state)
            if writing:
                writing.result()
            seconds = float((survey.pts[segment.start] - survey.pts[0]) * film.time_base)
            observer.progress("colouring", segment.start, len(survey.pts), seconds)
            if observer.stop_requested():
                raise InterruptedFilmError(
                    f"interrupted after {segment.start} of {len(survey.pts)} frames; the same command goes on from "
                    "there"
                )
            colored = ColoredSegment(frames, thumbnails, chroma if guidance else [adjust(ab) for ab in chroma])
            stats = keyframes.stats
            notes = SegmentNotes(shown=stats.keyframes, errors=[round(error, 3) for error in stats.errors])
            if guidance:
                notes["references"] = guidance.shares
            writing = encoder.submit(_write_segment, sink, segment, colored, work, state, notes)
        if writing:
            writing.result()


def segment_windows(
    film: Film,
    segments: list[Segment],
    sampler: FrameSampler,
    on_bad_frame: str,
    keeps_colour: Callable[[Segment], bool] = lambda segment: False,
    lookahead: int = LOOKAHEAD,
) -> Iterator[tuple[Segment, list[Frame], list[FrameThumbnail]]]:
    """Each segment with its frames, and the thumbnails of its frames and of up to `lookahead` frames after it.

    What comes before the first of these segments is decoded and skipped, since not every container seeks exactly.

    Args:
        keeps_colour: whether the frames of a segment keep their own colours, and so their `picture`.

    Raises:
        SourceReadError: the film has fewer frames than its survey found.
    """
    frames: dict[int, Frame] = {}
    thumbnails: dict[int, FrameThumbnail] = {}
    source = iter(read_frames(film, on_bad_frame, segments[0].start))
    for segment in segments:
        in_colour = keeps_colour(segment)
        end = segment.window_end(lookahead)
        while end - 1 not in frames:
            frame = next(source, None)
            if frame is None:
                raise SourceReadError(
                    "could not be read as far as the first time: its disk may be failing; check it and run again"
                )
            if frame.index >= segment.start:
                frames[frame.index] = frame if in_colour else replace(frame, picture=None)
                thumbnails[frame.index] = sampler.thumbnail(frame.index, frame.luma)
        own = range(segment.start, segment.end)
        yield segment, [frames[i] for i in own], [thumbnails[i] for i in range(segment.start, end)]
        for i in own:
            del frames[i], thumbnails[i]


def _write_segment(
    sink: FrameSink,
    segment: Segment,
    colored: ColoredSegment,
    work: WorkFolder,
    state: ShotState,
    notes: SegmentNotes,
) -> None:
    packets, more_notes = sink.encode(colored, work)
    work.save(segment, packets, state, {**notes, **more_notes})


def open_film_to_color(path: Path, options: RunOptions) -> Film:
    """Opens a film, which must be no larger than allowed.

    Raises:
        TooLargeError: its frames have more than `options.max_megapixels`.
        UnreadableError, UnsupportedError, MissingDependencyError: it cannot be read.
    """
    film, limit = open_source(path, options.film), options.max_megapixels
    if film.width * film.height > limit * 1e6:
        raise TooLargeError(f"frames of {film.width} x {film.height} are more than --max-megapixels {limit:g}")
    return film
