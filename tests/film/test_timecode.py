"""Timecodes: kept, moved by a title card, counted in frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.coloured_films import colour_film
from support.films import facts, save_film
from support.needs import av

from archivecolor.film import header
from archivecolor.film.timecode import earlier
from archivecolor.options import FilmOptions
from archivecolor.provenance import DONE


def timecodes(path: Path) -> set[str]:
    """All that a film file says, of itself and of its streams."""
    with av.open(str(path)) as film:
        known = [film.metadata, *(stream.metadata for stream in film.streams)]
    return {value for each in known for key, value in each.items() if key.lower() == "timecode"}


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
@pytest.mark.parametrize("options", [FilmOptions(), FilmOptions(codec="prores"), FilmOptions(master=True)])
def test_a_timecode_goes_with_its_film(src: Path, out: Path, ink: Path, suffix: str, options: FilmOptions) -> None:
    source = save_film(src / f"reel{suffix}", metadata={"timecode": "01:00:00:00"})
    with av.open(str(source)) as film:
        assert ("data" in [s.type for s in film.streams]) == (suffix != ".mkv")
    row = colour_film(source, out, ink, film=options)
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
