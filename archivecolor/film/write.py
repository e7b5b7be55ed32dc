"""Pictures are encoded, everything else is copied: sound, subtitles and data packet for packet, chapters, tags."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from archivecolor.errors import UnsupportedError
from archivecolor.film.header import Film, pyav
from archivecolor.film.planes import LAYOUTS, Tags
from archivecolor.film.timecode import earlier
from archivecolor.film.work_folder import StoredPacket
from archivecolor.imaging.arrays import Samples

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet


ENCODER_THREADS = 1
"""The encoder works beside the network, and several films beside each other."""
_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    # `faster` takes much less time than `medium`, for a little more in bytes.
    # Without mbtree: with it, libx264 gave other bytes for the same frames from time to time, even in one thread, and
    # a resumed film was not the film that was never killed.
    "h264": ("libx264", {"crf": "17", "preset": "faster", "mbtree": "0"}),
    "h265": ("libx265", {"crf": "19", "preset": "medium", "x265-params": "log-level=error:frame-threads=1"}),
    "av1": ("libsvtav1", {"crf": "24", "preset": "7"}),
    "prores": ("prores_ks", {"profile": "3", "vendor": "apl0"}),
    "ffv1": ("ffv1", {"level": "3", "slicecrc": "1", "slices": "4", "context": "1"}),
}
_LOWER_FIRST = (3, 5)
"""FFmpeg's field orders whose first field is the lower one."""
_FAMILY = {"mov": "mov", "mp4": "mp4", "m4v": "mp4", "qt": "mov", "3gp": "mp4", "3g2": "mp4"}
_TOO_OWN = ("major_brand", "minor_version", "compatible_brands", "encoder", "ENCODER")
"""Metadata that describe the container and not the film."""


@dataclass(frozen=True)
class Coding:
    """How the pictures are encoded, and into what."""

    film: Film
    codec: str
    """A key of the encoders: h264, h265, av1, prores, ffv1."""
    container: str
    """mp4, mov or matroska."""
    pix_fmt: str
    depth: int

    @property
    def layout(self) -> str:
        """`420`, `422` or `444`."""
        return self.pix_fmt[3:6]

    @property
    def tags(self) -> Tags:
        """As written. ProRes cannot say that it uses all codes: there, such a source is brought into the usual ones."""
        own = self.film.tags
        return replace(own, full_range=False) if self.codec == "prores" else own

    @property
    def suffix(self) -> str:
        """Of the file: `.mkv`, or the source's own where that says the same."""
        own = self.film.path.suffix
        if _FAMILY.get(own.lower()[1:]) == self.container or (self.container, own.lower()) == ("matroska", ".mkv"):
            return own
        return {"mp4": ".mp4", "mov": ".mov", "matroska": ".mkv"}[self.container]

    @property
    def chroma_size(self) -> tuple[int, int]:
        """(height, width) of a chroma plane."""
        across, down = LAYOUTS[self.layout]
        return -(-self.film.height // down), -(-self.film.width // across)


def coding_for(film: Film, codec: str, master: bool) -> Coding:
    """The container that the source's streams fit best, and the format that keeps its luma samples."""
    if master:
        codec, container = "ffv1", "matroska"
    elif codec == "prores":
        container = "mov"
    elif film.stills:
        container = "mp4"
    else:
        container = (
            _FAMILY.get(film.path.suffix.lower()[1:], "mp4") if film.container.startswith("mov,") else "matroska"
        )
    depth = _depth_for(film.depth, codec)
    layout = {"prores": "422", "ffv1": "444"}.get(codec, "420")
    odd = film.width % 2 or film.height % 2
    if odd and layout == "420" and codec in ("h264", "h265"):
        layout = "444"  # their 4:2:0 has even sides only
    return Coding(film, codec, container, f"yuv{layout}p{f'{depth}le' if depth > 8 else ''}", depth)


def _depth_for(depth: int, codec: str) -> int:
    if codec == "ffv1":
        return next(d for d in (8, 9, 10, 12, 14, 16) if d >= depth)
    return 10 if depth > 8 or codec == "prores" else 8


def luma_at_depth(luma: Samples, depth: int, wanted: int) -> Samples:
    """Exactly what it was, or with zero bits added below; only 12 bits and more into 10 are rounded."""
    if depth == wanted:
        return luma
    wide = luma.astype(np.uint16)
    if wanted > depth:
        return wide << (wanted - depth)
    rounded = (wide.astype(np.uint32) + (1 << (depth - wanted - 1))) >> (depth - wanted)
    return np.minimum(rounded, (1 << wanted) - 1).astype(np.uint16)


def luma_as_written(luma: Samples, coding: Coding) -> Samples:
    """A film's luma codes as its file gets them: `luma_at_depth`, and where all codes were used and may not be, scaled
    and rounded."""
    film = coding.film
    if film.tags.full_range == coding.tags.full_range:
        return luma_at_depth(luma, film.depth, coding.depth)
    black, white = coding.tags.luma_range(coding.depth)
    scaled = luma.astype(np.float32) * np.float32((white - black) / ((1 << film.depth) - 1)) + np.float32(black)
    return np.rint(scaled).astype(np.uint16)


def _range_note(coding: Coding) -> list[str]:
    own = coding.film.stills
    if coding.film.tags.full_range == coding.tags.full_range or (own and not own.exact):
        return []
    return ["ProRes has no full-range luma: the source's was scaled to the usual range, and rounded"]


def _set_up(context: Any, coding: Coding) -> None:
    """The same for every segment and for the header of the joined film: their parameter sets must be equal."""
    from av.codec.context import Flags

    film = coding.film
    context.width, context.height, context.pix_fmt = film.width, film.height, coding.pix_fmt
    context.time_base, context.framerate = film.time_base, film.rate
    if film.sample_aspect:
        context.sample_aspect_ratio = film.sample_aspect
    context.color_range = 2 if coding.tags.full_range else 1
    context.colorspace, context.color_primaries = coding.tags.matrix, coding.tags.primaries
    context.color_trc = coding.tags.transfer
    context.thread_count = ENCODER_THREADS
    context.flags |= Flags.global_header | Flags.bitexact
    if film.interlaced:
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        context.field_order = film.field_order
    context.options = _options(coding)


def _options(coding: Coding) -> dict[str, str]:
    options = dict(_ENCODERS[coding.codec][1])
    if coding.codec == "h264" and coding.film.interlaced:
        options["x264-params"] = "bff=1" if coding.film.field_order in _LOWER_FIRST else "tff=1"
    return options


def settings(coding: Coding) -> str:
    """What pieces of one film must have in common to be joined."""
    return f"{_ENCODERS[coding.codec][0]} {sorted(_options(coding).items())} {coding.pix_fmt}"


def encode(coding: Coding, frames: Iterable[tuple[int, Sequence[Samples]]]) -> list[StoredPacket]:
    """Frames as (pts, planes Y, Cb, Cr) -> the packets of one closed segment."""
    av = pyav()
    context = av.CodecContext.create(_ENCODERS[coding.codec][0], "w")
    _set_up(context, coding)
    packets: list[StoredPacket] = []
    fields = Fields(coding.film) if coding.film.interlaced else None
    for pts, planes in frames:
        frame = picture(coding, planes)
        frame.pts, frame.time_base = pts, coding.film.time_base
        packets += [_stored(p) for p in context.encode(fields.of(frame, coding.pix_fmt) if fields else frame)]
    return packets + [_stored(p) for p in context.encode(None)]


class Fields:
    """Says on frames that their lines are of two moments: FFV1 keeps that for each frame, and nowhere else. PyAV has
    no words for it, but FFmpeg a filter."""

    def __init__(self, film: Film) -> None:
        self._film = film
        self._graph: Any = None

    def of(self, frame: Any, pix_fmt: str) -> Any:
        """The frame, flagged."""
        if self._graph is None:
            graph = pyav().filter.Graph()
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=pix_fmt, time_base=self._film.time_base
            )
            order = "bff" if self._film.field_order in _LOWER_FIRST else "tff"
            graph.link_nodes(source, graph.add("setfield", order), graph.add("buffersink")).configure()
            self._graph = graph
        self._graph.vpush(frame)
        return self._graph.vpull()


def _stored(packet: Packet[Any]) -> StoredPacket:
    assert packet.pts is not None
    return StoredPacket(packet.pts, packet.is_keyframe, bytes(packet))


def picture(coding: Coding, planes: Sequence[Samples]) -> Any:
    """The planes as a frame of PyAV."""
    frame = pyav().VideoFrame(coding.film.width, coding.film.height, coding.pix_fmt)
    for plane, samples in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(plane), samples.dtype).reshape(plane.height, -1)
        rows[:, : plane.width] = samples
    frame.color_range = 2 if coding.tags.full_range else 1
    frame.colorspace, frame.color_primaries = coding.tags.matrix, coding.tags.primaries
    frame.color_trc = coding.tags.transfer
    return frame


def decoding_times(pts: Sequence[int], ticks: int) -> list[int]:
    """Time stamps for decoding, for packets in decoding order with these times of showing.

    They are the sorted times of showing, as many places late as the order demands: never later than the packet's own
    pts, always rising, and the same however the film was cut into segments.
    """
    shown = sorted(pts)
    rank = {time: i for i, time in enumerate(shown)}
    delay = max((i - rank[time] for i, time in enumerate(pts)), default=0)
    return [shown[i - delay] if i >= delay else shown[0] - (delay - i) * ticks for i in range(len(shown))]


def join(
    coding: Coding, target: Path, times: Sequence[int], packets: Iterable[StoredPacket], said: dict[str, str],
    later: Fraction = Fraction(0),
) -> tuple[str, ...]:  # fmt: skip
    """Writes the film: the encoded packets between all other streams of the source.

    Args:
        times: pts of all packets, in their order.
        said: metadata to add, by key.
        later: seconds by which everything that is copied comes later than in the source.

    Returns:
        Notes on what the container could not take.
    """
    av = pyav()
    film = coding.film
    with _other_streams(film) as source:
        options = _muxer_options(coding, source)
        with av.open(str(target), "w", format=coding.container, options=options) as out:
            kept = Metadata(film, round(later * film.rate))
            notes, twins = _streams(coding, source, out, kept)
            _metadata(kept, source, out, said, later)
            notes += [*kept.notes, *_range_note(coding)]
            out.start_encoding()
            notes += _time_note(coding, out)
            others = _copied(source, twins, later) if source and twins else iter(())
            for _, _, packet in heapq.merge(_timed(coding, out.streams.video[0], times, packets), others):
                out.mux(packet)
    return tuple(notes)


@contextmanager
def _other_streams(film: Film) -> Iterator[InputContainer | None]:
    """The source, to copy from; None for numbered files, which hold nothing but pictures."""
    if film.stills:
        yield None
        return
    with pyav().open(str(film.path), metadata_errors="replace") as source:
        yield source


def _muxer_options(coding: Coding, source: InputContainer | None) -> dict[str, str]:
    """`bitexact` leaves out random numbers and the date, so that the same work gives the same bytes."""
    options = {"fflags": "+bitexact"}
    if coding.container != "matroska":
        ticks = coding.film.time_base.denominator
        streams = source.streams if source else ()
        rates = [s.time_base.denominator for s in streams if s.type == "audio" and s.time_base]
        fine = lcm(ticks, *rates)
        options["video_track_timescale"] = str(ticks)
        options["movie_timescale"] = str(fine if fine < 1 << 31 else ticks)  # start offsets are kept in these units
        options["movflags"] = "+faststart" if coding.codec != "prores" else "+write_colr"
    return options


class Metadata:
    """What is kept of the source's metadata: all that tells of the film, with its timecodes moved back by the frames
    that now come first. A muxer for MP4 refuses the whole film for a timecode that its frames cannot have.

    Args:
        later: frames before the film's own.
    """

    def __init__(self, film: Film, later: int) -> None:
        self._film, self._later = film, later
        self.notes: list[str] = []

    def of(self, known: Mapping[str, str]) -> dict[str, str]:
        """Of one stream or of the container."""
        kept = {key: value for key, value in known.items() if key not in _TOO_OWN}
        for key in [key for key in kept if key.lower() == "timecode"]:
            value = kept.pop(key)
            if moved := earlier(value, self._film.rate, self._later):
                kept[key] = moved
                continue
            note = f"timecode {value} not carried: frames that come {float(self._film.rate):g} a second have no such"
            self.notes += [note] if note not in self.notes else []
        return kept


def _is_timecode(stream: Any) -> bool:
    """A track of QuickTime's that holds the first frame's timecode. It is made anew, from the metadata."""
    handler = stream.metadata.get("handler_name", "").lower().replace(" ", "")
    return stream.type == "data" and ("timecode" in stream.metadata or "timecode" in handler)


def _streams(
    coding: Coding, source: InputContainer | None, out: OutputContainer, kept: Metadata
) -> tuple[list[str], dict[int, Any]]:
    """Makes the output's streams in the source's order: notes on those left out, and by index those copied."""
    notes: list[str] = []
    twins: dict[int, Any] = {}
    if source is None:
        _picture_stream(coding, out, {}, None)
    streams = source.streams if source else ()
    timecode = next(({"timecode": s.metadata["timecode"]} for s in streams if "timecode" in s.metadata), {})
    for stream in streams:
        if stream.index == coding.film.stream:
            _picture_stream(coding, out, kept.of(timecode | stream.metadata), stream.disposition)
            continue
        try:
            twin = _twin(stream, out, kept)
        except (ValueError, pyav().FFmpegError, UnsupportedError) as error:
            notes.append(f"stream {stream.index} ({stream.type}) not carried: {error}")
            continue
        if twin is not None:
            twins[stream.index] = twin
    return notes, twins


def _twin(stream: Any, out: OutputContainer, kept: Metadata) -> Any:
    """A stream for the packets of another one; None where there is nothing to copy packet by packet."""
    from av.stream import Discard

    if stream.type == "attachment":
        out.add_attachment(stream.name, stream.mimetype, stream.data)
        return None
    if stream.discard == Discard.all or _is_timecode(stream):
        return None  # the tracks in which QuickTime keeps chapters and timecode; those are carried
    if stream.type == "data" and out.format.name == "matroska":
        raise UnsupportedError("Matroska takes no data")  # its muxer would refuse the film
    context = stream.codec_context
    if context and stream.type == "subtitle" and context.name not in out.supported_codecs:
        raise UnsupportedError(f"{context.name} does not go into {out.format.name}")
    twin = out.add_stream_from_template(stream)
    twin.metadata.update(kept.of(stream.metadata))
    twin.disposition = stream.disposition
    twin.time_base = stream.time_base
    return twin


def _picture_stream(coding: Coding, out: OutputContainer, metadata: dict[str, str], disposition: Any) -> None:
    made: Any = out.add_stream(_ENCODERS[coding.codec][0], rate=coding.film.rate)
    _set_up(made.codec_context, coding)
    made.time_base = coding.film.time_base
    made.metadata.update(metadata)
    if disposition is not None:
        made.disposition = disposition
    if coding.film.display_matrix:
        made.set_display_matrix(coding.film.display_matrix)


def _metadata(
    kept: Metadata, source: InputContainer | None, out: OutputContainer, said: dict[str, str], later: Fraction
) -> None:
    own = kept.of(source.metadata) if source else {}
    comment = next((value for key, value in own.items() if key.lower() == "comment"), "")
    own = {key: value for key, value in own.items() if key.lower() != "comment"}
    out.metadata.update(own)
    out.metadata.update({**said, "comment": f"{comment}\n{said['comment']}" if comment else said["comment"]})
    if source and source.chapters():
        out.set_chapters(_chapters(source.chapters(), later))


def _chapters(chapters: Any, later: Fraction) -> Any:
    """As they are; or later, behind one for what comes first: MP4 has no place for a first chapter that begins late."""
    if not later:
        return chapters
    moved = []
    for chapter in chapters:
        ticks = round(later / chapter["time_base"])
        moved.append({**chapter, "start": chapter["start"] + ticks, "end": chapter["end"] + ticks})
    first, base = moved[0], moved[0]["time_base"]
    own = {"id": 1 + max(c["id"] for c in moved), "start": 0, "end": min(first["start"], round(later / base))}
    return [{**own, "time_base": base, "metadata": {"title": "Title card"}}, *moved]


def _time_note(coding: Coding, out: OutputContainer) -> list[str]:
    base = out.streams.video[0].time_base
    if base and (coding.film.time_base / base).denominator == 1:
        return []
    return [f"times rounded to the container's {base} s (the source's are multiples of {coding.film.time_base} s)"]


def _timed(
    coding: Coding, stream: Any, times: Sequence[int], packets: Iterable[StoredPacket]
) -> Iterator[tuple[Fraction, int, Packet[Any]]]:
    """The picture packets with all their times, ready to be muxed; the first two values order them among others."""
    av = pyav()
    base = coding.film.time_base
    shown = sorted(times)
    lasts = {a: b - a for a, b in pairwise(shown)}
    for stored, dts in zip(packets, decoding_times(times, coding.film.frame_ticks), strict=True):
        packet = av.Packet(stored.data)
        packet.stream, packet.time_base = stream, base
        packet.pts, packet.dts = stored.pts, dts
        packet.duration = lasts.get(stored.pts, coding.film.frame_ticks)
        packet.is_keyframe = stored.key
        yield dts * base, -1, packet


def _copied(
    source: InputContainer, twins: dict[int, Any], later: Fraction
) -> Iterator[tuple[Fraction, int, Packet[Any]]]:
    """The packets of all other streams as they are, but for their times; a broken end of the source ends them."""
    when = Fraction(0)
    try:
        for packet in source.demux([source.streams[index] for index in twins]):
            ticks = round(later / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
            time = packet.dts if packet.dts is not None else packet.pts
            if time is None:
                continue
            when = max(when, Fraction(time) * packet.time_base)
            index = packet.stream.index
            packet.stream = twins[index]
            yield when, index, packet
    except pyav().FFmpegError:
        return
