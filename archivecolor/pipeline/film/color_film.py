"""The way of one film: `color_film`. Survey, then segment by segment read -> look -> tint -> encode, then join.

A segment is at most a few seconds of one shot. What one segment leaves to the next lies in the film's work folder with
it, so that a film killed anywhere and taken up again is, byte for byte, the film that was never killed. The encoder
works on one segment while the network works on the next; no more than those two are held in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from archivecolor.errors import PictureError, TooLargeError
from archivecolor.film import shots
from archivecolor.film.header import Film
from archivecolor.film.read import Frame
from archivecolor.film.source import frames_of, open_source
from archivecolor.film.survey import Segment, Survey, survey
from archivecolor.film.work_folder import WorkFolder
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import RunOptions
from archivecolor.pipeline.film.frame_sink import ColoredSegment, FrameSink
from archivecolor.pipeline.film.keyframes import LOOKAHEAD, STEP, FrameSampler, FrameThumbnail, KeyframeColorizer
from archivecolor.pipeline.observer import FilmObserver

WINDOW_MEGAPIXELS = 160.0
"""Luma samples of one window of frames, in millions."""
LONGEST_SEGMENT = 64
"""Frames; each takes about 4 MB for its small maps and their links, besides its luma."""


SMALL_MAPS = 4.0
"""What a frame's small maps take in memory, in millions of 8-bit samples."""


class InterruptedFilmError(PictureError):
    """Asked to stop; what is finished lies in the work folder."""


@dataclass(frozen=True)
class ColoredFilm:
    """What became of a film."""

    shown: int
    """Frames the network saw."""
    error: float | None
    """Mean over gaps of the Lab units by which colours that travelled missed the network's own; None without gaps."""
    worst: float | None
    max_delta_l: float | None
    """Largest |ΔL*| of frames that are files of their own."""
    notes: tuple[str, ...]


def film_megapixels(film: Film) -> float:
    """What is in memory at one time, as millions of luma samples of 8 bits."""
    frame = film.width * film.height * (1 if film.depth == 8 else 2) / 1e6
    return (longest_segment(film) + LOOKAHEAD) * (2 * frame + SMALL_MAPS)


def longest_segment(film: Film) -> int:
    """Frames of a segment, such that a window of them stays within bounds."""
    frames = int(WINDOW_MEGAPIXELS * 1e6 / (film.width * film.height * (1 if film.depth == 8 else 2))) - LOOKAHEAD
    return max(STEP, min(LONGEST_SEGMENT, frames // STEP * STEP))


def survey_film(film: Film, options: RunOptions, work: WorkFolder, observer: FilmObserver) -> Survey:
    """The survey, from the work folder or made now.

    Raises:
        InterruptedFilmError: asked to stop before it was done.
    """
    known = work.survey()
    if known:
        return known

    def seen(index: int, pts: int) -> bool:
        observer.progress("looking through", index, film.expected_frames, float(pts * film.time_base))
        return observer.stop_requested()

    cuts = shots.read_cuts(options.film.cuts) if options.film.cuts else None
    found = survey(film, cuts, options.film.on_bad_frame, seen)
    if found is None:
        raise InterruptedFilmError("interrupted while it was looked through; the same command begins it again")
    work.save_survey(found)
    return found


def color_film(
    film: Film, found: Survey, delivery: FrameSink, work: WorkFolder, colorizer: Colorizer, options: RunOptions,
    observer: FilmObserver,
) -> ColoredFilm:  # fmt: skip
    """Colours a film into where its delivery says.

    Raises:
        InterruptedFilmError: asked to stop; the next call goes on from there.
        OutputError, PictureError: it cannot be done.
    """
    segments = found.segments(longest_segment(film), STEP)
    _color_segments(film, found, delivery, work, segments, colorizer, options, observer)
    observer.progress("joining", len(found.pts), len(found.pts), float((found.pts[-1] - found.pts[0]) * film.time_base))
    notes = delivery.join(found, segments, work)
    efforts = [work.index(segment)["notes"] for segment in segments]
    errors = [error for effort in efforts for error in effort["errors"]]
    deltas = [effort["max_delta_l"] for effort in efforts if "max_delta_l" in effort]
    work.remove()
    return ColoredFilm(
        sum(effort["shown"] for effort in efforts), float(np.mean(errors)) if errors else None,
        max(errors) if errors else None, max(deltas) if deltas else None, notes,
    )  # fmt: skip


def _color_segments(
    film: Film, found: Survey, delivery: FrameSink, work: WorkFolder, segments: list[Segment], colorizer: Colorizer,
    options: RunOptions, observer: FilmObserver,
) -> None:  # fmt: skip
    """Makes every segment that is not there yet."""
    first = next((s.number for s in segments if not work.finished(s)), len(segments))
    if first == len(segments):
        return
    eye = FrameSampler(film, found, colorizer)
    tinter = KeyframeColorizer(film, eye, colorizer, options.film)
    goes_on = first > 0 and segments[first].start > segments[first].shot_start
    state: dict[str, Any] | None = work.state(segments[first - 1]) if goes_on else None
    strength = np.float32(options.color.strength)
    with ThreadPoolExecutor(1, "archivecolor-encoder", torch.set_num_threads, (1,)) as encoder:
        writing: Future[None] | None = None
        for segment, frames, looks in segment_windows(film, segments[first:], eye, options.film.on_bad_frame):
            if segment.start == segment.shot_start:
                state = None
            colours, state = tinter.tint(segment, looks, state)
            if writing:
                writing.result()
            _tell(film, found, segment, observer)
            if observer.stop_requested():
                raise InterruptedFilmError(
                    f"interrupted after {segment.start} of {len(found.pts)} frames; the same command goes on from there"
                )
            dressed = ColoredSegment(frames, looks, [ab * strength for ab in colours])
            notes = {"shown": tinter.effort.shown, "errors": [round(e, 3) for e in tinter.effort.errors]}
            writing = encoder.submit(_write_segment, delivery, segment, dressed, work, state, notes)
        if writing:
            writing.result()


def _tell(film: Film, found: Survey, segment: Segment, observer: FilmObserver) -> None:
    seconds = float((found.pts[segment.start] - found.pts[0]) * film.time_base)
    observer.progress("colouring", segment.start, len(found.pts), seconds)


def segment_windows(
    film: Film, segments: list[Segment], eye: FrameSampler, on_bad_frame: str
) -> Iterator[tuple[Segment, list[Frame], list[FrameThumbnail]]]:
    """Each segment with its frames, and the looks at them and at those `AHEAD`. A finished part of the film is decoded
    and passed over: seeking is not exact in every container."""
    frames: dict[int, Frame] = {}
    looks: dict[int, FrameThumbnail] = {}
    source = iter(frames_of(film, on_bad_frame, segments[0].start))
    for segment in segments:
        while segment.reach(LOOKAHEAD) - 1 not in frames:
            frame = next(source, None)
            if frame is None:
                raise PictureError("changed while it was being coloured; colour it again")
            if frame.index >= segment.start:
                frames[frame.index] = replace(frame, picture=None)
                looks[frame.index] = eye.look(frame.index, frame.luma)
        held = range(segment.start, segment.reach(LOOKAHEAD))
        yield segment, [frames[i] for i in held if i < segment.end], [looks[i] for i in held]
        for i in range(segment.start, segment.end):
            del frames[i], looks[i]


def _write_segment(
    delivery: FrameSink, segment: Segment, dressed: ColoredSegment, work: WorkFolder, state: dict[str, Any],
    notes: dict[str, Any],
) -> None:  # fmt: skip
    packets, more = delivery.make(dressed, work)
    work.save(segment, packets, state, {**notes, **more})


def open_film_to_color(path: Path, options: RunOptions) -> Film:
    """`open_source`, and no larger than allowed.

    Raises:
        TooLargeError, UnreadableError, UnsupportedError, MissingDependencyError: it cannot be coloured.
    """
    film, most = open_source(path, options.film), options.max_megapixels
    if film.width * film.height > most * 1e6:
        raise TooLargeError(f"frames of {film.width} x {film.height} are more than --max-megapixels {most:g}")
    return film
