"""Films in and out: every frame, its time, its luma, its sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.coloured_films import ALL_SHOWN, VARIABLE, colour_film, seconds_of_frames
from support.doubles import INK, colour, grey, lab_of, save_ink
from support.films import facts, save_film
from support.needs import av, needs
from support.paths import SHARED

from archivecolor.film import encoder, is_film
from archivecolor.options import FilmOptions
from archivecolor.provenance import DONE, FAILED, SKIPPED

# --- what comes out is what went in -----------------------------------------------------------------------------------


def test_every_frame_time_sound_packet_and_tag_is_kept(src: Path, out: Path, ink: Path) -> None:
    source = save_film(
        src / "reel.mp4", VARIABLE, cuts=(9,), sound=True, rotation=90, chapters=True,
        metadata={"title": "A reel", "comment": "found in 1931"},
    )  # fmt: skip
    row = colour_film(source, out, ink)
    assert (row.status, row.reason, row.notes) == (DONE, "", ())
    before, after = facts(source), facts(out / "reel.mp4")
    assert before.pts == VARIABLE
    assert (after.pts, after.time_base) == (before.pts, before.time_base)
    assert after.sound == before.sound
    assert len(after.sound) > 10
    assert (after.rotation, before.rotation) == (90, 90)
    assert [(c["start"] * c["time_base"], c["metadata"]) for c in after.chapters] == [
        (c["start"] * c["time_base"], c["metadata"]) for c in before.chapters
    ]
    assert len(after.chapters) == 1
    assert after.metadata["title"] == "A reel"
    assert after.metadata["comment"].startswith("found in 1931\nColour invented by a neural network")
    assert row.film["frames"] == len(VARIABLE)
    assert row.film["shots"] == 2
    assert row.output == "reel.mp4"


def test_the_colour_is_that_of_the_network(src: Path, out: Path, ink: Path) -> None:
    save_film(src / "reel.mp4", size=(96, 128))
    colour_film(src / "reel.mp4", out, ink, film=FilmOptions(master=True))
    with av.open(str(out / "reel.mp4.mkv")) as film:
        rgb = next(film.decode(video=0)).to_ndarray(format="rgb24")
    a, b = lab_of(rgb)[20:70, 20:100, 1:].reshape(-1, 2).T
    assert abs(np.median(a) - INK[0]) < 4
    assert abs(np.median(b) - INK[1]) < 6


@needs("av", "scenedetect")
def test_the_network_sees_a_turned_film_upright(src: Path, out: Path, ink: Path) -> None:
    save_ink(ink, (0, 0), tilt=(60, 0))  # green above, red below
    for rotation in (0, 90, -90, 180):
        save_film(src / f"{rotation}.mp4", VARIABLE[:3], size=(64, 64), rotation=rotation)
    colour(src, out=out, model=ink, film=FilmOptions(master=True))
    for rotation in (0, 90, -90, 180):
        red = np.rot90(facts(out / f"{rotation}.mp4.mkv").chroma[0][1], rotation // 90).astype(int)
        assert red[-12:].mean() > red[:12].mean() + 8
        assert abs(red[:, -12:].mean() - red[:, :12].mean()) < 4


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "full", "expected"),
    [
        ("yuv420p", "libx264", False, "yuv444p"), ("yuv420p", "libx264", True, "yuv444p"),
        ("yuv420p10le", "libx264", False, "yuv444p10le"), ("gray10le", "ffv1", False, "yuv444p10le"),
        ("yuv422p", "ffv1", False, "yuv444p"), ("gray16le", "ffv1", True, "yuv444p16le"),
    ],
)  # fmt: skip
def test_the_luma_of_a_master_is_bit_for_bit_the_sources(
    src: Path, out: Path, ink: Path, pix_fmt: str, codec: str, full: bool, expected: str
) -> None:
    save_film(src / "reel.mkv", list(range(0, 40 * 12, 40)), codec, pix_fmt, Fraction(1, 1000), full_range=full)
    row = colour_film(src / "reel.mkv", out, ink, film=FilmOptions(master=True))
    assert row.status == DONE, row.reason
    before, after = facts(src / "reel.mkv"), facts(out / "reel.mkv")
    assert len(before.luma) == 12
    assert all(np.array_equal(one, other) for one, other in zip(before.luma, after.luma, strict=True))
    assert after.pix_fmt == expected
    assert after.tags[1] == (2 if full else 1)
    assert after.pts == before.pts
    assert np.ptp(after.chroma[0][0]) > 0 or after.chroma[0][0][0, 0] != 1 << (8 - 1)


@pytest.mark.parametrize("codec", ["h264", "h265", "prores"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_what_the_encoder_is_given_is_the_sources_luma(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch, codec: str, pix_fmt: str
) -> None:
    save_film(src / "reel.mp4", VARIABLE[:9], pix_fmt=pix_fmt)
    encoded: list[Any] = []
    video_frame = encoder.video_frame

    def spy(coding: Any, planes: Any) -> Any:
        frame = video_frame(coding, planes)
        rows = np.frombuffer(bytes(frame.planes[0]), planes[0].dtype).reshape(frame.height, -1)[:, : frame.width]
        encoded.append(rows >> (coding.depth - coding.film.depth))
        return frame

    monkeypatch.setattr(encoder, "video_frame", spy)
    row = colour_film(src / "reel.mp4", out, ink, film=FilmOptions(codec=codec))
    assert row.status == DONE, row.reason
    before, after = facts(src / "reel.mp4"), facts(out / str(row.output))
    assert all(np.array_equal(one, other) for one, other in zip(before.luma, encoded, strict=True))
    assert [p * after.time_base for p in after.pts] == [p * before.time_base for p in before.pts]


def test_interlaced_stays_interlaced_and_anamorphic_stays_anamorphic(src: Path, out: Path, ink: Path) -> None:
    times, base = list(range(0, 400, 40)), Fraction(1, 1000)
    flags = {"x264-params": "tff=1"}
    save_film(src / "reel.mkv", times, time_base=base, interlaced=True, sample_aspect=Fraction(49, 33), **flags)
    assert facts(src / "reel.mkv").interlaced
    colour_film(src / "reel.mkv", out, ink)
    assert facts(out / "reel.mkv").interlaced
    assert facts(out / "reel.mkv").sample_aspect == facts(src / "reel.mkv").sample_aspect == Fraction(49, 33)


@needs("av", "scenedetect")
def test_another_container_is_said_in_the_name_and_rounding_in_a_note(src: Path, out: Path, ink: Path) -> None:
    save_film(src / "reel.avi", None, "mpeg4", time_base=Fraction(1, 24))
    save_film(src / "reel.mov")
    rows = {row.input: row for row in colour(src, out=out, model=ink)}
    assert {row.output for row in rows.values()} == {"reel.avi.mkv", "reel.mov"}
    assert "rounded" in rows["reel.avi"].notes[0]
    assert len(facts(out / "reel.avi.mkv").pts) == 24


@pytest.mark.parametrize(("codec", "full"), [("prores", True), ("prores", False), ("h264", True)])
def test_luma_that_is_scaled_is_said_to_be(src: Path, out: Path, ink: Path, codec: str, full: bool) -> None:
    row = colour_film(
        save_film(src / "reel.mp4", VARIABLE[:3], full_range=full), out, ink, film=FilmOptions(codec=codec)
    )
    assert row.status == DONE, row.reason
    assert [note for note in row.notes if "scaled to the usual range" in note] == list(row.notes)
    assert bool(row.notes) == (codec == "prores" and full)


@needs("av", "scenedetect")
def test_a_gif_that_moves_is_a_film_and_one_that_does_not_is_a_photograph(src: Path, out: Path, ink: Path) -> None:
    frames = [Image.fromarray(grey(64, 96, seed=i)) for i in range(6)]
    frames[0].save(src / "wave.gif", save_all=True, append_images=frames[1:], duration=[40, 80] * 3, loop=0)
    frames[0].save(src / "still.gif")
    (src / "cut.gif").write_bytes((src / "wave.gif").read_bytes()[:400])
    assert [is_film(src / name) for name in ("wave.gif", "still.gif", "cut.gif")] == [True, False, False]
    rows = {row.input: row for row in colour(src, out=out, model=ink)}
    assert {name: (row.status, row.output) for name, row in rows.items()} == {
        "cut.gif": (FAILED, None), "still.gif": (DONE, "still.gif.png"), "wave.gif": (DONE, "wave.gif.mkv"),
    }  # fmt: skip
    assert seconds_of_frames(out / "wave.gif.mkv") == seconds_of_frames(src / "wave.gif")


def test_a_film_in_colour_is_left_alone_unless_asked(src: Path, out: Path, ink: Path) -> None:
    save_film(src / "reel.mp4", colour=True)
    row = colour_film(src / "reel.mp4", out, ink)
    assert (row.status, row.reason) == (SKIPPED, "already colour")
    assert not list(out.glob("*.mp4"))
    assert not list(out.glob(".*archivecolor-film"))
    assert colour_film(src / "reel.mp4", out, ink, recolor=True).status == DONE


def test_what_is_done_is_not_done_again_and_other_options_do_it_again(src: Path, out: Path, ink: Path) -> None:
    save_film(src / "reel.mp4", VARIABLE[:6])
    first = colour_film(src / "reel.mp4", out, ink)
    made = (out / "reel.mp4").stat().st_mtime_ns
    assert colour_film(src / "reel.mp4", out, ink) == first
    assert (out / "reel.mp4").stat().st_mtime_ns == made
    assert colour_film(src / "reel.mp4", out, ink, film=FilmOptions(steady=0.5)) != first


def test_without_pyav_the_row_says_what_to_install(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_film(src / "reel.mp4")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    row = colour_film(src / "reel.mp4", out, ink)
    assert row.status == FAILED
    assert "pip install 'archivecolor[video]'" in row.reason


# --- how many frames the network sees ---------------------------------------------------------------------------------


def test_a_calm_film_is_shown_to_the_network_now_and_then(src: Path, out: Path, ink: Path) -> None:
    save_film(src / "reel.mp4", list(range(0, 34 * 20, 20)))
    every = colour_film(src / "reel.mp4", out / "1", ink, film=ALL_SHOWN)
    auto = colour_film(src / "reel.mp4", out / "auto", ink)
    third = colour_film(src / "reel.mp4", out / "3", ink, film=FilmOptions(every="3"))
    assert (every.film["seen"], auto.film["seen"], third.film["seen"]) == (34, 6, 12)
    assert every.film["reuse_error"] is None
    assert auto.film["reuse_worst"] < 3


# --- the archive's own films ------------------------------------------------------------------------------------------

ARCHIVE = SHARED / "archive/films"


@pytest.mark.parametrize("source", sorted(ARCHIVE.glob("*.m*")) or [ARCHIVE / "none"], ids=lambda path: path.stem)
def test_films_of_the_archive_keep_frames_times_and_sound(source: Path, out: Path, ink: Path) -> None:
    if not source.exists():
        pytest.skip(f"no films in {ARCHIVE.name}: the archive is not on this machine")
    short = out.parent / source.name
    with av.open(str(source)) as film, av.open(str(short), "w", options={"video_track_timescale": "12800"}) as made:
        twins = {s.index: made.add_stream_from_template(s) for s in film.streams if s.type in ("audio", "video")}
        for packet in film.demux():
            if packet.size and packet.pts is not None and packet.pts * packet.time_base < 1:
                packet.stream = twins[packet.stream.index]
                made.mux(packet)
    row = colour_film(short, out, ink, recolor=True)
    before, after = facts(short), facts(out / source.name)
    assert row.reason == ""
    assert (after.pts, after.time_base, after.sound) == (before.pts, before.time_base, before.sound)
    assert after.sample_aspect == before.sample_aspect
    assert after.rotation == before.rotation
