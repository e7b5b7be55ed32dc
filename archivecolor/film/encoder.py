"""Planes -> encoded packets, one closed segment at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from archivecolor.film.coding import Coding
from archivecolor.film.header import Film, pyav
from archivecolor.film.work_folder import StoredPacket
from archivecolor.imaging.arrays import Samples

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video import VideoFrame

ENCODER_THREADS = 1
"""The encoder works beside the network, and several films may be encoded at once."""
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    # `faster` takes much less time than `medium`, for slightly larger files.
    # Without mbtree: with it, libx264 sometimes gave other bytes for the same frames, even in one thread, and a
    # resumed film was not equal to one that was never interrupted.
    "h264": ("libx264", {"crf": "17", "preset": "faster", "mbtree": "0"}),
    "h265": ("libx265", {"crf": "19", "preset": "medium", "x265-params": "log-level=error:frame-threads=1"}),
    "av1": ("libsvtav1", {"crf": "24", "preset": "7"}),
    "prores": ("prores_ks", {"profile": "3", "vendor": "apl0"}),
    "ffv1": ("ffv1", {"level": "3", "slicecrc": "1", "slices": "4", "context": "1"}),
}
"""Codec -> FFmpeg's encoder and its options."""
_BOTTOM_FIELD_FIRST = (3, 5)
"""FFmpeg's field orders whose first field is the lower one."""


def configure(context: Any, coding: Coding) -> None:
    """Sets up an encoder. All segments and the header of the joined film need equal parameter sets."""
    from av.codec.context import Flags

    film = coding.film
    context.width, context.height, context.pix_fmt = film.width, film.height, coding.pix_fmt
    context.time_base, context.framerate = film.time_base, film.rate
    if film.sample_aspect:
        context.sample_aspect_ratio = film.sample_aspect
    _set_color_tags(context, coding)
    context.thread_count = ENCODER_THREADS
    context.flags |= Flags.global_header | Flags.bitexact
    if film.interlaced:
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        context.field_order = film.field_order
    context.options = _options(coding)


def _set_color_tags(target: Any, coding: Coding) -> None:
    """Of a codec context or a frame."""
    target.color_range = 2 if coding.tags.full_range else 1
    target.colorspace, target.color_primaries = coding.tags.matrix, coding.tags.primaries
    target.color_trc = coding.tags.transfer


def _options(coding: Coding) -> dict[str, str]:
    options = dict(ENCODERS[coding.codec][1])
    if coding.codec == "h264" and coding.film.interlaced:
        options["x264-params"] = "bff=1" if coding.film.field_order in _BOTTOM_FIELD_FIRST else "tff=1"
    return options


def settings(coding: Coding) -> str:
    """What segments of a film must have in common to be joined."""
    return f"{ENCODERS[coding.codec][0]} {sorted(_options(coding).items())} {coding.pix_fmt}"


def encode(coding: Coding, frames: Iterable[tuple[int, Sequence[Samples]]]) -> list[StoredPacket]:
    """Frames as (pts, planes Y, Cb, Cr) -> the packets of one closed segment."""
    av = pyav()
    context = av.CodecContext.create(ENCODERS[coding.codec][0], "w")
    configure(context, coding)
    packets: list[StoredPacket] = []
    marker = InterlacedMarker(coding.film) if coding.film.interlaced else None
    for pts, planes in frames:
        frame = video_frame(coding, planes)
        frame.pts, frame.time_base = pts, coding.film.time_base
        packets += [_stored(p) for p in context.encode(marker.mark(frame, coding.pix_fmt) if marker else frame)]
    return packets + [_stored(p) for p in context.encode(None)]


class InterlacedMarker:
    """Sets the interlaced flag of frames, which FFV1 keeps for each frame and nowhere else. PyAV cannot set it, but
    FFmpeg's filter `setfield` can."""

    def __init__(self, film: Film) -> None:
        self._film = film
        self._graph: Any = None

    def mark(self, frame: VideoFrame, pix_fmt: str) -> VideoFrame:
        """The frame, flagged."""
        if self._graph is None:
            graph = pyav().filter.Graph()
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=pix_fmt, time_base=self._film.time_base
            )
            order = "bff" if self._film.field_order in _BOTTOM_FIELD_FIRST else "tff"
            graph.link_nodes(source, graph.add("setfield", order), graph.add("buffersink")).configure()
            self._graph = graph
        self._graph.vpush(frame)
        marked: VideoFrame = self._graph.vpull()
        return marked


def _stored(packet: Packet[Any]) -> StoredPacket:
    assert packet.pts is not None
    return StoredPacket(packet.pts, packet.is_keyframe, bytes(packet))


def video_frame(coding: Coding, planes: Sequence[Samples]) -> VideoFrame:
    """The planes as a frame of PyAV."""
    frame: VideoFrame = pyav().VideoFrame(coding.film.width, coding.film.height, coding.pix_fmt)
    for plane, samples in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(plane), samples.dtype).reshape(plane.height, -1)
        rows[:, : plane.width] = samples
    _set_color_tags(frame, coding)
    return frame
