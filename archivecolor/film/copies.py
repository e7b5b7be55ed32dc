"""Everything of a film but its pictures, on its way into the output: sound, subtitles, data, covers, attachments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Protocol, TypeAlias

from archivecolor import files
from archivecolor.errors import UnsupportedError
from archivecolor.film.header import Film, deciding_streams, opened, pyav
from archivecolor.film.sound import PcmSound, holds
from archivecolor.film.timecode import earlier
from archivecolor.film.timeline import ContinuousTimes

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

MuxItem: TypeAlias = "tuple[Fraction, int, Packet[Stream]]"
"""Decoding time in seconds, stream index, packet: items are muxed in the order of the first two."""
_CONTAINER_METADATA = ("major_brand", "minor_version", "compatible_brands", "encoder", "ENCODER")
"""Metadata that describe the container and not the film."""
_HIDDEN_S = 0.1
"""Sound that an edit list hides before the film begins. Less is what a decoder needs to start."""
_COVER_TYPES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}


class StreamCopy(Protocol):
    """One stream of the output that is made from one of the source."""

    stream: Stream

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """What becomes of one packet of the source."""


class PlainCopy:
    """Passes packets on.

    Args:
        hides: whether sound before the film begins is left out, because the container has no edit list to hide it.
    """

    def __init__(self, stream: Stream, hides: bool) -> None:
        self.stream, self._hides = stream, hides and stream.type == "audio"
        self._begun = False

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        if packet.stream.disposition & _attached_pic():
            packet.pts = packet.dts = 0
        if self._hides and packet.pts is not None:
            seconds = packet.pts * packet.time_base
            self._hides = self._begun or (packet.is_discard and seconds < -_HIDDEN_S)
            self._begun = True
            if self._hides and seconds < 0:
                return
        yield packet


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


def add_copies(
    film: Film,
    source: InputContainer,
    out: OutputContainer,
    copier: MetadataCopier,
    drop_audio: bool,
    add_pictures: Callable[[Stream], None],
) -> tuple[list[str], dict[int, StreamCopy]]:
    """Adds the output's streams in the source's order.

    Args:
        add_pictures: adds the stream of the pictures, in place of the source's.

    Returns:
        Notes on streams that are left out or changed, and source index -> copy.
    """
    notes: list[str] = []
    copies: dict[int, StreamCopy] = {}
    for stream in source.streams:
        if stream.index == film.stream:
            add_pictures(stream)
            continue
        try:
            copy = _add_copy(stream, out, copier, film, drop_audio)
        except (ValueError, pyav().FFmpegError, UnsupportedError) as error:
            notes.append(f"stream {stream.index} ({stream.type}) not carried: {error}")
            continue
        if isinstance(copy, PcmSound):
            codec = stream.codec_context.name
            notes.append(f"stream {stream.index} (audio): {out.format.name} does not hold {codec}; now {copy.codec}")
        if copy is not None:
            copies[stream.index] = copy
    return notes, copies


def _add_copy(
    stream: Stream, out: OutputContainer, copier: MetadataCopier, film: Film, drop_audio: bool
) -> StreamCopy | None:
    """Adds a stream for what is made of another one; None where there is nothing to copy packet by packet."""
    from av.audio import AudioStream
    from av.stream import AttachmentStream, Discard

    if isinstance(stream, AttachmentStream):
        out.add_attachment(stream.name or "attachment", stream.mimetype or "application/octet-stream", stream.data)
        return None
    if stream.discard == Discard.all or _is_timecode_track(stream):
        return None  # the tracks in which QuickTime keeps chapters and timecode; both are written from elsewhere
    is_matroska = out.format.name == "matroska"
    if stream.disposition & _attached_pic() and is_matroska:
        _attach_cover(film, stream, out)
        return None
    if stream.type == "data" and is_matroska:
        raise UnsupportedError("Matroska takes no data")  # its muxer would refuse the film
    if stream.type == "audio" and drop_audio:
        raise UnsupportedError("--drop-audio")
    context = stream.codec_context
    if context and stream.type == "subtitle" and context.name not in out.supported_codecs:
        raise UnsupportedError(f"{context.name} does not go into {out.format.name}")
    made: StreamCopy
    if isinstance(stream, AudioStream) and not holds(out.format.name, stream):
        made = PcmSound(stream, out)
    else:
        made = PlainCopy(out.add_stream_from_template(stream), hides=is_matroska)
        made.stream.time_base = stream.time_base
    made.stream.metadata.update(copier.copied(stream.metadata))
    made.stream.disposition = stream.disposition
    return made


def _attached_pic() -> int:
    from av.stream import Disposition

    return Disposition.attached_pic


def _is_timecode_track(stream: Stream) -> bool:
    """Whether a stream is QuickTime's track with the first frame's timecode. The muxer makes it anew from metadata."""
    handler = stream.metadata.get("handler_name", "").lower().replace(" ", "")
    return stream.type == "data" and ("timecode" in stream.metadata or "timecode" in handler)


def _attach_cover(film: Film, stream: Stream, out: OutputContainer) -> None:
    """Adds a cover picture as Matroska keeps it: as an attachment. FFmpeg reads it as a stream of one packet."""
    name, mimetype = _COVER_TYPES.get(stream.codec_context.name, ("cover", "application/octet-stream"))
    with opened(film.path) as again:
        data = next((bytes(packet) for packet in again.demux(again.streams[stream.index]) if packet.size), b"")
    metadata = stream.metadata
    out.add_attachment(metadata.get("filename", name), metadata.get("mimetype", mimetype), data)


def copied_packets(
    film: Film, source: InputContainer, copies: Mapping[int, StreamCopy], delay: Fraction, strict: bool
) -> Iterator[MuxItem]:
    """The packets of all other streams, unchanged but for their times. Damage in the source ends them.

    Args:
        delay: seconds by which all of them are moved.
        strict: whether the container refuses two packets of a stream at one time.

    Raises:
        SourceReadError: the system cannot read the source.
    """
    latest = Fraction(0)
    clamps = {index: _RisingTimes(copy.stream, strict) for index, copy in copies.items()}
    # The pictures are read too: a break in time must be found at the same place as when they were decoded.
    deciding = deciding_streams(source)
    streams = [stream for stream in source.streams if stream.index in copies or stream in deciding]
    try:
        for packet in ContinuousTimes(source.format.name, deciding).corrected(source.demux(streams)):
            index = packet.stream.index
            for made in copies[index].packets(packet) if index in copies else ():
                if made.dts is None and made.pts is None:
                    continue
                ticks = round(delay / made.time_base)
                made.pts = None if made.pts is None else made.pts + ticks
                made.dts = None if made.dts is None else made.dts + ticks
                clamps[index].apply(made)
                time = made.dts if made.dts is not None else made.pts
                latest = max(latest, Fraction((time or 0) * made.time_base))
                made.stream = copies[index].stream
                yield latest, index, made
    except pyav().FFmpegError as error:
        if files.is_system_error(error):
            raise files.read_error(error) from error


class _RisingTimes:
    """Moves decoding times that go back to the earliest time that a muxer takes, as FFmpeg's own program does."""

    def __init__(self, stream: Stream, strict: bool) -> None:
        self._stream, self._strict = stream, strict
        self._last: int | None = None

    def apply(self, packet: Packet[Stream]) -> None:
        if packet.dts is None or self._stream.type not in ("audio", "video"):
            return
        if self._last is not None:
            tick = ceil((self._stream.time_base or packet.time_base) / packet.time_base) if self._strict else 0
            packet.dts = max(packet.dts, self._last + tick)
        self._last = packet.dts
        if packet.pts is not None:
            packet.pts = max(packet.pts, packet.dts)
