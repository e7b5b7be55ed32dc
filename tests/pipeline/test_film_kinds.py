"""Films of the kinds that people have, from file to file: sound, covers, joined recordings, parts in colour."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.coloured_films import colour_film
from support.doubles import colourful
from support.films import facts, save_film, scene
from support.needs import av

from archivecolor.film import copies, header
from archivecolor.options import FilmOptions
from archivecolor.provenance import DONE, FAILED

SIZE = (48, 64)
RATE = 8000


def save_with_sound(path: Path, codec: str, frames: int = 8, cover: str = "", **muxing: str) -> Path:
    """A film of 25 frames a second with a tone in a codec; with a cover picture of a codec if one is named."""
    with av.open(str(path), "w", options=muxing) as out:
        picture = out.add_stream(cover) if cover else None
        if picture is not None:
            picture.width, picture.height, picture.pix_fmt = 32, 32, "rgb24" if cover == "png" else "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        stream = out.add_stream("mpeg4" if path.suffix != ".flv" else "flv1", rate=25)
        stream.height, stream.width = SIZE
        voice = out.add_stream(codec, rate=44100 if codec in ("mp2", "wmav2") else RATE)
        voice.layout, voice.bit_rate = "mono", 64_000
        out.start_encoding()
        if picture is not None:
            still = av.VideoFrame.from_ndarray(colourful(32, 32), format="rgb24").reformat(format=picture.pix_fmt)
            still.pts = 0
            out.mux([*picture.encode(still), *picture.encode(None)])
        for i in range(frames):
            grey = np.rint(16 + 219 * scene(i, *SIZE)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        tone = (8000 * np.sin(np.arange(frames * voice.rate // 25) / 9)).astype(np.int16)
        resampler = av.AudioResampler(voice.format, "mono", voice.rate, frame_size=voice.frame_size or 256)
        sound = av.AudioFrame.from_ndarray(tone[None], "s16", "mono")
        sound.sample_rate, sound.pts = voice.rate, 0
        for part in [*resampler.resample(sound), *resampler.resample(None)]:
            out.mux(voice.encode(part))
        out.mux(voice.encode(None))
    return path


def decoded_sound(path: Path) -> Any:
    """All samples as 16-bit or float numbers, (n,)."""
    with av.open(str(path)) as film:
        frames = list(film.decode(film.streams.audio[0]))
    return np.concatenate([frame.to_ndarray().ravel() for frame in frames])


# --- sound ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "made"),
    [
        ("reel.avi", "pcm_mulaw", "pcm_s16le"),
        ("reel.avi", "adpcm_ms", "pcm_s16le"),
        ("reel.wmv", "wmav2", "pcm_f32le"),
        ("reel.flv", "nellymoser", "pcm_f32le"),
    ],
)
def test_sound_that_matroska_does_not_hold_becomes_pcm_of_the_same_samples(
    src: Path, out: Path, ink: Path, name: str, codec: str, made: str
) -> None:
    row = colour_film(save_with_sound(src / name, codec), out, ink)
    assert row.status == DONE, row.reason
    assert any(f"does not hold {codec}; now {made}" in note for note in row.notes)
    before, after = decoded_sound(src / name), decoded_sound(out / str(row.output))
    assert len(before) > 1000
    assert np.array_equal(before, after)


@pytest.mark.parametrize(
    ("name", "codec", "film", "output"),
    [
        ("reel.mp4", "pcm_u8", FilmOptions(), "reel.mp4.mov"),
        ("reel.mp4", "flac", FilmOptions(codec="prores"), "reel.mp4.mkv"),
        ("reel.mov", "pcm_s16be", FilmOptions(codec="av1"), "reel.mov.mkv"),
    ],
)
def test_the_container_is_one_that_holds_the_sound(
    src: Path, out: Path, ink: Path, name: str, codec: str, film: FilmOptions, output: str
) -> None:
    muxing = {"strict": "experimental"} if codec == "flac" else {}
    made = save_with_sound(src / (name if codec != "pcm_u8" else "reel.mov"), codec, **muxing)
    row = colour_film(made.rename(src / name), out, ink, film=film)
    assert (row.status, row.output) == (DONE, output), row.reason
    assert np.array_equal(decoded_sound(src / name), decoded_sound(out / output))
    assert any("does not hold its sound" in note for note in row.notes) or film.codec == "av1"


def test_a_film_is_silent_only_on_request(src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save_with_sound(src / "reel.avi", "pcm_mulaw")
    track = header.SoundTrack("qdesign", (), False)
    with monkeypatch.context() as patch:
        patch.setattr(header, "sound_tracks", lambda container: (track,))
        row = colour_film(source, out, ink)
    assert row.status == FAILED
    assert "qdesign" in row.reason
    assert "--drop-audio" in row.reason
    row = colour_film(source, out, ink, film=FilmOptions(drop_audio=True))
    assert row.status == DONE
    assert any("--drop-audio" in note for note in row.notes)
    assert facts(out / "reel.avi.mkv").sound == []


@pytest.mark.parametrize(("master", "status"), [(True, DONE), (False, FAILED)])
def test_sound_without_a_decoder_is_copied_where_the_container_holds_it(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch, master: bool, status: str
) -> None:
    source = save_with_sound(src / "reel.mov", "pcm_s16le")
    held = ("matroska",) if master else ()
    track = header.SoundTrack("pcm_s16le", held, False)
    with monkeypatch.context() as patch:
        patch.setattr(header, "sound_tracks", lambda container: (track,))
        row = colour_film(source, out, ink, film=FilmOptions(master=master))
    assert row.status == status, row.reason
    if master:
        assert np.array_equal(decoded_sound(source), decoded_sound(out / str(row.output)))


# --- covers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cover", "master"), [("mjpeg", False), ("mjpeg", True), ("png", True)])
def test_a_cover_stays_a_cover(src: Path, out: Path, ink: Path, cover: str, master: bool) -> None:
    source = save_with_sound(src / "reel.mp4", "aac", cover=cover)
    row = colour_film(source, out, ink, film=FilmOptions(master=master))
    assert row.status == DONE, row.reason
    assert not any("not carried" in note for note in row.notes)
    pictures = []
    for path in (source, out / str(row.output)):
        with av.open(str(path)) as film:
            covers = [s for s in film.streams.video if s.disposition & av.stream.Disposition.attached_pic]
            assert len(covers) == len(film.streams.video) - 1 == 1
            pictures.append(next(bytes(packet) for packet in film.demux(covers[0]) if packet.size))
    assert pictures[0] == pictures[1]


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
def test_joined_recordings_go_straight_on(src: Path, out: Path, ink: Path, suffix: str) -> None:
    source = save_with_sound(src / f"reel{suffix}", "mp2", frames=12)
    source.write_bytes(2 * source.read_bytes())
    row = colour_film(source, out, ink)
    assert row.status == DONE, row.reason
    assert row.film["frames"] == 24
    assert any("time goes back or jumps" in note for note in row.notes)
    times = [float(p * facts(out / str(row.output)).time_base) for p in facts(out / str(row.output)).pts]
    steps = np.diff(times)
    assert steps.min() > 0.03
    assert steps.max() < 0.5


def test_a_refusal_of_the_muxer_is_no_unexpected_error(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save_with_sound(src / "reel.mkv", "aac")
    monkeypatch.setattr(copies._RisingTimes, "apply", lambda self, packet: setattr(packet, "dts", 5))
    row = colour_film(source, out, ink)
    assert row.status == FAILED
    assert "cannot be written as matroska" in row.reason


def test_a_held_last_frame_and_hidden_sound(src: Path, out: Path, ink: Path) -> None:
    source = save_film(src / "reel.mp4", [0, 20, 40, 60, 80, 100], sound=True, bf="0")
    row = colour_film(source, out, ink)
    assert row.status == DONE
    with av.open(str(out / "reel.mp4")) as film:
        assert film.streams.video[0].duration * film.streams.video[0].time_base == Fraction(120, 600)


# --- parts in colour --------------------------------------------------------------------------------------------------


def save_documentary(path: Path, part: tuple[int, int], frames: int = 40) -> Path:
    """Black and white with a part in colour, lossless."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for i in range(frames):
            grey = np.repeat(np.rint(255 * scene(i, *SIZE)).astype(np.uint8)[..., None], 3, axis=2)
            rgb = np.roll(colourful(*SIZE), i, axis=1) if part[0] <= i < part[1] else grey
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def test_a_part_in_colour_keeps_its_own(src: Path, out: Path, ink: Path) -> None:
    source = save_documentary(src / "reel.mkv", (13, 31))
    row = colour_film(source, out, ink)
    assert row.status == DONE
    assert "in colour and left as they are: frames 13-30" in row.notes
    before, after = facts(source), facts(out / "reel.mkv")
    assert after.pts == before.pts
    error = [
        max(np.abs(x.astype(int) - y).mean() for x, y in zip(one, other, strict=True))
        for one, other in zip(before.chroma, after.chroma, strict=True)
    ]
    assert max(error[13:31]) < 2.5
    assert min([*error[:13], *error[31:]]) > 4
    again = colour_film(source, out.with_name("again"), ink, recolor=True)
    assert not any("left as they are" in note for note in again.notes)


def test_a_master_has_the_luma_and_the_chroma_of_a_part_in_colour(src: Path, out: Path, ink: Path) -> None:
    source = save_documentary(src / "reel.mkv", (8, 24), frames=32)
    row = colour_film(source, out, ink, film=FilmOptions(master=True))
    before, after = facts(source), facts(out / str(row.output))
    assert all(np.array_equal(one, other) for one, other in zip(before.luma, after.luma, strict=True))
    for i in (8, 16, 23):
        small = after.chroma[i][0].reshape(24, 2, 32, 2).mean(axis=(1, 3))
        assert np.abs(small - before.chroma[i][0]).mean() < 2
