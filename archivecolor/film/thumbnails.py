"""A few frames of a film as pictures, for whoever looks it over without playing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from archivecolor.errors import UnreadableError
from archivecolor.film.header import Film, opened, pyav
from archivecolor.film.image_sequence import open_stills, shown_at
from archivecolor.film.probe import is_film
from archivecolor.film.source import open_source
from archivecolor.imaging.arrays import ByteArray
from archivecolor.imaging.orientation import to_upright
from archivecolor.options import FilmOptions

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video import VideoFrame


COUNT = 9
"""Stills of a film: a square of three by three keeps its proportions."""
_EARLIER_S = (0.0, 10.0, None)
"""Seconds before a frame at which decoding begins, None for the film's beginning: not every container finds the place
itself."""
_GAP = 0.004
"""Between the stills on a sheet, as a share of its side."""


def representative_frames(shots: Sequence[tuple[int, int]]) -> list[int]:
    """Frames that show what a film holds: the first ones of its shots, of many shots some; where there are fewer than
    `COUNT`, also those in the middle of the longest gaps.

    Args:
        shots: first frame and end of each.
    """
    starts, end = [start for start, _ in shots], shots[-1][1]
    chosen = starts if len(starts) <= COUNT else [starts[i * len(starts) // COUNT] for i in range(COUNT)]
    while len(chosen) < min(COUNT, end):
        gaps = [(after - frame, frame) for frame, after in zip(chosen, [*chosen[1:], end], strict=True)]
        gap, frame = max(gaps, key=lambda one: one[0])
        chosen = sorted([*chosen, frame + gap // 2])
    return chosen


def stills(path: Path, times: Sequence[float], how: FilmOptions = FilmOptions()) -> list[ByteArray]:  # noqa: B008  (frozen)
    """The frames that are shown so many seconds after the first one, upright, with square pixels, sRGB (h, w, 3).

    Args:
        path: a film, a number pattern, or the one picture of a film of one frame.
        how: of numbered files, how many a second there are and what DPX codes stand for.

    Raises:
        UnreadableError, UnsupportedError: damaged, or no film.
        MissingDependencyError: PyAV is not installed.
    """
    film = open_source(path, how) if is_film(path) else open_stills(path, how.fps, how.dpx_curve)
    if film.stills:
        found = [_square(film, picture) for picture in shown_at(film, times)]
    else:
        found = [_picture(film, frame) for time in times if (frame := _frame_at(film, time)) is not None]
    if not found:
        raise UnreadableError("no frame in it can be decoded")
    return found


def _frame_at(film: Film, seconds: float) -> VideoFrame | None:
    """The first frame that is not before this time; the last one there is, where all are before it."""
    last: VideoFrame | None = None
    for earlier in _EARLIER_S:
        with opened(film.path) as container:
            stream: Any = container.streams[film.stream]
            wanted = ceil((stream.start_time or 0) + Fraction(seconds) / film.time_base - Fraction(film.frame_ticks, 2))
            if earlier is not None and not _went(container, stream, wanted - int(earlier / film.time_base)):
                continue
            for frame in _decoded(container, stream):
                pts = frame.pts if frame.pts is not None else frame.dts
                behind = pts is None or pts > wanted + film.frame_ticks
                if behind and last is None and earlier is not None:
                    break
                last = frame
                if pts is None or pts >= wanted:
                    return frame
    return last


def _went(container: InputContainer, stream: Any, pts: int) -> bool:
    """Whether the container found a place before this time."""
    try:
        container.seek(max(0, pts), stream=stream)
    except pyav().FFmpegError:
        return False
    return True


def _decoded(container: InputContainer, stream: Any) -> Iterator[VideoFrame]:
    """The frames from here on, without those that cannot be decoded."""
    av = pyav()
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            frames = packet.decode() if packet else []
        except av.FFmpegError:
            if packet is None:
                return
            continue
        if packet is None:
            return
        yield from frames


def _picture(film: Film, frame: VideoFrame) -> ByteArray:
    """A frame as a player shows it."""
    width = max(1, round(frame.width * float(film.sample_aspect or 1)))
    matrix = 5 if film.tags.matrix == 6 else film.tags.matrix  # FFmpeg's scaler has one number for both BT.601
    rgb = frame.reformat(
        width, frame.height, "rgb24", src_colorspace=matrix, src_color_range=2 if film.tags.full_range else 1
    ).to_ndarray()
    return np.ascontiguousarray(to_upright(rgb, film.orientation, (0, 1)))


def _square(film: Film, picture: ByteArray) -> ByteArray:
    """A picture (h, w, 3) as wide as its pixels say."""
    height, width = picture.shape[:2]
    size = (max(1, round(width * float(film.sample_aspect or 1))), height)
    return np.asarray(cv2.resize(picture, size), np.uint8) if size[0] != width else picture


def sheet(pictures: Sequence[ByteArray], long_side: int) -> ByteArray:
    """Pictures of one size in rows, as many as there are columns; the long side at most `long_side`."""
    across = ceil(sqrt(len(pictures)))
    gap = max(1, round(_GAP * long_side))
    height, width = pictures[0].shape[:2]
    scale = min(1.0, (long_side - gap * (across - 1)) / across / max(height, width))
    h, w = max(1, int(height * scale)), max(1, int(width * scale))
    down = ceil(len(pictures) / across)
    whole = np.zeros((down * (h + gap) - gap, across * (w + gap) - gap, 3), np.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // across * (h + gap), i % across * (w + gap)
        whole[top : top + h, left : left + w] = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA)
    return whole
