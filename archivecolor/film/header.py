"""What a film's header and first frame say of it: size, time base, tags, orientation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from archivecolor import files
from archivecolor.errors import MissingDependencyError, UnreadableError, UnsupportedError
from archivecolor.film.animation import is_webp, webp_as_matroska
from archivecolor.film.framing import has_all_bytes
from archivecolor.film.planes import Tags
from archivecolor.film.sound import SoundTrack, sound_tracks

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream
    from av.video import VideoFrame, VideoStream
    from av.video.format import VideoFormat

_ORIENTATIONS = {0: 1, 90: 8, -90: 6, 180: 3, -180: 3, 270: 6, -270: 8}
"""Degrees counter-clockwise (PyAV) -> EXIF orientation."""
_FULL_RANGE = 2
_UNSPECIFIED = 2
HD_LINES = 720
"""A film without a matrix tag is taken for BT.709 from this height on, and for BT.601 below, as players do."""


def pyav() -> ModuleType:
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


@dataclass(frozen=True, kw_only=True)
class FilmHeader:
    """What is known of a film before its frames are read. Fields with a default are those of films in a container."""

    path: Path
    """A file, or the number pattern of an image sequence."""
    codec: str
    """FFmpeg's name. For an image sequence: `dpx`, or a format of photographs."""
    width: int
    height: int
    """In pixels, as stored, before rotation."""
    pix_fmt: str
    depth: int
    """Bits of a luma sample, as readers return it."""
    time_base: Fraction
    """Seconds of one tick of the time stamps."""
    rate: Fraction
    """Average frames per second. Encoders and timecodes use it; only an image sequence takes time stamps from it."""
    sample_aspect: Fraction | None
    """Width ÷ height of a pixel; None where the header does not say, which means 1."""
    tags: Tags
    orientation: int
    """EXIF orientation, 1 to 8."""
    expected_frames: int
    """What the container says; 0 where it says nothing."""
    stream: int = -1
    """Index of the picture stream among all streams."""
    other_streams: int = 0
    """Number of streams beside the pictures: sound, subtitles, data."""
    sound: tuple[SoundTrack, ...] = ()
    display_matrix: tuple[int, ...] | None = None
    interlaced: bool = False
    field_order: int = 0
    deinterlaced: bool = False
    """Whether interlaced frames are made progressive as they are read."""
    duration_s: float = 0.0
    """Of the pictures; 0 where the container gives only that of all streams together."""
    notes: tuple[str, ...] = ()
    """What a user must know of how the film is read."""

    @property
    def frame_ticks(self) -> int:
        """About one frame in ticks of the time base."""
        return max(1, round(1 / (self.rate * self.time_base)))


@dataclass(frozen=True, kw_only=True)
class ContainerFilm(FilmHeader):
    """A film in one file."""

    container: str
    """FFmpeg's name of the format: `mov,mp4,…`, `matroska,webm`, `avi`, …"""
    has_all_bytes: bool = False
    """See `framing.has_all_bytes`."""

    @property
    def has_index(self) -> bool:
        """Whether `expected_frames` comes from an index of all frames, with edit lists applied (MP4, MOV)."""
        return self.container.startswith("mov,") and self.expected_frames > 0

    @property
    def stored_bits(self) -> int:
        """Bits of a stored sample."""
        return self.depth

    def frame_number(self, index: int, pts: int) -> int:
        """The number by which a user knows a frame: its index, counted from 0."""
        return index


@dataclass(frozen=True, kw_only=True)
class ImageSequence(FilmHeader):
    """A film whose frames are files of their own."""

    stored_bits: int
    """Bits of a stored sample."""
    curve: str
    """Of DPX codes: `log`, `linear` or `video`; empty for photographs."""
    first: int
    """The number of the frame at time 0."""
    exact: bool
    """Whether the luma samples are the file's own codes, and not computed from them."""

    def frame_number(self, index: int, pts: int) -> int:
        """The number by which a user knows a frame: the one in its file name."""
        return pts + self.first


Film: TypeAlias = ContainerFilm | ImageSequence


def open_film(path: Path, deinterlace: bool = False) -> ContainerFilm:
    """Reads the header and the first frame.

    Args:
        deinterlace: whether readers make interlaced frames progressive.

    Raises:
        UnreadableError: the file is damaged, or no film.
        UnsupportedError: it has no pictures.
        MissingDependencyError: PyAV is not installed.
    """
    av = pyav()
    with opened(path) as container:
        stream = picture_stream(container)
        try:
            frame = next(container.decode(stream), None)
        except av.FFmpegError as error:
            if files.is_system_error(error):
                raise files.read_error(error) from error
            raise UnreadableError(f"its first frame cannot be decoded ({error.strerror})") from error
        if frame is None:
            raise UnreadableError("no frame in it can be decoded")
        film = _film_header(path, container, stream, frame)
        return replace(film, interlaced=False, deinterlaced=True) if deinterlace else film


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """Opens a container for reading.

    Raises:
        UnreadableError: FFmpeg cannot read it.
        FileNotFoundError: there is no such file.
        SourceReadError: the system cannot read it.
    """
    av = pyav()
    try:
        with path.open("rb") as file:
            animation = webp_as_matroska(path) if is_webp(file.read(12)) else None
    except FileNotFoundError:
        raise
    except OSError as error:
        raise files.read_error(error) from error
    try:
        container = av.open(animation or str(path), metadata_errors="replace")
    except av.FileNotFoundError:
        raise
    except (av.FFmpegError, ValueError) as error:
        if files.is_system_error(error):
            raise files.read_error(error) from error
        raise UnreadableError(f"not a film that FFmpeg can read ({error})") from error
    with container, animation or nullcontext():
        yield container


def picture_stream(container: InputContainer) -> VideoStream:
    """The first stream of moving pictures; cover pictures do not count.

    Raises:
        UnsupportedError: there is none.
    """
    from av.stream import Disposition

    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic and s.codec_context]
    if not moving:
        raise UnsupportedError("has no stream of pictures")
    return moving[0]


def deciding_streams(container: InputContainer) -> tuple[Stream, ...]:
    """The streams by whose times `timeline.ContinuousTimes` finds breaks: the pictures and all sound. In MOV and MP4 it
    is the pictures alone, because each stream there has its own edit list."""
    pictures = picture_stream(container)
    return (pictures,) if container.format.name.startswith("mov,") else (pictures, *container.streams.audio)


def _film_header(path: Path, container: InputContainer, stream: VideoStream, frame: VideoFrame) -> ContainerFilm:
    context = stream.codec_context
    return ContainerFilm(
        path=path,
        container=container.format.name,
        codec=context.name,
        stream=stream.index,
        width=frame.width,
        height=frame.height,
        pix_fmt=frame.format.name,
        depth=_depth(frame.format),
        time_base=Fraction(stream.time_base or Fraction(1, 1000)),
        rate=_rate(stream),
        sample_aspect=stream.sample_aspect_ratio or None,
        tags=_tags(stream, frame),
        orientation=_ORIENTATIONS.get(frame.rotation, 1),
        display_matrix=_display_matrix(frame),
        interlaced=bool(frame.interlaced_frame),
        field_order=context.field_order,
        expected_frames=_expected_frames(container, stream),
        has_all_bytes=has_all_bytes(path),
        duration_s=_duration(container, stream),
        other_streams=len(container.streams) - 1,
        sound=sound_tracks(container),
    )


def _expected_frames(container: InputContainer, stream: VideoStream) -> int:
    """Frames by the header. An edit list of MP4 hides frames: FFmpeg's index has only those that are decoded."""
    if container.format.name.startswith("mov,") and stream.frames:
        return len(stream.index_entries) or stream.frames
    return stream.frames


def _duration(container: InputContainer, stream: VideoStream) -> float:
    """Seconds of the pictures, or 0. Matroska may keep the end of a stream, counted from 0, as a tag."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    tag = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if tag:
        start = float((stream.start_time or 0) * (stream.time_base or 0))
        return 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3]) - max(0.0, start)
    return (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0


def _rate(stream: VideoStream) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and Fraction(1, 3600) <= rate <= 1000:
            return Fraction(rate)
    return Fraction(25)


def _display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    from av.sidedata.sidedata import Type

    matrices: list[Any] = [data for data in list[Any](frame.side_data) if data.type == Type.DISPLAYMATRIX]
    return tuple(int(v) for v in np.frombuffer(bytes(matrices[0]), np.int32)) if matrices else None


def _depth(pix_fmt: VideoFormat) -> int:
    """Bits of the samples that `luma_of` returns: 8 for palettes and packed RGB of 8 bits."""
    bits = max(c.bits for c in pix_fmt.components)
    return bits if has_luma(pix_fmt) else (8 if bits <= 8 else 16)


def has_luma(pix_fmt: VideoFormat) -> bool:
    """Whether a pixel format stores luma samples: not RGB, no palette."""
    return not (pix_fmt.is_rgb or pix_fmt.has_palette or pix_fmt.is_bit_stream)


def _tags(stream: VideoStream, frame: VideoFrame) -> Tags:
    """The tags of the luma that readers return. Where a tag is missing, the default of players is used."""
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
    primaries = primaries if primaries not in (0, _UNSPECIFIED) else 1
    transfer = transfer if transfer not in (0, _UNSPECIFIED) else 1
    return Tags(matrix, full, primaries, transfer)
