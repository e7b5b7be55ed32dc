"""Sound that goes beside the pictures: copied where the container holds it, else decoded to PCM without loss."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import numpy as np

from archivecolor.errors import UnsupportedError

if TYPE_CHECKING:
    from av.audio import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

CONTAINERS = ("mp4", "mov", "matroska")
_PCM = {"u8": "pcm_s16le", "s16": "pcm_s16le", "s32": "pcm_s32le", "flt": "pcm_f32le", "dbl": "pcm_f64le"}
"""Sample format of a decoder, without its `p` for planar -> the PCM codec that holds its samples exactly."""


@dataclass(frozen=True)
class SoundTrack:
    """One stream of sound in a film."""

    codec: str
    containers: tuple[str, ...]
    """Those of CONTAINERS that hold its packets as they are."""
    decodable: bool


def sound_tracks(container: InputContainer) -> tuple[SoundTrack, ...]:
    """The streams of sound, in their order."""
    return tuple(
        SoundTrack(
            stream.codec_context.name if stream.codec_context else "an unknown codec",
            tuple(name for name in CONTAINERS if holds(name, stream)),
            stream.codec_context is not None and _pcm_codec(stream) is not None,
        )
        for stream in container.streams.audio
    )


def holds(container: str, stream: Stream) -> bool:
    """Whether a container holds the packets of a stream. FFmpeg's lists of codecs are longer than what its muxers take,
    so a header is written."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format=container) as out:
            out.add_stream_from_template(stream)
            out.start_encoding()
    except (ValueError, av.FFmpegError):
        return False
    return True


def _pcm_codec(stream: AudioStream) -> str | None:
    """The PCM codec for what a stream's decoder gives; None where there is no decoder, or no such codec."""
    format = stream.codec_context.format
    return _PCM.get(format.name.removesuffix("p")) if format else None


class PcmSound:
    """Decodes a stream of sound into packets of PCM, with the times of its frames.

    Args:
        stream: a stream with a decoder.
        out: gets the stream of PCM.
    """

    def __init__(self, stream: AudioStream, out: OutputContainer) -> None:
        context = stream.codec_context
        if not context.sample_rate:  # a track that is announced and has no packet
            raise UnsupportedError("has no samples")
        codec = _pcm_codec(stream)
        if codec is None:
            raise UnsupportedError(f"{context.name} cannot be decoded to PCM")
        self._source, self.codec = stream, codec
        made = cast("AudioStream", out.add_stream(self.codec, rate=context.sample_rate))
        made.codec_context.layout = context.layout
        self.stream: Stream = made
        self._time_base = Fraction(1, context.sample_rate)

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """The decoded samples of a packet. What cannot be decoded is left out."""
        import av

        try:
            frames = self._source.decode(packet)
        except av.FFmpegError:
            return
        for frame in frames:
            samples = frame.to_ndarray()
            if frame.format.name.startswith("u8"):
                samples = (samples.astype(np.int16) - 128) << 8
            decoded = av.Packet(np.ascontiguousarray(samples.T if frame.format.is_planar else samples).tobytes())
            decoded.time_base, decoded.duration = self._time_base, frame.samples
            decoded.pts = decoded.dts = round((frame.pts or 0) * Fraction(frame.time_base or 0) / self._time_base)
            decoded.is_keyframe = True
            yield decoded
