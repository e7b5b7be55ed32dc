"""What is done to a film's pictures where it is asked for: deinterlacing, the mark, the card before it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.doubles import colour
from support.films import facts, save_film
from support.needs import av, package

from archivecolor.errors import UsageError
from archivecolor.film import header, planes, read
from archivecolor.imaging import watermark
from archivecolor.imaging.orientation import to_stored, to_upright
from archivecolor.options import Disclosure, FilmOptions
from archivecolor.provenance import DONE

TIMES, BASE = list(range(0, 800, 40)), Fraction(1, 1000)


def film_of(source: Path, out: Path, ink: Path, **options: Any) -> Any:
    package("scenedetect")
    (row,) = colour(source, out=out, model=ink, **options)
    assert row.status == DONE, row.reason
    return row


def save_interlaced(path: Path, tff: bool = True) -> list[Any]:
    """A film of 25 pictures a second whose fields show a bar at 50 moments; those moments as luma (H, W)."""
    height, width = 96, 128

    def moment(i: int) -> Any:
        luma = np.full((height, width), 40, np.uint8)
        luma[:, 4 + 4 * i : 20 + 4 * i] = 200
        return luma

    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = stream.time_base = BASE
        stream.codec_context.color_range = 1
        stream.codec_context.field_order = 2 if tff else 3
        graph = av.filter.Graph()
        source = graph.add_buffer(width=width, height=height, format="yuv420p", time_base=BASE)
        graph.link_nodes(source, graph.add("setfield", "tff" if tff else "bff"), graph.add("buffersink")).configure()
        for i, when in enumerate(TIMES[:12]):
            woven = moment(2 * i)
            woven[(1 if tff else 0) :: 2] = moment(2 * i + 1)[(1 if tff else 0) :: 2]
            frame = av.VideoFrame(width, height, "yuv420p")
            for number, plane in enumerate(frame.planes):
                rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
                rows[:] = 128
                if number == 0:
                    rows[:, :width] = woven
            frame.pts, frame.time_base = when, BASE
            graph.vpush(frame)
            out.mux(stream.encode(graph.vpull()))
        out.mux(stream.encode(None))
    return [moment(i) for i in range(24)]


# --- interlaced -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tff", [True, False])
def test_a_deinterlaced_film_shows_one_moment_a_frame_at_the_same_times(
    src: Path, out: Path, ink: Path, tff: bool
) -> None:
    moments = save_interlaced(src / "reel.mkv", tff)
    assert facts(src / "reel.mkv").interlaced
    row = film_of(src / "reel.mkv", out, ink, film=FilmOptions(master=True, deinterlace=True), recolor=True)
    assert (row.film["deinterlaced"], row.film["frames"], row.notes) == (12, 12, ())
    before, after = facts(src / "reel.mkv"), facts(out / "reel.mkv")
    assert (after.pts, after.interlaced) == (before.pts, False)
    for i in range(1, 11):
        combed = np.abs(before.luma[i].astype(int) - moments[2 * i]).mean()
        left = np.abs(after.luma[i].astype(int) - moments[2 * i]).mean()
        assert left < 0.15 * combed
        own = slice(0 if tff else 1, None, 2)  # the first field's lines are what they were
        assert np.array_equal(after.luma[i][own], before.luma[i][own])


def test_without_the_flag_fields_stay_as_they_are(src: Path, out: Path, ink: Path) -> None:
    save_interlaced(src / "reel.mkv")
    row = film_of(src / "reel.mkv", out, ink, film=FilmOptions(master=True), recolor=True)
    before, after = facts(src / "reel.mkv"), facts(out / "reel.mkv")
    assert all(np.array_equal(a, b) for a, b in zip(before.luma, after.luma, strict=True))
    assert after.interlaced
    assert "deinterlaced" not in row.film


def test_a_progressive_film_is_not_touched_by_the_flag_and_says_so(src: Path, out: Path, ink: Path) -> None:
    save_film(src / "reel.mkv", TIMES, time_base=BASE)
    row = film_of(src / "reel.mkv", out, ink, film=FilmOptions(master=True, deinterlace=True))
    before, after = facts(src / "reel.mkv"), facts(out / "reel.mkv")
    assert after.pts == before.pts
    assert all(np.array_equal(a, b) for a, b in zip(before.luma, after.luma, strict=True))
    assert row.notes == ("--deinterlace: no frame says that it is interlaced; all are left as they are",)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_interlaced_films_lose_no_frame(tmp_path: Path, frames: int) -> None:
    save_film(tmp_path / "a.mkv", TIMES[:frames], time_base=BASE, interlaced=True, **{"x264-params": "tff=1"})
    film = header.open_film(tmp_path / "a.mkv", deinterlace=True)
    reader = read.FrameReader(film)
    assert [frame.pts for frame in reader] == TIMES[:frames]
    assert reader.deinterlaced == frames
    plain = read.FrameReader(header.open_film(tmp_path / "a.mkv"))
    assert len(list(plain)) == frames
    assert reader.last_ticks == plain.last_ticks, "the last frame is as long as it was"


@given(st.integers(1, 40), st.integers(2, 30))
def test_chroma_of_fields_lies_evenly_over_the_frame(rows: int, width: int) -> None:
    """A picture that gets lighter downwards: chroma rows see it in even steps, though each belongs to one field."""
    ramp = np.repeat(np.arange(4 * rows, dtype=np.uint16)[:, None] * 64, width, axis=1)
    seen = planes.luma_at_chroma(ramp, "420", interlaced=True)[:, 0].astype(int)
    assert (np.abs(seen - (np.arange(2 * rows) * 128 + 32)) <= 1).all()


# --- the mark ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_the_mark_is_in_its_corner_and_nowhere_else(
    src: Path, out: Path, ink: Path, rotation: int, pix_fmt: str
) -> None:
    save_film(src / "reel.mp4", TIMES[:4], time_base=BASE, size=(240, 320), rotation=rotation, pix_fmt=pix_fmt)
    plain = film_of(src / "reel.mp4", out / "plain", ink, film=FilmOptions(master=True))
    disclosure = Disclosure(mark="auto", sidecar=False)
    marked = film_of(src / "reel.mp4", out / "marked", ink, film=FilmOptions(master=True), disclosure=disclosure)
    assert (plain.mark, marked.mark, marked.notes) == ("", "Colour added by AI", ())
    one, other = (facts(out / where / "reel.mp4.mkv") for where in ("plain", "marked"))
    for i in range(4):
        changed = to_upright(one.luma[i] != other.luma[i], {0: 1, 90: 8}[rotation])
        rows, columns = np.nonzero(changed)
        height, width = changed.shape
        assert rows.min() > 0.9 * height
        assert columns.min() > 0.2 * width
        assert len(rows) > 300
        free = to_stored(np.zeros_like(changed), {0: 1, 90: 8}[rotation]) == 0
        box = np.flatnonzero((one.luma[i] != other.luma[i]).any(axis=1))
        free[max(0, box.min() - 1) : box.max() + 2] = False
        assert all(np.array_equal(a[free], b[free]) for a, b in zip(one.chroma[i], other.chroma[i], strict=True))
    letters = other.luma[0] >> (0 if pix_fmt == "yuv420p" else 2)
    assert letters.max() > 200


def test_the_letters_of_a_mark_have_no_colour(src: Path, out: Path, ink: Path) -> None:
    save_film(src / "reel.mp4", TIMES[:2], size=(480, 640))
    disclosure = Disclosure(mark="IIIIIIIIIIII", sidecar=False)
    film_of(src / "reel.mp4", out, ink, film=FilmOptions(master=True), disclosure=disclosure)
    made = facts(out / "reel.mp4.mkv")
    place = watermark.place_mark(480, 640, "IIIIIIIIIIII")
    assert place
    ink, box = place
    letters = ink > 0.6
    assert letters.sum() > 20
    assert np.abs(made.chroma[0][0][box][letters].astype(int) - 128).max() <= 2
    assert np.abs(made.chroma[0][0][box][ink == 0].astype(int) - 128).max() > 1
    assert (made.luma[0][box][letters] > 140).all()


def test_frames_too_small_for_a_mark_say_so(src: Path, out: Path, ink: Path) -> None:
    save_film(src / "reel.mp4", TIMES[:3])
    row = film_of(src / "reel.mp4", out, ink, disclosure=Disclosure(mark="a long sentence that needs room"))
    assert row.notes == ("too small for the visible mark",)


def test_another_mark_colours_a_film_anew(src: Path, out: Path, ink: Path) -> None:
    save_film(src / "reel.mp4", TIMES[:3], size=(96, 320))
    first = film_of(src / "reel.mp4", out, ink)
    second = film_of(src / "reel.mp4", out, ink, disclosure=Disclosure(mark="auto"))
    assert first.output_sha256 != second.output_sha256


# --- the card ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_title_card_comes_first_and_all_else_five_seconds_later(src: Path, out: Path, ink: Path, suffix: str) -> None:
    late = [200 + 20 * i for i in range(24)]
    source = save_film(src / f"reel{suffix}", late, sound=True, chapters=True, size=(96, 128))
    disclosure = Disclosure(sidecar=True)
    row = film_of(source, out, ink, film=FilmOptions(title_card="auto"), disclosure=disclosure)
    before, after = facts(source), facts(out / f"reel{suffix}")
    count = len(after.pts) - len(before.pts)
    assert count == round(5 * float(header.open_film(source).rate))
    assert after.time_base == before.time_base
    assert after.pts[0] == before.pts[0]
    later = 5 / before.time_base
    assert after.pts[count:] == [pts + later for pts in before.pts]
    assert np.ptp(np.diff(after.pts[: count + 1])) <= 1
    rate = Fraction(1, 44100) if suffix != ".mkv" else Fraction(1, 1000)
    assert [s[0] for s in after.sound] == [s[0] for s in before.sound]
    assert [(p * rate, d * rate) for _, p, d in after.sound] == [
        (p * rate + 5, d * rate + 5) for _, p, d in before.sound
    ]
    assert [(c["start"] * c["time_base"], c["metadata"]) for c in after.chapters] == [
        (0, {"title": "Title card"}), (5, {"title": "One"}),
    ]  # fmt: skip
    card, first = after.luma[10].astype(int), after.luma[count].astype(int)
    assert ((card < 20).mean() > 0.6) and ((card > 150).mean() > 0.01)
    assert np.abs(first - before.luma[0]).mean() < 4
    assert all(np.abs(c.astype(int) - 128).max() <= 2 for c in after.chroma[10])
    assert row.film["title_card"] == {"text": watermark.CARD, "seconds": 5.0}
    sidecar = json.loads((out / f"reel{suffix}.json").read_text())
    assert sidecar["film"]["title_card"]["seconds"] == 5
    assert sidecar["options"]["film"]["title_card"] == "auto"


def test_without_being_asked_there_is_no_card(src: Path, out: Path, ink: Path) -> None:
    row = film_of(save_film(src / "reel.mp4"), out, ink)
    assert "title_card" not in row.film
    assert len(facts(out / "reel.mp4").pts) == 24


def test_a_card_of_ones_own_words_is_read_upright_and_fills_its_room() -> None:
    short, long = (watermark.draw_title_card(240, 320, text, "small print") for text in ("One", "Many words " * 12))
    for picture in (short, long):
        rows, columns = np.nonzero(picture > 0.3)
        assert picture.shape == (240, 320)
        assert rows.min() > 0 and rows.max() < 239
        assert columns.min() > 5 and columns.max() < 315
        assert abs((rows.min() + rows.max()) / 2 - 120) < 30
    assert (short > 0.3).any(axis=1).sum() < (long > 0.3).any(axis=1).sum()
    assert watermark.title_card_text("Farbe\\nerfunden") == "Farbe\nerfunden"


def test_letters_that_the_font_lacks_are_refused_before_the_first_picture(src: Path, out: Path, ink: Path) -> None:
    save_film(src / "reel.mp4")
    with pytest.raises(UsageError, match="--title-card: the font has no 彩"):
        colour(src, out=out, model=ink, film=FilmOptions(title_card="彩"))
    assert not out.exists()
