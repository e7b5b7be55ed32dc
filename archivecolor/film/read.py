"""Films read with PyAV: every frame with its exact time and its luma samples as stored.

What cannot be decoded is not dropped: a packet whose frame never comes is noticed by its time stamp, and a stand-in
takes its place, so that sound stays in step.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from archivecolor.film.header import Film, has_luma, opened, pyav
from archivecolor.imaging.arrays import Samples

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video import VideoFrame


_PLANAR = ("yuv", "gray")


@dataclass(frozen=True)
class Frame:
    """One frame of a film."""

    index: int
    pts: int
    luma: Samples
    """(H, W), uint8 or uint16, the codes as stored."""
    bad: bool
    """Could not be decoded; `luma` is a stand-in."""
    picture: VideoFrame | None
    """As decoded, for whoever wants its colours; None for a stand-in."""


def luma_of(frame: VideoFrame) -> Samples:
    """The luma samples (H, W) as stored, in the low bits. RGB, which has none, is turned into BT.709 limited range."""
    name = frame.format.name
    if not has_luma(frame.format):
        wide = max(c.bits for c in frame.format.components) > 8
        frame = frame.reformat(format="yuv444p16le" if wide else "yuv444p", dst_colorspace=1, dst_color_range=1)
    elif not name.startswith(_PLANAR) or name.startswith(("yuyv", "yuva")) or name.endswith("be"):
        frame = frame.reformat(format=_planar_twin(frame.format))
    return _plane(frame)


def _planar_twin(pix_fmt: Any) -> str:
    """The planar little-endian format into which repacking moves the luma samples without touching them."""
    bits = pix_fmt.components[0].bits
    name = str(pix_fmt.name)
    layout = next((s for s in ("444", "422", "420", "410", "411", "440") if s in name), "")
    if name.startswith("gray"):
        return f"gray{bits}le" if bits > 8 else "gray"
    if name.startswith(("nv12", "nv21", "p01")):
        layout = "420"
    return f"yuv{layout or '422'}p{f'{bits}le' if bits > 8 else ''}"


def _plane(frame: VideoFrame) -> Samples:
    plane = frame.planes[0]
    dtype = np.uint8 if frame.format.components[0].bits == 8 else np.dtype("<u2")
    rows = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)
    return rows[:, : plane.width].astype(np.uint8 if dtype == np.uint8 else np.uint16, copy=True)


class _Deinterlacer:
    """FFmpeg's filter, one frame for each that it is given, a few later."""

    def __init__(self, film: Film) -> None:
        av = pyav()
        self._av, self._graph = av, av.filter.Graph()
        source = self._graph.add_buffer(
            width=film.width, height=film.height, format=film.pix_fmt, time_base=film.time_base
        )
        filtered = self._graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        back, sink = self._graph.add("format", film.pix_fmt), self._graph.add("buffersink")
        self._graph.link_nodes(source, filtered, back, sink).configure()

    def given(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """What comes out when this one, or the end, goes in."""
        self._graph.vpush(frame)
        while True:
            try:
                yield self._graph.vpull()
            except (BlockingIOError, self._av.EOFError):
                return


def _in_time(made: VideoFrame, frame: VideoFrame, interlaced: bool) -> tuple[VideoFrame, bool]:
    """The time of the frame that it was made of: filters count in units of their own. One that was progressive is
    that frame itself."""
    if not interlaced:
        return frame, False
    made.pts = frame.pts if frame.pts is not None else frame.dts
    return made, True


class Reader:
    """The frames of a film, in the order in which they are shown.

    After the last one, `trouble` is what FFmpeg said of an early end, or "", `packets` how many there were, and
    `deinterlaced` how many frames were made progressive.

    Args:
        on_bad_frame: `repeat` the last good frame, or `grey`.
    """

    def __init__(self, film: Film, on_bad_frame: str = "repeat") -> None:
        self.film, self.trouble, self.packets, self.deinterlaced = film, "", 0, 0
        self._grey_stand_in = on_bad_frame == "grey"
        self._waiting: list[int] = []
        self._last: Samples | None = None
        self._last_pts: int | None = None
        self._count = 0

    def __iter__(self) -> Iterator[Frame]:
        with opened(self.film.path) as container:
            stream: Any = container.streams[self.film.stream]
            stream.thread_type = "SLICE"  # frame threads conceal damage differently from run to run
            decoded = ((self._alike(frame), bool(frame.interlaced_frame)) for frame in self._decoded(container, stream))
            for frame, interlaced in self._progressive(decoded) if self.film.deinterlaced else decoded:
                pts = self._time(frame)
                yield from self._missed(pts, interlaced)
                yield self._good(frame, pts)
            yield from self._missed(None, False)

    def _decoded(self, container: InputContainer, stream: Any) -> Iterator[VideoFrame]:
        """Decodes packet by packet, and notes the time of each."""
        av = pyav()
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self.trouble = str(error.strerror)
                packet = None
            if packet is None:
                break
            self.packets += packet.pts is not None or packet.dts is not None
            if packet.pts is not None and packet.size and not packet.is_discard:
                heapq.heappush(self._waiting, packet.pts)
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue  # its time stays among those waited for
        if self.trouble:
            try:
                yield from stream.decode(None)
            except av.FFmpegError:
                return

    def _time(self, frame: VideoFrame) -> int:
        """The frame's pts; where the container has none, the decoder's, and always later than the last."""
        pts = frame.pts if frame.pts is not None else frame.dts
        if self._last_pts is None:
            return int(pts or 0)
        after = self._last_pts + 1
        return max(after, int(pts) if pts is not None else self._last_pts + self.film.frame_ticks)

    def _missed(self, pts: int | None, interlaced: bool) -> Iterator[Frame]:
        """Stand-ins for the packets before `pts` (all that are left, for None) that gave no frame."""
        while self._waiting and (pts is None or self._waiting[0] <= pts):
            missing = heapq.heappop(self._waiting)
            is_second_field = interlaced and pts is not None and self._last_pts is not None and (
                2 * (pts - self._last_pts) <= 3 * self.film.frame_ticks
            )  # fmt: skip
            if missing != pts and not is_second_field and missing > (self._last_pts or missing - 1):
                yield self._stand_in(missing)

    def _progressive(self, frames: Iterator[tuple[VideoFrame, bool]]) -> Iterator[tuple[VideoFrame, bool]]:
        """Each frame whose flag says that its lines are of two moments, made of one: the first field's lines as they
        are, those between from their neighbours in space and time (BBC's bwdif). Others stay as they are."""
        graph = _Deinterlacer(self.film)
        waiting: deque[tuple[VideoFrame, bool]] = deque()
        for frame, interlaced in frames:
            self.deinterlaced += interlaced
            waiting.append((frame, interlaced))
            yield from (_in_time(made, *waiting.popleft()) for made in graph.given(frame))
        yield from (_in_time(made, *waiting.popleft()) for made in graph.given(None) if waiting)
        yield from waiting

    def _alike(self, frame: VideoFrame) -> VideoFrame:
        """In the size and format of the first."""
        if (frame.width, frame.height, frame.format.name) == (self.film.width, self.film.height, self.film.pix_fmt):
            return frame
        return frame.reformat(self.film.width, self.film.height, self.film.pix_fmt)

    def _good(self, frame: VideoFrame, pts: int) -> Frame:
        self._last, self._last_pts = luma_of(frame), pts
        self._count += 1
        return Frame(self._count - 1, pts, self._last, False, frame)

    def _stand_in(self, pts: int) -> Frame:
        luma = self._last
        if luma is None or self._grey_stand_in:
            dtype = np.uint8 if self.film.depth == 8 else np.uint16
            luma = np.full((self.film.height, self.film.width), 1 << (self.film.depth - 1), dtype)
        self._last_pts = pts
        self._count += 1
        return Frame(self._count - 1, pts, luma, True, None)
