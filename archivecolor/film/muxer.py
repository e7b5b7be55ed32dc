"""Joins encoded segments to a film. Everything else is copied: sound, subtitles, data, chapters, metadata."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archivecolor import files
from archivecolor.errors import UnsupportedError
from archivecolor.film import encoder
from archivecolor.film.coding import Coding, range_notes
from archivecolor.film.header import Film, ImageSequence, opened, pyav
from archivecolor.film.timecode import earlier
from archivecolor.film.work_folder import StoredPacket

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

_CONTAINER_METADATA = ("major_brand", "minor_version", "compatible_brands", "encoder", "ENCODER")
"""Metadata that describe the container and not the film."""
_MuxItem = tuple[Fraction, int, "Packet[Any]"]
"""Decoding time in seconds, stream index, packet: items are muxed in the order of the first two."""


def decoding_times(pts: Sequence[int], ticks: int) -> list[int]:
    """Decoding time stamps for packets in decoding order.

    They are the sorted presentation times, delayed by as many places as the order requires. They never exceed the
    packet's own pts, always rise, and do not depend on how the film was cut into segments.

    Args:
        pts: presentation time stamps in decoding order.
        ticks: the length of a frame; times before the first one are that far apart.
    """
    ordered = sorted(pts)
    rank = {time: i for i, time in enumerate(ordered)}
    delay = max((i - rank[time] for i, time in enumerate(pts)), default=0)
    return [ordered[i - delay] if i >= delay else ordered[0] - (delay - i) * ticks for i in range(len(ordered))]


def join(
    coding: Coding,
    target: Path,
    times: Sequence[int],
    packets: Iterable[StoredPacket],
    metadata: dict[str, str],
    delay: Fraction = Fraction(0),
) -> tuple[str, ...]:
    """Writes the film: the encoded packets between all other streams of the source.

    Args:
        times: pts of all packets, in their order.
        metadata: entries to add to the container's; `comment` follows the source's own comment.
        delay: seconds by which everything copied is moved, since a title card comes first.

    Returns:
        Notes on what the container could not take.
    """
    film = coding.film
    with _copy_source(film) as source:
        options = _muxer_options(coding, source)
        with pyav().open(str(target), "w", format=coding.container, options=options) as out:
            copier = MetadataCopier(film, round(delay * film.rate))
            notes, copies = _add_streams(coding, source, out, copier)
            _set_metadata(copier, source, out, metadata, delay)
            notes += [*copier.notes, *range_notes(coding)]
            out.start_encoding()
            notes += _time_base_notes(coding, out)
            copied = _copied_packets(source, copies, delay) if source and copies else iter(())
            for _, _, packet in heapq.merge(_picture_packets(coding, out.streams.video[0], times, packets), copied):
                out.mux(packet)
    return tuple(notes)


@contextmanager
def _copy_source(film: Film) -> Iterator[InputContainer | None]:
    """The container to copy streams from; None for an image sequence, which holds nothing but pictures."""
    if isinstance(film, ImageSequence):
        yield None
        return
    with opened(film.path) as source:
        yield source


def _muxer_options(coding: Coding, source: InputContainer | None) -> dict[str, str]:
    """`bitexact` leaves out random numbers and the date, so that the same work gives the same bytes."""
    options = {"fflags": "+bitexact"}
    if coding.container != "matroska":
        ticks = coding.film.time_base.denominator
        streams = source.streams if source else ()
        rates = [s.time_base.denominator for s in streams if s.type == "audio" and s.time_base]
        common = lcm(ticks, *rates)
        options["video_track_timescale"] = str(ticks)
        options["movie_timescale"] = str(common if common < 1 << 31 else ticks)  # start offsets are kept in these units
        options["movflags"] = "+faststart" if coding.codec != "prores" else "+write_colr"
    return options


class MetadataCopier:
    """Copies the source's metadata: all that describes the film, with its timecodes moved back by the frames of a title
    card. FFmpeg's MP4 muxer refuses a film whose timecode is not possible at its frame rate; such one is left out.

    Args:
        title_frames: number of frames before the film's own.
    """

    def __init__(self, film: Film, title_frames: int) -> None:
        self._film, self._title_frames = film, title_frames
        self.notes: list[str] = []

    def copied(self, metadata: Mapping[str, str]) -> dict[str, str]:
        """What is kept of the metadata of one stream or of the container."""
        kept = {key: value for key, value in metadata.items() if key not in _CONTAINER_METADATA}
        for key in [key for key in kept if key.lower() == "timecode"]:
            value = kept.pop(key)
            if moved := earlier(value, self._film.rate, self._title_frames):
                kept[key] = moved
                continue
            note = f"timecode {value} not carried: frames that come {float(self._film.rate):g} a second have no such"
            self.notes += [note] if note not in self.notes else []
        return kept


def _is_timecode_track(stream: Stream) -> bool:
    """Whether a stream is QuickTime's track with the first frame's timecode. The muxer makes it anew from metadata."""
    handler = stream.metadata.get("handler_name", "").lower().replace(" ", "")
    return stream.type == "data" and ("timecode" in stream.metadata or "timecode" in handler)


def _add_streams(
    coding: Coding, source: InputContainer | None, out: OutputContainer, copier: MetadataCopier
) -> tuple[list[str], dict[int, Any]]:
    """Adds the output's streams in the source's order: notes on those left out, and source index -> copy."""
    notes: list[str] = []
    copies: dict[int, Any] = {}
    if source is None:
        _add_picture_stream(coding, out, {}, None)
        return notes, copies
    streams = source.streams
    timecode = next(({"timecode": s.metadata["timecode"]} for s in streams if "timecode" in s.metadata), {})
    for stream in streams:
        if stream.index == coding.film.stream:
            _add_picture_stream(coding, out, copier.copied(timecode | stream.metadata), stream.disposition)
            continue
        try:
            copy = _add_copy(stream, out, copier)
        except (ValueError, pyav().FFmpegError, UnsupportedError) as error:
            notes.append(f"stream {stream.index} ({stream.type}) not carried: {error}")
            continue
        if copy is not None:
            copies[stream.index] = copy
    return notes, copies


def _add_copy(stream: Any, out: OutputContainer, copier: MetadataCopier) -> Any:
    """Adds a stream for the packets of another one; None where there is nothing to copy packet by packet."""
    from av.stream import Discard

    if stream.type == "attachment":
        out.add_attachment(stream.name, stream.mimetype, stream.data)
        return None
    if stream.discard == Discard.all or _is_timecode_track(stream):
        return None  # the tracks in which QuickTime keeps chapters and timecode; both are written from elsewhere
    if stream.type == "data" and out.format.name == "matroska":
        raise UnsupportedError("Matroska takes no data")  # its muxer would refuse the film
    context = stream.codec_context
    if context and stream.type == "subtitle" and context.name not in out.supported_codecs:
        raise UnsupportedError(f"{context.name} does not go into {out.format.name}")
    copy = out.add_stream_from_template(stream)
    copy.metadata.update(copier.copied(stream.metadata))
    copy.disposition = stream.disposition
    copy.time_base = stream.time_base
    return copy


def _add_picture_stream(
    coding: Coding, out: OutputContainer, metadata: dict[str, str], disposition: int | None
) -> None:
    stream: Any = out.add_stream(encoder.ENCODERS[coding.codec][0], rate=coding.film.rate)
    encoder.configure(stream.codec_context, coding)
    stream.time_base = coding.film.time_base
    stream.metadata.update(metadata)
    if disposition is not None:
        stream.disposition = disposition
    if coding.film.display_matrix:
        stream.set_display_matrix(coding.film.display_matrix)


def _set_metadata(
    copier: MetadataCopier,
    source: InputContainer | None,
    out: OutputContainer,
    metadata: dict[str, str],
    delay: Fraction,
) -> None:
    own = copier.copied(source.metadata) if source else {}
    comment = next((value for key, value in own.items() if key.lower() == "comment"), "")
    out.metadata.update({key: value for key, value in own.items() if key.lower() != "comment"})
    out.metadata.update(
        {**metadata, "comment": f"{comment}\n{metadata['comment']}" if comment else metadata["comment"]}
    )
    if source and source.chapters():
        out.set_chapters(_chapters(source.chapters(), delay))


def _chapters(chapters: Any, delay: Fraction) -> Any:
    """The chapters, moved. A chapter for the title card comes first, since MP4 cannot hold a first chapter that begins
    late."""
    if not delay:
        return chapters
    moved = []
    for chapter in chapters:
        ticks = round(delay / chapter["time_base"])
        moved.append({**chapter, "start": chapter["start"] + ticks, "end": chapter["end"] + ticks})
    first, base = moved[0], moved[0]["time_base"]
    card = {"id": 1 + max(c["id"] for c in moved), "start": 0, "end": min(first["start"], round(delay / base))}
    return [{**card, "time_base": base, "metadata": {"title": "Title card"}}, *moved]


def _time_base_notes(coding: Coding, out: OutputContainer) -> list[str]:
    """A note where the container cannot hold the exact times."""
    base = out.streams.video[0].time_base
    if base and (coding.film.time_base / base).denominator == 1:
        return []
    return [f"times rounded to the container's {base} s (the source's are multiples of {coding.film.time_base} s)"]


def _picture_packets(
    coding: Coding, stream: Any, times: Sequence[int], packets: Iterable[StoredPacket]
) -> Iterator[_MuxItem]:
    """The picture packets with all their times, ready to be muxed."""
    av = pyav()
    base = coding.film.time_base
    durations = {a: b - a for a, b in pairwise(sorted(times))}
    for stored, dts in zip(packets, decoding_times(times, coding.film.frame_ticks), strict=True):
        packet = av.Packet(stored.data)
        packet.stream, packet.time_base = stream, base
        packet.pts, packet.dts = stored.pts, dts
        packet.duration = durations.get(stored.pts, coding.film.frame_ticks)
        packet.is_keyframe = stored.key
        yield dts * base, -1, packet


def _copied_packets(source: InputContainer, copies: dict[int, Any], delay: Fraction) -> Iterator[_MuxItem]:
    """The packets of all other streams, unchanged but for their times. Damage in the source ends them.

    Raises:
        SourceReadError: the system cannot read the source.
    """
    latest = Fraction(0)
    try:
        for packet in source.demux([source.streams[index] for index in copies]):
            ticks = round(delay / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
            time = packet.dts if packet.dts is not None else packet.pts
            if time is None:
                continue
            latest = max(latest, Fraction(time) * packet.time_base)
            index = packet.stream.index
            packet.stream = copies[index]
            yield latest, index, packet
    except pyav().FFmpegError as error:
        if files.is_system_error(error):
            raise files.read_error(error) from error
