"""Films in and out: every frame, its time, its luma, its sound; killed anywhere and taken up again."""

from __future__ import annotations

import errno
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from doubles import INK, colour, grey, lab_of, save_ink
from films import facts, save_film, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from archivecolor import bag, lab, verify
from archivecolor.errors import OutputError, UnreadableError, UnsupportedError, UsageError
from archivecolor.film import header, is_film, planes, segments, shots, write
from archivecolor.film.survey import Survey
from archivecolor.film.timecode import earlier
from archivecolor.options import ColorOptions, FilmOptions, RunOptions
from archivecolor.provenance import DONE, FAILED, SKIPPED
from archivecolor.run import drive

VARIABLE = [7, 26, 47, 65, 86, 107, 140, 146, 167, 185, 206, 227, 245, 266, 300, 326, 347, 365, 386, 407, 425, 446, 467]
ALL_SHOWN = FilmOptions(every="1")


def colour_film(source: Path, out: Path, ink: Path, **options: Any) -> Any:
    """The row of one film."""
    options.setdefault("film", FilmOptions())
    (row,) = colour(source, out=out, model=ink, **options)
    return row


def seconds_of_frames(path: Path) -> list[float]:
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        return [float(frame.pts * stream.time_base) for frame in film.decode(stream)]


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
    handed: list[Any] = []
    own = write.picture

    def spy(coding: Any, given: Any) -> Any:
        frame = own(coding, given)
        rows = np.frombuffer(bytes(frame.planes[0]), given[0].dtype).reshape(frame.height, -1)[:, : frame.width]
        handed.append(rows >> (coding.depth - coding.film.depth))
        return frame

    monkeypatch.setattr(write, "picture", spy)
    row = colour_film(src / "reel.mp4", out, ink, film=FilmOptions(codec=codec))
    assert row.status == DONE, row.reason
    before, after = facts(src / "reel.mp4"), facts(out / str(row.output))
    assert all(np.array_equal(one, other) for one, other in zip(before.luma, handed, strict=True))
    assert [p * after.time_base for p in after.pts] == [p * before.time_base for p in before.pts]


def test_interlaced_stays_interlaced_and_anamorphic_stays_anamorphic(src: Path, out: Path, ink: Path) -> None:
    times, base = list(range(0, 400, 40)), Fraction(1, 1000)
    flags = {"x264-params": "tff=1"}
    save_film(src / "reel.mkv", times, time_base=base, interlaced=True, sample_aspect=Fraction(49, 33), **flags)
    assert facts(src / "reel.mkv").interlaced
    colour_film(src / "reel.mkv", out, ink)
    assert facts(out / "reel.mkv").interlaced
    assert facts(out / "reel.mkv").sample_aspect == facts(src / "reel.mkv").sample_aspect == Fraction(49, 33)


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


def timecodes(path: Path) -> set[str]:
    """All that a film file says, of itself and of its streams."""
    with av.open(str(path)) as film:
        known = [film.metadata, *(stream.metadata for stream in film.streams)]
    return {value for each in known for key, value in each.items() if key.lower() == "timecode"}


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
@pytest.mark.parametrize("how", [FilmOptions(), FilmOptions(codec="prores"), FilmOptions(master=True)])
def test_a_timecode_goes_with_its_film(src: Path, out: Path, ink: Path, suffix: str, how: FilmOptions) -> None:
    source = save_film(src / f"reel{suffix}", metadata={"timecode": "01:00:00:00"})
    with av.open(str(source)) as film:
        assert ("data" in [s.type for s in film.streams]) == (suffix != ".mkv")
    row = colour_film(source, out, ink, film=how)
    assert (row.status, row.reason) == (DONE, "")
    assert timecodes(out / row.output) == {"01:00:00:00"}
    with av.open(str(out / row.output)) as film:
        assert ("data" in [s.type for s in film.streams]) == row.output.endswith((".mov", ".mp4"))


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_before_a_title_card_the_timecode_is_an_earlier_one(src: Path, out: Path, ink: Path, suffix: str) -> None:
    source = save_film(src / f"reel{suffix}", metadata={"timecode": "01:00:00:00"})
    rate = round(header.open_film(source).rate)
    row = colour_film(source, out, ink, film=FilmOptions(title_card="auto"))
    assert row.status == DONE, row.reason
    cards = len(facts(out / row.output).pts) - 24
    (code,) = timecodes(out / row.output)
    seconds, number = code[:8], int(code[9:])
    assert seconds == "00:59:55" and cards == 5 * rate and number == 0


@pytest.mark.parametrize("code", ["about noon", "01:00:00:77", "25:00:00:00"])
def test_a_timecode_that_no_frame_can_have_is_left_out_by_name(src: Path, out: Path, ink: Path, code: str) -> None:
    times, base = list(range(0, 400, 40)), Fraction(1, 1000)
    source = save_film(src / "reel.mkv", times, time_base=base, metadata={"timecode": code})
    row = colour_film(source, out, ink, film=FilmOptions(codec="prores"))
    assert row.status == DONE, row.reason
    assert [note for note in row.notes if f"timecode {code} not carried" in note]
    assert timecodes(out / row.output) == set()


@given(st.integers(0, 24 * 3600 * 30 - 1), st.integers(0, 10**6), st.sampled_from([24, 25, 30]))
def test_timecodes_are_counted_in_frames(first: int, frames: int, fps: int) -> None:
    def named(count: int) -> str:
        count %= 24 * 3600 * fps
        second = count // fps
        return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}:{count % fps:02d}"

    assert earlier(named(first), Fraction(fps), frames) == named(first - frames)


def test_timecodes_that_drop_numbers_drop_them_where_they_should() -> None:
    rate, code, seen = Fraction(30000, 1001), "00:20:00;00", []
    while code != "00:00:00;00":
        code = str(earlier(code, rate, 1))
        seen.append(code)
    assert seen[-1] == earlier("00:20:00;00", rate, len(seen))
    named = {f"00:{m:02d}:{s:02d};{f:02d}" for m in range(20) for s in range(60) for f in range(30)}
    assert named - set(seen) == {f"00:{m:02d}:00;{f:02d}" for m in range(20) for f in (0, 1) if m % 10}
    assert len(seen) == len(set(seen)) == 20 * 1800 - 36
    assert earlier("00:00:00;00", rate, 1) == "23:59:59;29"
    assert earlier("01:00:00;02", Fraction(25), 0) is None


# --- among photographs ------------------------------------------------------------------------------------------------


def test_films_are_found_by_their_content(tmp_path: Path) -> None:
    film = save_film(tmp_path / "a.mp4").rename(tmp_path / "without_a_suffix")
    (tmp_path / "program.ts").write_text("export const x = 1\n" * 50)
    (tmp_path / "notes.txt").write_text("no film")
    (tmp_path / "broken.mkv").write_bytes(b"")
    assert is_film(film)
    assert is_film(tmp_path / "broken.mkv")
    assert not is_film(tmp_path / "program.ts")
    assert not is_film(tmp_path / "notes.txt")
    assert is_film(save_film(tmp_path / "b.ts"))


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


# --- damage -----------------------------------------------------------------------------------------------------------


def spoiled(path: Path, numbers: tuple[int, ...]) -> Path:
    """The same film with the bytes of some picture packets replaced by rubbish."""
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        places = [(p.pos, p.size) for p in film.demux(stream) if p.size]
    content = bytearray(path.read_bytes())
    for number in numbers:
        start, size = places[number]
        content[start : start + size] = b"\x00\x00\x00\x01\x09" + b"\xff" * (size - 5)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("how", "stand_in"), [("repeat", 4), ("grey", None)])
def test_frames_that_cannot_be_decoded_are_replaced_and_counted(
    src: Path, out: Path, ink: Path, how: str, stand_in: int | None
) -> None:
    source = save_film(src / "reel.mp4", VARIABLE, sound=True, g="1", bf="0")
    whole = facts(source)
    spoiled(source, (5, 6, 12))
    row = colour_film(source, out, ink, film=FilmOptions(master=True, on_bad_frame=how))
    after = facts(out / "reel.mp4.mkv")
    assert row.status == DONE, row.reason
    assert row.film["bad_frames"] == 3
    assert "3 frames could not be decoded" in row.notes[0]
    assert len(after.pts) == len(VARIABLE)
    assert [s[0] for s in after.sound] == [s[0] for s in whole.sound]
    expected = whole.luma[stand_in] if stand_in is not None else np.full_like(whole.luma[0], 128)
    assert np.array_equal(after.luma[5], expected)
    assert np.array_equal(after.luma[6], expected)
    assert np.array_equal(after.luma[7], whole.luma[7])


def test_of_a_truncated_film_comes_out_what_is_there(src: Path, out: Path, ink: Path) -> None:
    source = save_film(src / "reel.mp4", g="1")
    with av.open(str(source)) as film, av.open(str(src / "cut.mkv"), "w") as made:
        twin = made.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = twin
                made.mux(packet)
    source.unlink()
    cut = src / "cut.mkv"
    content = cut.read_bytes()
    cut.write_bytes(content[: len(content) * 6 // 10])
    row = colour_film(cut, out, ink)
    assert row.status == FAILED
    assert "what is there was coloured" in row.reason
    assert 3 < len(facts(out / "cut.mkv").pts) < 24
    made_at = (out / "cut.mkv").stat().st_mtime_ns
    assert colour_film(cut, out, ink) == row
    assert (out / "cut.mkv").stat().st_mtime_ns == made_at


def test_what_is_no_film_is_a_row_with_a_reason(src: Path, out: Path, ink: Path) -> None:
    (src / "empty.mkv").write_bytes(b"")
    (src / "rubbish.mp4").write_bytes(bytes(range(256)) * 40)
    rows = colour(src, out=out, model=ink)
    assert [row.status for row in rows] == [FAILED, FAILED]
    assert all("not a film that FFmpeg can read" in row.reason for row in rows)


def test_sound_alone_is_no_film(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        from films import _speak

        _speak(out, out.add_stream("aac", rate=44100), 0.3)
    with pytest.raises(UnsupportedError, match="no stream of pictures"):
        header.open_film(tmp_path / "a.mp4")
    (tmp_path / "b.mkv").write_bytes(b"\x1a\x45\xdf\xa3")
    with pytest.raises(UnreadableError):
        header.open_film(tmp_path / "b.mkv")


# --- killed and taken up again ----------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of the process."""


def test_killed_at_any_write_and_taken_up_again_the_film_is_the_same(
    src: Path, tmp_path: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save_film(src / "reel.mp4", sorted({*range(0, 44 * 20, 20), 33}), cuts=(13, 30), sound=True)
    monkeypatch.setattr("archivecolor.reel.way.LONGEST_SEGMENT", 8)
    colour_film(source, tmp_path / "never", ink)
    never = (tmp_path / "never/reel.mp4").read_bytes()
    own = segments.WorkFolder.save
    left = [0]

    def dies(*given: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        own(*given)

    out = tmp_path / "out"
    monkeypatch.setattr(segments.WorkFolder, "save", dies)
    for more in (0, 2, 3):
        left[0] = more
        with pytest.raises(Killed):
            colour_film(source, out, ink, workers=1)
        assert not (out / "reel.mp4").exists()
        assert len(list(out.glob(".*archivecolor-film/*.packets"))) >= more
    left[0] = 1000
    assert colour_film(source, out, ink).status == DONE
    assert (out / "reel.mp4").read_bytes() == never
    assert not list(out.glob(".*archivecolor-film"))


def test_asked_to_stop_it_leaves_what_it_has_and_goes_on_from_there(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archivecolor.options import ColorOptions, RunOptions
    from archivecolor.run import drive

    save_film(src / "reel.mp4", list(range(0, 40 * 20, 20)))
    monkeypatch.setattr("archivecolor.reel.way.LONGEST_SEGMENT", 8)
    options = RunOptions((str(src),), out, str(ink), ColorOptions(64), device="cpu", precision="fp32")
    seen: list[tuple[str, str, int, int, float]] = []
    (row,) = drive(
        options,
        stop=lambda: any(s[1] == "colouring" and s[2] >= 16 for s in seen),
        film_watch=lambda *s: seen.append(s),
    )
    assert row.status == FAILED
    assert "interrupted after 16 of 40 frames" in row.reason
    seen.clear()
    (row,) = drive(options, film_watch=lambda *s: seen.append(s))
    assert row.status == DONE
    assert [s[2] for s in seen if s[1] == "colouring"] == [16, 24, 32]
    assert seen[-1][1:4] == ("joining", 40, 40)


def test_another_option_begins_a_folder_anew(tmp_path: Path) -> None:
    one = segments.WorkFolder(tmp_path / "a.mp4", "key")
    one.save_survey(Survey([1, 2], [0.0, 0.0], [1.0, 1.0]))
    assert segments.WorkFolder(tmp_path / "a.mp4", "key").survey() == one.survey()
    assert segments.WorkFolder(tmp_path / "a.mp4", "other").survey() is None


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(0, 4), st.randoms())
def test_decoding_times_rise_and_never_come_after_the_frame_is_shown(steps: list[int], far: int, chance: Any) -> None:
    shown = np.cumsum(steps).tolist()
    order = sorted(range(len(shown)), key=lambda i: i + chance.uniform(0, far))
    pts = [shown[i] for i in order]
    dts = write.decoding_times(pts, 20)
    assert all(one < other for one, other in pairwise(dts))
    assert all(d <= p for d, p in zip(dts, pts, strict=True))


@given(st.lists(st.integers(1, 400), max_size=6), st.integers(1, 400), st.integers(1, 15))
def test_segments_cover_every_frame_once_and_never_cross_a_cut(cuts: list[int], frames: int, eights: int) -> None:
    found = Survey(pts=list(range(frames)), cuts=cuts)
    parts = found.segments(8 * eights, 8)
    assert [i for part in parts for i in range(part.start, part.end)] == list(range(frames))
    assert all(part.shot_start <= part.start < part.end <= part.shot_end for part in parts)
    assert all((part.start - part.shot_start) % 8 == 0 and part.end - part.start <= 8 * eights for part in parts)


# --- planes -----------------------------------------------------------------------------------------------------------


@given(
    st.floats(0, 100), st.floats(-110, 110), st.floats(-110, 110), st.floats(0, 1),
    st.sampled_from([(0.299, 0.114), (0.2126, 0.0722)]),
)  # fmt: skip
def test_every_colour_fits_beside_every_luma(
    lightness: float, a: float, b: float, luma: float, weights: tuple[float, float]
) -> None:
    cb, cr = planes.colour_differences(
        torch.tensor([[lightness]]), torch.tensor([[[a]], [[b]]]), torch.tensor([[luma]]), weights
    )
    kr, kb = weights
    red, blue = luma + float(cr) * 2 * (1 - kr), luma + float(cb) * 2 * (1 - kb)
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    assert all(-1e-4 <= value <= 1 + 1e-4 for value in (red, green, blue))
    assert abs(kr * red + (1 - kr - kb) * green + kb * blue - luma) < 1e-5


def test_grey_has_no_chroma_and_its_codes_have_the_lightness_of_srgb() -> None:
    tags = planes.Tags(1, False, 1, 1)
    table = planes.lightness_table(tags, 8)
    assert (np.abs(table[:17]) < 1e-5).all()
    assert (np.diff(table[16:236]) > 0).all()
    assert table[235] == pytest.approx(100, abs=1e-4)
    grey = torch.full((3, 1, 1), 0.5)
    assert table[126] == pytest.approx(float(lab.lab_from_srgb(grey)[0]), abs=0.3)
    cb, cr = planes.colour_differences(torch.rand(4, 4) * 100, torch.zeros(2, 4, 4), torch.rand(4, 4), tags.weights)
    assert torch.equal(cb.abs() < 1e-5, torch.ones_like(cb, dtype=torch.bool))
    assert torch.equal(cr.abs() < 1e-5, torch.ones_like(cr, dtype=torch.bool))


@pytest.mark.parametrize("layout", ["420", "422", "444"])
@pytest.mark.parametrize("interlaced", [False, True])
def test_luma_at_chroma_of_an_even_picture_is_even_and_has_the_planes_size(layout: str, interlaced: bool) -> None:
    across, down = planes.LAYOUTS[layout]
    flat = planes.luma_at_chroma(np.full((11, 13), 77, np.uint8), layout, interlaced)
    assert flat.shape == (-(-11 // down), -(-13 // across))
    assert (flat == 77).all()
    ramp = planes.luma_at_chroma(np.tile(np.arange(0, 64, dtype=np.uint8), (8, 1)), layout, interlaced)
    assert np.abs(ramp[:, 1:-1].astype(int) - np.arange(0, 64, across)[1:-1]).max() <= 1


def test_fields_are_not_mixed() -> None:
    rows = np.zeros((8, 8), np.uint8)
    rows[1::2] = 200
    apart = planes.luma_at_chroma(rows, "420", interlaced=True)
    assert apart[:, 3].tolist() == [0, 200, 0, 200]


# --- shots ------------------------------------------------------------------------------------------------------------


def test_cuts_are_found_where_they_are(tmp_path: Path) -> None:
    finder = shots.ShotFinder(Fraction(24))
    for i in range(60):
        shot = (i >= 20) + (i >= 41)
        finder.see(i, np.rint(255 * scene(i, shot=shot)).astype(np.uint8))
    assert finder.cuts == [20, 41]


def test_a_list_of_cuts_is_read_and_anything_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cuts.txt"
    path.write_text("# reel 1\n40, 12\n12 99;7 # the end\n")
    assert shots.read_cuts(path) == [7, 12, 40, 99]
    assert shots.shots([7, 12, 40, 99], 50) == [(0, 7), (7, 12), (12, 40), (40, 50)]
    path.write_text("1:30")
    with pytest.raises(UsageError, match="--cuts"):
        shots.read_cuts(path)
    with pytest.raises(UsageError, match="cannot be read"):
        shots.read_cuts(tmp_path / "none.txt")


def test_cuts_that_cannot_be_read_are_refused_before_the_first_picture(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(grey()).save(src / "a.png")
    with pytest.raises(UsageError, match="--cuts"):
        colour(src, out=out, model=ink, film=FilmOptions(cuts=src / "nowhere.txt"))
    assert not out.exists()


def test_a_film_that_is_written_to_while_it_is_coloured_is_not_said_to_be_done(
    src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, join = save_film(src / "reel.mkv", range(0, 400, 40)), write.join

    def join_and_change(*given: Any) -> Any:
        made = join(*given)
        source.write_bytes(source.read_bytes() + b"more")
        return made

    monkeypatch.setattr(write, "join", join_and_change)
    row = colour_film(source, out, ink)
    assert row.status == FAILED and "written to" in row.reason
    assert not (out / "reel.mkv").exists()


def test_a_full_disk_is_no_fault_of_the_film(src: Path, out: Path, ink: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save_film(src / "reel.mkv", range(0, 400, 40))

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(write, "join", full)
        with pytest.raises(OutputError, match=r"reel\.mkv.*free some space"):
            colour_film(source, out, ink)
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(OutputError, match="free some space"):
            colour_film(source, out, ink, film=FilmOptions(steady=0.5))
    assert colour_film(source, out, ink).status == DONE


def test_pieces_of_a_film_are_seen_by_verify_and_bag_and_outlive_no_run(src: Path, out: Path, ink: Path) -> None:
    save_film(src / "reel.mkv", range(0, 8000, 40), cuts=(90,))
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 203

    color = ColorOptions(64)
    options = RunOptions((str(src),), out, str(ink), color, "cpu", "fp32", film=FilmOptions(every="1"))
    drive(options, stop=stop)
    assert [f for f in verify.verify(out).findings if "not finished" in f.detail], "there are pieces"
    with pytest.raises(OutputError, match="not finished"):
        bag.bag(out, out.with_name("bag"))
    drive(replace(options, suffix="_c"))
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    assert verify.verify(out).sound


def test_a_truncated_film_is_left_alone_by_the_next_run(src: Path, out: Path, ink: Path) -> None:
    source = save_film(src / "reel.mkv", range(0, 4000, 40))
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    first = colour_film(source, out, ink, mirror=True)
    assert first.status == FAILED and first.output
    assert first.notes[-1] == "--mirror is for photographs"
    assert colour_film(source, out, ink, mirror=True) == first


def test_cuts_of_ones_own_are_used(src: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    (tmp_path / "cuts.txt").write_text("5 9")
    save_film(src / "reel.mp4")
    row = colour_film(src / "reel.mp4", out, ink, film=FilmOptions(cuts=tmp_path / "cuts.txt"))
    assert row.film["shots"] == 3


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

ARCHIVE = Path(__file__).resolve().parents[2] / "shared/archive/films"


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


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**16 - 1), st.sampled_from([(8, 10), (10, 10), (12, 10), (16, 16), (8, 8)]))
def test_luma_goes_deeper_without_loss(code: int, depths: tuple[int, int]) -> None:
    depth, wanted = depths
    code %= 1 << depth
    luma = np.full((2, 2), code, np.uint8 if depth == 8 else np.uint16)
    made = write.luma_at_depth(luma, depth, wanted)
    assert (
        int(made[0, 0]) == code << (wanted - depth)
        if wanted >= depth
        else abs(int(made[0, 0]) - min(code / 4, 1023)) <= 0.5
    )
    assert cv2.countNonZero(np.asarray(made != made[0, 0], np.uint8)) == 0
