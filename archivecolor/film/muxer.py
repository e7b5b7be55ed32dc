"""Joins encoded segments to a film. Everything else is copied: sound, subtitles, data, chapters, metadata."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archivecolor.errors import UnsupportedError
from archivecolor.film import encoder
from archivecolor.film.coding import Coding, range_notes
from archivecolor.film.copies import MetadataCopier, MuxItem, StreamCopy, add_copies, copied_packets
from archivecolor.film.header import Film, ImageSequence, opened, pyav
from archivecolor.film.work_folder import StoredPacket

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.stream import Disposition, Stream
    from av.video import VideoStream


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
    end: int,
    delay: Fraction = Fraction(0),
    drop_audio: bool = False,
) -> tuple[str, ...]:
    """Writes the film: the encoded packets between all other streams of the source.

    Args:
        times: pts of all packets, in their order.
        metadata: entries to add to the container's; `comment` follows the source's own comment.
        end: when the last picture ends, in the unit of `times`.
        delay: seconds by which everything copied is moved, since a title card comes first.
        drop_audio: leaves all sound out.

    Returns:
        Notes on what the container could not take.

    Raises:
        OSError: the output cannot be written.
        SourceReadError, UnreadableError: the source cannot be read any more.
        UnsupportedError: FFmpeg refuses to write these streams into one file.
    """
    film, strict = coding.film, coding.container != "matroska"
    with _copy_source(film) as source, _refusals_named(coding.container):
        options = _muxer_options(coding, source)
        with pyav().open(str(target), "w", format=coding.container, options=options) as out:
            copier = MetadataCopier(film, round(delay * film.rate))
            pictures, notes, copies = _add_streams(coding, source, out, copier, drop_audio)
            _set_metadata(copier, source, out, metadata, delay)
            notes += [*copier.notes, *range_notes(coding)]
            out.start_encoding()
            notes += _time_base_notes(coding, pictures)
            copied = copied_packets(film, source, copies, delay, strict) if source and copies else iter(())
            for _, _, packet in heapq.merge(_picture_packets(coding, pictures, times, packets, end), copied):
                out.mux(packet)
    return tuple(notes)


@contextmanager
def _refusals_named(container: str) -> Iterator[None]:
    """Turns FFmpeg's errors in the block into one that names the container. Errors of the system pass."""
    try:
        yield
    except pyav().FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise UnsupportedError(
            f"its streams cannot be written as {container} ({error.strerror}); try --master, or --drop-audio"
        ) from error


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


def _add_streams(
    coding: Coding, source: InputContainer | None, out: OutputContainer, copier: MetadataCopier, drop_audio: bool
) -> tuple[VideoStream, list[str], dict[int, StreamCopy]]:
    """Adds the output's streams in the source's order: that of the pictures, notes, and source index -> copy."""
    if source is None:
        return _add_picture_stream(coding, out, {}, None), [], {}
    timecode = next(({"timecode": s.metadata["timecode"]} for s in source.streams if "timecode" in s.metadata), {})
    added: list[VideoStream] = []

    def add_pictures(stream: Stream) -> None:
        metadata = copier.copied(timecode | stream.metadata)
        added.append(_add_picture_stream(coding, out, metadata, stream.disposition))

    notes, copies = add_copies(coding.film, source, out, copier, drop_audio, add_pictures)
    return added[0], notes, copies


def _add_picture_stream(
    coding: Coding, out: OutputContainer, metadata: dict[str, str], disposition: Disposition | None
) -> VideoStream:
    stream: Any = out.add_stream(encoder.ENCODERS[coding.codec][0], rate=coding.film.rate)
    encoder.configure(stream.codec_context, coding)
    stream.time_base = coding.film.time_base
    stream.metadata.update(metadata)
    if disposition is not None:
        stream.disposition = disposition
    if coding.film.display_matrix:
        stream.set_display_matrix(coding.film.display_matrix)
    pictures: VideoStream = stream
    return pictures


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


def _time_base_notes(coding: Coding, pictures: VideoStream) -> list[str]:
    """A note where the container cannot hold the exact times."""
    base = pictures.time_base
    if base and (coding.film.time_base / base).denominator == 1:
        return []
    return [f"times rounded to the container's {base} s (the source's are multiples of {coding.film.time_base} s)"]


def _picture_packets(
    coding: Coding, stream: VideoStream, times: Sequence[int], packets: Iterable[StoredPacket], end: int
) -> Iterator[MuxItem]:
    """The picture packets with all their times, ready to be muxed."""
    av = pyav()
    base, ticks = coding.film.time_base, coding.film.frame_ticks
    ordered = sorted(times)
    durations = {a: b - a for a, b in pairwise([*ordered, end])}
    decoding = decoding_times(times, ticks)
    if coding.container != "matroska" and end - ordered[-1] != ticks:
        # A track of MP4 is as long as its packets in decoding order, and the last of them need not be shown last.
        durations[times[-1]] = end - ordered[0] - (decoding[-1] - decoding[0])
    for stored, dts in zip(packets, decoding, strict=True):
        packet = av.Packet(stored.data)
        packet.stream, packet.time_base = stream, base
        packet.pts, packet.dts = stored.pts, dts
        packet.duration = durations[stored.pts]
        packet.is_keyframe = stored.key
        yield dts * base, -1, packet
