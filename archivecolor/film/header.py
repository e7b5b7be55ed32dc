"""What a film's header and first frame say of it: size, clock, tags, how it is to be seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from archivecolor.errors import MissingDependencyError, UnreadableError, UnsupportedError
from archivecolor.film.planes import Tags

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video import VideoFrame, VideoStream

_ORIENTATIONS = {0: 1, 90: 8, -90: 6, 180: 3, -180: 3, 270: 6, -270: 8}
"""Degrees counter-clockwise (PyAV) -> EXIF orientation."""
_FULL_RANGE = 2
_UNSPECIFIED = 2
HD_LINES = 720
"""From here on a film without a matrix tag is taken for BT.709, below for BT.601, as players do."""


def pyav() -> Any:
    """The module `av`.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError(
            f"films need PyAV ({error}); install it with: pip install 'archivecolor[video]'"
        ) from error
    return av


@dataclass(frozen=True)
class Stills:
    """Of a film whose frames are files of their own."""

    kind: str
    """`dpx`, or a format of photographs."""
    bits: int
    """Of a sample, as stored."""
    curve: str
    """Of DPX codes: log, linear or video; empty for photographs."""
    first: int
    """The number of the frame at time 0."""
    exact: bool
    """Whether the luma samples are the file's own codes, and not computed from them."""
    notes: tuple[str, ...] = ()
    """What a user must know of how they were read."""


@dataclass(frozen=True)
class Film:
    """What a film's header says."""

    path: Path
    container: str
    """FFmpeg's name of the format: `mov,mp4,…`, `matroska,webm`, `avi`, …"""
    codec: str
    stream: int
    """Index of the picture stream among all streams."""
    width: int
    height: int
    """As stored, before rotation."""
    pix_fmt: str
    depth: int
    """Bits of a luma sample, as this program hands them on."""
    time_base: Fraction
    rate: Fraction
    """Frames a second, on average; for encoders and clocks, never for time stamps (but those of stills)."""
    sample_aspect: Fraction | None
    """Width ÷ height of a pixel; None where nothing is said, which means 1."""
    tags: Tags
    orientation: int
    """As in EXIF."""
    display_matrix: tuple[int, ...] | None
    interlaced: bool
    field_order: int
    expected_frames: int
    """What the container says; 0 where it says nothing."""
    duration_s: float
    """Of the pictures; 0 where the container does not tell it apart from the sound's."""
    stills: Stills | None = None
    """Where every frame is a file; `path` is their number pattern."""
    others: int = 0
    """Streams beside the pictures: sound, subtitles, data."""
    deinterlaced: bool = False
    """Frames that are interlaced are made progressive as they are read."""

    @property
    def frame_ticks(self) -> int:
        """About one frame in ticks of the time base."""
        return max(1, round(1 / (self.rate * self.time_base)))


def open_film(path: Path, deinterlace: bool = False) -> Film:
    """Reads the header and the first frame.

    Args:
        deinterlace: whether frames that are interlaced are to be made progressive.

    Raises:
        UnreadableError: damaged, or no film.
        UnsupportedError: a film without pictures.
        MissingDependencyError: PyAV is not installed.
    """
    av = pyav()
    with opened(path) as container:
        stream = picture_stream(container)
        try:
            frame = next(container.decode(stream), None)
        except av.FFmpegError as error:
            raise UnreadableError(f"its first frame cannot be decoded ({error.strerror})") from error
        if frame is None:
            raise UnreadableError("no frame in it can be decoded")
        film = _described(path, container, stream, frame)
        return replace(film, interlaced=False, deinterlaced=True) if deinterlace else film


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """The container, with a film's own words for what FFmpeg says of a broken one."""
    av = pyav()
    try:
        container = av.open(str(path), metadata_errors="replace")
    except av.FileNotFoundError:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise UnreadableError(f"not a film that FFmpeg can read ({error})") from error
    with container:
        yield container


def picture_stream(container: InputContainer) -> VideoStream:
    """The stream of moving pictures: not a cover.

    Raises:
        UnsupportedError: there is none.
    """
    from av.stream import Disposition

    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic and s.codec_context]
    if not moving:
        raise UnsupportedError("has no stream of pictures")
    return moving[0]


def _described(path: Path, container: InputContainer, stream: VideoStream, frame: VideoFrame) -> Film:
    context, tags = stream.codec_context, _tags(stream, frame)
    matrix = _display_matrix(frame)
    return Film(
        path=path, container=container.format.name, codec=context.name, stream=stream.index, width=frame.width,
        height=frame.height, pix_fmt=frame.format.name, depth=_depth(frame.format),
        time_base=Fraction(stream.time_base or Fraction(1, 1000)), rate=_rate(stream),
        sample_aspect=stream.sample_aspect_ratio or None, tags=tags,
        orientation=_ORIENTATIONS.get(frame.rotation, 1), display_matrix=matrix,
        interlaced=bool(frame.interlaced_frame), field_order=context.field_order,
        expected_frames=stream.frames, duration_s=_duration(container, stream), others=len(container.streams) - 1,
    )  # fmt: skip


def _duration(container: InputContainer, stream: VideoStream) -> float:
    """Seconds. Matroska has the end, counted from 0, as a tag of the stream, where it has it."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    tag = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if tag:
        begins = float((stream.start_time or 0) * (stream.time_base or 0))
        return 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3]) - max(0.0, begins)
    return (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0


def _rate(stream: VideoStream) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and Fraction(1, 3600) <= rate <= 1000:
            return Fraction(rate)
    return Fraction(25)


def _display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    from av.sidedata.sidedata import Type

    found: list[Any] = [data for data in list[Any](frame.side_data) if data.type == Type.DISPLAYMATRIX]
    return tuple(int(v) for v in np.frombuffer(bytes(found[0]), np.int32)) if found else None


def _depth(pix_fmt: Any) -> int:
    """Of what `luma_of` gives: 8 for palettes and packed RGB of 8 bits."""
    bits = max(c.bits for c in pix_fmt.components)
    return bits if has_luma(pix_fmt) else (8 if bits <= 8 else 16)


def has_luma(pix_fmt: Any) -> bool:
    return not (pix_fmt.is_rgb or pix_fmt.has_palette or pix_fmt.is_bit_stream)


def _tags(stream: VideoStream, frame: VideoFrame) -> Tags:
    """The tags of the luma that is handed on. What is not tagged is taken as players take it."""
    name = frame.format.name
    if not has_luma(frame.format):
        return Tags(1, False, 1, 1)
    matrix = int(frame.colorspace)
    if matrix in (0, _UNSPECIFIED, 3):
        matrix = 1 if frame.height >= HD_LINES else 6
    stored = int(frame.color_range)
    grey_alone = name.startswith("gray") and stored == 0 and stream.codec_context.name not in ("h264", "hevc", "av1")
    full = stored == _FULL_RANGE or name.startswith("yuvj") or grey_alone
    primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
    return Tags(matrix, full, primaries if primaries not in (0, _UNSPECIFIED) else 1,
                transfer if transfer not in (0, _UNSPECIFIED) else 1)  # fmt: skip
