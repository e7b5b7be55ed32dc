"""Small films, made here, and what can be read back of any."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from support.doubles import colourful
from support.needs import av

SIZE = (48, 64)


def scene(index: int, height: int = SIZE[0], width: int = SIZE[1], shot: int = 0) -> Any:
    """A grey picture (H, W) in 0..1: soft waves that wander, other ones for each shot."""
    y, x = np.mgrid[0:height, 0:width]
    wave = np.sin((x + 0.7 * index) / (5 + 3 * shot)) * np.cos(y / (4 + 5 * (shot % 2)))
    return 0.5 + (-1) ** shot * 0.25 + 0.2 * wave


def save_film(
    path: Path,
    pts: list[int] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    time_base: Fraction = Fraction(1, 600),
    cuts: tuple[int, ...] = (),
    full_range: bool = False,
    sound: bool = False,
    rotation: int = 0,
    colour: bool = False,
    size: tuple[int, int] = SIZE,
    metadata: dict[str, str] | None = None,
    chapters: bool = False,
    interlaced: bool = False,
    sample_aspect: Fraction | None = None,
    **options: str,
) -> Path:
    """A film with these time stamps; FLAC or AAC sound beside it."""
    pts = list(range(0, 20 * 24, 20)) if pts is None else pts
    muxing = {} if path.suffix == ".mkv" else {"video_track_timescale": str(time_base.denominator)}
    with av.open(str(path), "w", options=muxing) as out:
        stream = out.add_stream(
            codec, rate=Fraction(30), options={"crf": "12", **options} if "x26" in codec else options
        )
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = stream.time_base = time_base
        stream.codec_context.color_range = 2 if full_range else 1
        if interlaced:
            stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
            stream.codec_context.field_order = 2
        if sample_aspect:
            stream.codec_context.sample_aspect_ratio = sample_aspect
        if rotation:
            stream.set_display_rotation(rotation)
        out.metadata.update(metadata or {})
        if chapters:
            out.set_chapters(
                [{"id": 1, "start": 0, "end": 300, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
            )
        voice = out.add_stream("aac", rate=44100) if sound else None
        shot = 0
        for i, when in enumerate(pts):
            shot += i in cuts
            frame = _frame(scene(i, *size, shot=shot), pix_fmt, full_range, colour)
            frame.pts, frame.time_base = when, time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if voice:
            _speak(out, voice, float((pts[-1] - pts[0]) * time_base))
    return path


def _frame(grey: Any, pix_fmt: str, full_range: bool, colour: bool) -> Any:
    if colour:
        return av.VideoFrame.from_ndarray(colourful(*grey.shape), format="rgb24").reformat(format=pix_fmt)
    frame = av.VideoFrame(grey.shape[1], grey.shape[0], pix_fmt)
    depth = frame.format.components[0].bits
    black, white = (0, 2**depth - 1) if full_range else (16 << (depth - 8), 235 << (depth - 8))
    dtype = np.uint8 if depth == 8 else np.uint16
    for number, plane in enumerate(frame.planes):
        rows = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)
        rows[:] = 1 << (depth - 1)
        if number == 0:
            rows[:, : plane.width] = np.rint(black + grey * (white - black))
    return frame


def _speak(out: Any, voice: Any, seconds: float) -> None:
    tone = np.sin(np.arange(int(seconds * 44100)) / 20).astype(np.float32)
    for start in range(0, len(tone) - 1024, 1024):
        frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024].repeat(2, axis=0), "fltp", "stereo")
        frame.sample_rate, frame.pts = 44100, start
        out.mux(voice.encode(frame))
    out.mux(voice.encode(None))


@dataclass(frozen=True)
class Facts:
    """What a film holds."""

    time_base: Fraction
    pts: list[int]
    luma: list[Any]
    chroma: list[Any]
    sound: list[tuple[bytes, int, int]]
    rotation: int
    pix_fmt: str
    tags: tuple[int, int, int, int]
    interlaced: bool
    sample_aspect: Fraction | None
    metadata: dict[str, str]
    chapters: list[Any]


def facts(path: Path) -> Facts:
    """Read back with PyAV."""
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        frames = list(film.decode(stream))
        first = frames[0]
        planes = [[_plane(frame, number) for number in range(len(frame.planes))] for frame in frames]
        picture_facts = (
            Fraction(stream.time_base), [f.pts for f in frames], [p[0] for p in planes], [p[1:] for p in planes],
        )  # fmt: skip
        rest = (
            first.rotation, first.format.name,
            (int(first.colorspace), int(first.color_range), int(first.color_primaries), int(first.color_trc)),
            first.interlaced_frame, stream.sample_aspect_ratio, dict(film.metadata), film.chapters(),
        )  # fmt: skip
    with av.open(str(path)) as film:
        voices = [s for s in film.streams if s.type == "audio"]
        sound = [(bytes(p), p.pts, p.dts) for p in film.demux(voices) if p.size] if voices else []
    return Facts(*picture_facts, sound, *rest)


def _plane(frame: Any, number: int) -> Any:
    plane = frame.planes[number]
    dtype = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    return np.frombuffer(bytes(plane), dtype).reshape(plane.height, -1)[:, : plane.width]
