"""Reads films with PyAV: every frame with its exact time and its luma samples as stored.

What cannot be decoded is not dropped. A packet without a frame is noticed by its time stamp, and a substitute takes the
frame's place, so that sound stays in step.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from archivecolor import files
from archivecolor.film.header import ContainerFilm, Film, deciding_streams, has_luma, opened, picture_stream, pyav
from archivecolor.film.timeline import ContinuousTimes
from archivecolor.imaging.arrays import Samples

if TYPE_CHECKING:
    from av.bitstream import BitStreamFilterContext
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video import VideoFrame, VideoStream
    from av.video.format import VideoFormat


_PLANAR = ("yuv", "gray")
_LONGEST_SKIPPED_VOP = 19
"""Bytes of an MPEG-4 packet that says "as before" instead of a picture; the limit of FFmpeg's mpeg4_unpack_bframes."""


@dataclass(frozen=True)
class Frame:
    """One frame of a film."""

    index: int
    pts: int
    """Presentation time in ticks of the film's time base."""
    luma: Samples
    """(H, W), uint8 or uint16, the codes as stored."""
    bad: bool
    """Could not be decoded; `luma` is a substitute."""
    picture: VideoFrame | None
    """As decoded, with its colours; None for a substitute and where colours are not needed."""


def luma_of(frame: VideoFrame) -> Samples:
    """The luma samples (H, W) as stored, in the low bits. RGB is converted to BT.709 in limited range."""
    name = frame.format.name
    if not has_luma(frame.format):
        wide = max(c.bits for c in frame.format.components) > 8
        frame = frame.reformat(format="yuv444p16le" if wide else "yuv444p", dst_colorspace=1, dst_color_range=1)
    elif not name.startswith(_PLANAR) or name.startswith(("yuyv", "yuva")) or name.endswith("be"):
        frame = frame.reformat(format=_planar_format(frame.format))
    return plane_samples(frame, 0)


def _planar_format(pix_fmt: VideoFormat) -> str:
    """The planar little-endian format that holds the same luma samples."""
    bits = pix_fmt.components[0].bits
    name = pix_fmt.name
    layout = next((s for s in ("444", "422", "420", "410", "411", "440") if s in name), "")
    if name.startswith("gray"):
        return f"gray{bits}le" if bits > 8 else "gray"
    if name.startswith(("nv12", "nv21", "p01")):
        layout = "420"
    return f"yuv{layout or '422'}p{f'{bits}le' if bits > 8 else ''}"


def plane_samples(frame: VideoFrame, number: int) -> Samples:
    """A copy of a plane (h, w) of a planar little-endian frame, uint8 or uint16."""
    plane = frame.planes[number]
    dtype = np.uint8 if frame.format.components[0].bits == 8 else np.dtype("<u2")
    rows = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)
    return rows[:, : plane.width].astype(np.uint8 if dtype == np.uint8 else np.uint16, copy=True)


def substitute_luma(film: Film, last: Samples | None, grey: bool) -> Samples:
    """The luma (H, W) in place of a frame that cannot be decoded.

    Args:
        last: that of the last good frame, if any.
        grey: whether to use a grey frame even so.
    """
    if last is not None and not grey:
        return last
    dtype = np.uint8 if film.depth == 8 else np.uint16
    return np.full((film.height, film.width), 1 << (film.depth - 1), dtype)


def rgb_frame(rgb: Samples) -> VideoFrame:
    """RGB (H, W, 3), uint8 or uint16, as a frame of PyAV with 8 bits."""
    rgb8 = rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8)
    frame: VideoFrame = pyav().VideoFrame.from_ndarray(np.ascontiguousarray(rgb8), format="rgb24")
    return frame


class _Deinterlacer:
    """FFmpeg's filter bwdif: a progressive frame for each frame, a few frames later."""

    def __init__(self, film: Film) -> None:
        av = pyav()
        self._av, self._graph = av, av.filter.Graph()
        source = self._graph.add_buffer(
            width=film.width, height=film.height, format=film.pix_fmt, time_base=film.time_base
        )
        bwdif = self._graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        original_format, sink = self._graph.add("format", film.pix_fmt), self._graph.add("buffersink")
        self._graph.link_nodes(source, bwdif, original_format, sink).configure()

    def filtered(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """The frames that are ready when this one, or None for the end, is pushed."""
        self._graph.vpush(frame)
        while True:
            try:
                yield self._graph.vpull()
            except (BlockingIOError, self._av.EOFError):
                return


def _unpacked(unpack: BitStreamFilterContext, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
    """One picture a packet, where DivX packed two into one. Side data stay with the packet."""
    stream, time_base = packet.stream, packet.time_base
    for one in unpack.filter(packet):
        one.stream, one.time_base = stream, time_base
        yield one


def _with_time_of(filtered: VideoFrame, frame: VideoFrame, interlaced: bool) -> tuple[VideoFrame, bool]:
    """The filtered frame with the time of its source, since filters count in units of their own; the source itself if
    it was progressive."""
    if not interlaced:
        return frame, False
    filtered.pts = frame.pts if frame.pts is not None else frame.dts
    filtered.duration = frame.duration  # the filter counts in halves of the time base
    return filtered, True


class FrameReader:
    """The frames of a film in a container, in presentation order.

    After the last frame, the attributes are valid; see `source.FrameSource`.

    Args:
        on_bad_frame: `repeat` the last good frame, or `grey`.
    """

    def __init__(self, film: ContainerFilm, on_bad_frame: str = "repeat") -> None:
        self.film, self.trouble, self.packets, self.deinterlaced = film, "", 0, 0
        self.last_ticks = 0
        self._times: ContinuousTimes | None = None
        self._grey_substitute = on_bad_frame == "grey"
        self._pending: list[int] = []
        """Heap of the times of packets whose frames have not come yet."""
        self._last: Samples | None = None
        self._last_pts: int | None = None
        self._count = 0

    @property
    def breaks(self) -> int:
        return self._times.breaks if self._times else 0

    def __iter__(self) -> Iterator[Frame]:
        with opened(self.film.path) as container:
            stream = picture_stream(container)
            stream.thread_type = "SLICE"  # frame threads conceal damage differently from run to run
            decoded = (
                (self._conformed(frame), bool(frame.interlaced_frame)) for frame in self._decoded(container, stream)
            )
            for frame, interlaced in self._progressive(decoded) if self.film.deinterlaced else decoded:
                pts = self._time(frame)
                yield from self._substitutes_before(pts, interlaced)
                yield self._good(frame, pts)
            yield from self._substitutes_before(None, False)

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Decodes packet by packet, and notes the time of each."""
        av = pyav()
        self._times = ContinuousTimes(self.film.container, deciding_streams(container))
        for packet in self._times.corrected(self._packets(container, stream)):
            if packet.stream.index != stream.index:
                continue
            self._count_packet(packet)
            try:
                yield from stream.decode(packet)
            except av.FFmpegError:
                continue  # its time stays among the pending ones
        if self.trouble:
            try:
                yield from stream.decode(None)
            except av.FFmpegError:
                return

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[Packet[Stream]]:
        """The packets by which breaks in time are found. Damage in the container ends them."""
        av = pyav()
        unpack = av.BitStreamFilterContext("mpeg4_unpack_bframes", stream) if stream.name == "mpeg4" else None
        packets = container.demux(deciding_streams(container))
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                if files.is_system_error(error):
                    raise files.read_error(error) from error
                self.trouble = str(error.strerror)
                return
            if packet is None:
                return
            if unpack and packet.size and packet.stream.index == stream.index:
                yield from _unpacked(unpack, packet)
            else:
                yield packet

    def _count_packet(self, packet: Packet[Stream]) -> None:
        if packet.pts is None and packet.dts is None:
            return
        self.packets += 1
        if self.film.container == "avi" and packet.dts is not None:
            self.packets = max(self.packets, packet.dts + 1)  # chunks are counted, also those without a picture
        says_as_before = packet.stream.name == "mpeg4" and packet.size <= _LONGEST_SKIPPED_VOP
        if packet.pts is not None and packet.size and not packet.is_discard and not says_as_before:
            heapq.heappush(self._pending, packet.pts)

    def _time(self, frame: VideoFrame) -> int:
        """The frame's pts; where the container has none, the decoder's, and always later than the last."""
        pts = frame.pts if frame.pts is not None else frame.dts
        if self._last_pts is None:
            return int(pts or 0)
        next_pts = self._last_pts + 1
        return max(next_pts, int(pts) if pts is not None else self._last_pts + self.film.frame_ticks)

    def _substitutes_before(self, pts: int | None, interlaced: bool) -> Iterator[Frame]:
        """Substitutes for the packets before `pts` that gave no frame; with None, for all that are left."""
        while self._pending and (pts is None or self._pending[0] <= pts):
            missing = heapq.heappop(self._pending)
            is_second_field = (
                interlaced
                and pts is not None
                and self._last_pts is not None
                and 2 * (pts - self._last_pts) <= 3 * self.film.frame_ticks
            )
            if missing != pts and not is_second_field and missing > (self._last_pts or missing - 1):
                yield self._substitute(missing)

    def _progressive(self, frames: Iterator[tuple[VideoFrame, bool]]) -> Iterator[tuple[VideoFrame, bool]]:
        """Makes each frame that is flagged as interlaced progressive: the lines of the first field stay, those between
        come from their neighbours in space and time (BBC's bwdif). Other frames stay as they are."""
        deinterlacer = _Deinterlacer(self.film)
        waiting: deque[tuple[VideoFrame, bool]] = deque()
        for frame, interlaced in frames:
            self.deinterlaced += interlaced
            waiting.append((frame, interlaced))
            yield from (_with_time_of(made, *waiting.popleft()) for made in deinterlacer.filtered(frame))
        yield from (_with_time_of(made, *waiting.popleft()) for made in deinterlacer.filtered(None) if waiting)
        yield from waiting

    def _conformed(self, frame: VideoFrame) -> VideoFrame:
        """The frame in the size and format of the first one."""
        if (frame.width, frame.height, frame.format.name) == (self.film.width, self.film.height, self.film.pix_fmt):
            return frame
        return frame.reformat(self.film.width, self.film.height, self.film.pix_fmt)

    def _good(self, frame: VideoFrame, pts: int) -> Frame:
        self._last, self.last_ticks = luma_of(frame), frame.duration or 0
        return self._counted(pts, self._last, False, frame)

    def _substitute(self, pts: int) -> Frame:
        return self._counted(pts, substitute_luma(self.film, self._last, self._grey_substitute), True, None)

    def _counted(self, pts: int, luma: Samples, bad: bool, picture: VideoFrame | None) -> Frame:
        self._last_pts = pts
        self._count += 1
        return Frame(self._count - 1, pts, luma, bad, picture)
