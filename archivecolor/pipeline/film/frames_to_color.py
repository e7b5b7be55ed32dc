"""Chooses the frames of a film that are worth colouring by hand, and writes them as the program would colour them.

One frame stands for a shot; where much is seen that it does not show, others are added. A person corrects them in any
paint program, and `run --references` lets the film keep to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from archivecolor import files, photo
from archivecolor.film import encoder
from archivecolor.film.coding import Coding, coding_for
from archivecolor.film.header import Film
from archivecolor.film.read import Frame
from archivecolor.film.reference_files import reference_name
from archivecolor.film.shots import read_cuts
from archivecolor.film.source import open_source, read_frames
from archivecolor.film.survey import Survey, survey_frames
from archivecolor.film.thumbnails import shown_picture
from archivecolor.imaging.arrays import ByteArray, FloatArray
from archivecolor.imaging.feature_matching import CellDescriptors, newness
from archivecolor.imaging.orientation import to_upright
from archivecolor.inference.colorizer import Colorizer
from archivecolor.inference.guidance import adjusted
from archivecolor.options import Disclosure, FilmOptions, FrameOptions
from archivecolor.pipeline.disclosure import TOOL, disclosed_page
from archivecolor.pipeline.film.frame_sink import ColoredSegment
from archivecolor.pipeline.film.keyframes import FrameSampler, FrameThumbnail
from archivecolor.pipeline.film.reference_bank import FrameDescriber

SAMPLES = 24
"""Frames of a shot that are compared, at most; they are evenly spaced."""
SAMPLES_A_SECOND = 2.0
MUCH_NEW = 0.25
"""Share of a frame that no chosen frame of the shot shows, from which on it is chosen too."""

Progress = Callable[[str, int, int], None]
"""Called with what is done, the frame's index, and the number of frames."""


def write_frames(options: FrameOptions, colorizer: Colorizer, progress: Progress) -> Iterator[tuple[Path, bool]]:
    """Writes the frames worth colouring as PNG. Yields each path, and whether it was there already.

    Raises:
        PictureError: the film cannot be read.
        OutputError: a frame cannot be written.
        UsageError: --cuts cannot be read.
        MissingDependencyError: PyAV or PySceneDetect is not installed.
    """
    requested = FilmOptions(cuts=options.cuts)
    film = open_source(options.film, requested)
    cuts = read_cuts(options.cuts) if options.cuts else None

    def looked(index: int, pts: int) -> bool:
        progress("looking through", index, film.expected_frames)
        return False

    survey = survey_frames(film, cuts, requested.on_bad_frame, looked)
    assert survey is not None  # nothing stops it
    sampler = FrameSampler(film, survey, colorizer)
    chosen = choose_frames(film, survey, sampler, colorizer, options.most, progress)
    coding = coding_for(film, "ffv1", True, drop_audio=True)
    files.make_folders(options.to)
    for frame in read_frames(film):
        progress("writing", frame.index, len(survey.pts))
        if frame.index in chosen:
            name = reference_name(film, frame.index, frame.pts, survey.pts[0])
            path = options.to / f"{name}.png"
            there = path.exists()
            if not there:
                thumbnail = sampler.thumbnail(frame.index, frame.luma)
                rgb = _colored(coding, frame, thumbnail, sampler, colorizer)
                page = disclosed_page(photo.Page(rgb), rgb, colorizer.card, "png", Disclosure(), TOOL)
                photo.write(path, photo.Photo("png", (page,)), "png", software=TOOL)
            yield path, there


def choose_frames(
    film: Film, survey: Survey, sampler: FrameSampler, colorizer: Colorizer, most: int, progress: Progress
) -> set[int]:
    """The indices of the frames worth colouring. Shots that are in colour already have none.

    Args:
        most: frames of one shot, at most.
    """
    describer = FrameDescriber(colorizer, sampler.network_size)
    shots = [
        (start, end)
        for start, end in survey.shots()
        if not any(first <= start < last for first, last in survey.sections)
    ]
    spacing = max(1, round(float(film.rate) / SAMPLES_A_SECOND))
    shot_of = {frame: shot for shot in shots for frame in sampled_frames(*shot, spacing)}
    chosen: set[int] = set()
    cells: dict[int, CellDescriptors] = {}
    for frame in read_frames(film):
        progress("comparing", frame.index, len(survey.pts))
        shot = shot_of.get(frame.index)
        if shot is None:
            continue
        even = sampler.thumbnail(frame.index, frame.luma).even
        described, _ = describer.describe(np.ascontiguousarray(to_upright(even, film.orientation)))
        if described:
            cells[frame.index] = described
        if frame.index == max(sampled_frames(*shot, spacing)):
            chosen |= choose_in_shot(shot, cells, most)
            cells = {}
    return chosen


def sampled_frames(start: int, end: int, spacing: int) -> list[int]:
    """The frames of a shot that are compared, its middle among them.

    Args:
        end: one past the last.
        spacing: least frames between two.
    """
    middle = (start + end - 1) // 2
    spacing = max(spacing, -(-(end - start) // SAMPLES))
    return sorted((*range(middle, start - 1, -spacing), *range(middle + spacing, end, spacing)))


def choose_in_shot(shot: tuple[int, int], cells: dict[int, CellDescriptors], most: int) -> set[int]:
    """The frames of a shot worth colouring: its middle, then each time the frame with most that is new.

    Args:
        cells: of the sampled frames; empty for a network without an encoder.
    """
    latest = (shot[0] + shot[1] - 1) // 2
    chosen = {latest}
    unseen: dict[int, FloatArray] = {}
    while len(chosen) < most and cells:
        for frame, described in cells.items():
            new = newness(described, cells[latest])
            unseen[frame] = np.minimum(unseen.get(frame, new), new)
        latest = max(unseen, key=lambda frame: float(unseen[frame].mean()))
        if float(unseen[latest].mean()) < MUCH_NEW:
            break
        chosen.add(latest)
    return chosen


def _colored(
    coding: Coding, frame: Frame, thumbnail: FrameThumbnail, sampler: FrameSampler, colorizer: Colorizer
) -> ByteArray:
    """A frame with the network's colours, as a player shows it."""
    [ab] = colorizer.predict_ab([thumbnail.even], sampler.network_size, coding.film.orientation)
    segment = ColoredSegment([frame], [thumbnail], [adjusted(colorizer.color, ab)])
    [(_, planes)] = segment.planes(coding)
    return shown_picture(coding.film, encoder.video_frame(coding, planes))
