"""Frames that represent a film, as pictures, for a person who looks through an archive without playing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from archivecolor.errors import UnreadableError
from archivecolor.film.header import ContainerFilm, Film, ImageSequence, opened, picture_stream, pyav
from archivecolor.film.image_sequence import open_sequence, pictures_at
from archivecolor.film.probe import is_film
from archivecolor.film.source import open_source
from archivecolor.imaging.arrays import ByteArray
from archivecolor.imaging.orientation import to_upright
from archivecolor.options import FilmOptions

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video import VideoFrame, VideoStream

COUNT = 9
"""Frames that represent a film: three by three of them have its proportions."""
_SEEK_MARGINS_S = (0.0, 10.0, None)
"""Seconds before a frame at which decoding begins; None: at the film's beginning. Not every container seeks exactly."""


def representative_frames(shots: Sequence[tuple[int, int]]) -> list[int]:
    """Indices of the frames that represent a film: the first frames of its shots, evenly chosen where there are more
    than `COUNT`. Where there are fewer, the middles of the longest gaps are added.

    Args:
        shots: first frame and end (one past the last) of each.
    """
    starts, end = [start for start, _ in shots], shots[-1][1]
    chosen = starts if len(starts) <= COUNT else [starts[i * len(starts) // COUNT] for i in range(COUNT)]
    while len(chosen) < min(COUNT, end):
        gaps = [(next_frame - frame, frame) for frame, next_frame in zip(chosen, [*chosen[1:], end], strict=True)]
        gap, frame = max(gaps, key=lambda item: item[0])
        chosen = sorted([*chosen, frame + gap // 2])
    return chosen


def frames_at(path: Path, times: Sequence[float], options: FilmOptions = FilmOptions()) -> list[ByteArray]:
    """The frames shown at these times, upright, with square pixels, sRGB (h, w, 3).

    Args:
        path: a film, a number pattern, or the one picture of a film of one frame.
        times: seconds after the first frame.
        options: for an image sequence, its frame rate and the curve of its DPX codes.

    Raises:
        UnreadableError, UnsupportedError: the film is damaged, or no film.
        MissingDependencyError: PyAV is not installed.
    """
    film = open_source(path, options) if is_film(path) else open_sequence(path, options.fps, options.dpx_curve)
    if isinstance(film, ImageSequence):
        pictures = [_with_square_pixels(film, picture) for picture in pictures_at(film, times)]
    else:
        frames = (_frame_at(film, time) for time in times)
        pictures = [shown_picture(film, frame) for frame in frames if frame is not None]
    if not pictures:
        raise UnreadableError("no frame in it can be decoded")
    return pictures


def _frame_at(film: ContainerFilm, seconds: float) -> VideoFrame | None:
    """The first frame that is not before this time, or the last frame of the film; None where none can be decoded."""
    last: VideoFrame | None = None
    for margin in _SEEK_MARGINS_S:
        with opened(film.path) as container:
            stream = picture_stream(container)
            target = ceil((stream.start_time or 0) + Fraction(seconds) / film.time_base - Fraction(film.frame_ticks, 2))
            if margin is not None and not _seek(container, stream, target - int(margin / film.time_base)):
                continue
            for frame in _decoded(container, stream):
                pts = frame.pts if frame.pts is not None else frame.dts
                too_late = pts is None or pts > target + film.frame_ticks
                if too_late and last is None and margin is not None:
                    break
                last = frame
                if pts is None or pts >= target:
                    return frame
    return last


def _seek(container: InputContainer, stream: VideoStream, pts: int) -> bool:
    """Moves to a place before this time; False where the container cannot."""
    try:
        container.seek(max(0, pts), stream=stream)
    except pyav().FFmpegError:
        return False
    return True


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """The frames from the current place on. Packets that cannot be decoded are skipped; damage in the container ends
    the film."""
    av = pyav()
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        yield from frames


def shown_picture(film: Film, frame: VideoFrame) -> ByteArray:
    """A frame as a player shows it: upright, with square pixels, sRGB (h, w, 3)."""
    width = max(1, round(frame.width * float(film.sample_aspect or 1)))
    matrix = 5 if film.tags.matrix == 6 else film.tags.matrix  # FFmpeg's scaler has one number for both BT.601
    rgb = frame.reformat(
        width, frame.height, "rgb24", src_colorspace=matrix, src_color_range=2 if film.tags.full_range else 1
    ).to_ndarray()
    return np.ascontiguousarray(to_upright(rgb, film.orientation, (0, 1)))


def _with_square_pixels(film: Film, picture: ByteArray) -> ByteArray:
    """A picture (h, w, 3), stretched to the width that the film's pixel aspect gives it."""
    height, width = picture.shape[:2]
    size = (max(1, round(width * float(film.sample_aspect or 1))), height)
    return np.asarray(cv2.resize(picture, size), np.uint8) if size[0] != width else picture
