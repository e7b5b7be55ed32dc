"""What a survey says of the end of a film: whole, cut off, or with a last frame that stays."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.films import save_film
from support.needs import av, package

from archivecolor.film.framing import has_all_bytes
from archivecolor.film.header import ContainerFilm, open_film
from archivecolor.film.survey import Survey, survey_frames

SECOND = Fraction(1, 1000)


def surveyed(path: Path) -> tuple[ContainerFilm, Survey]:
    package("av")
    film = open_film(path)
    survey = survey_frames(film, [], "repeat")
    assert survey
    return film, survey


def save_packets(path: Path, times: list[int], last_ms: int, codec: str = "mpeg4", **muxing: str) -> Path:
    """A film of flat pictures whose last one stays for `last_ms`."""
    options = muxing if path.suffix == ".mkv" else {"video_track_timescale": "1000", **muxing}
    with av.open(str(path), "w", options=options) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = stream.time_base = SECOND
        packets = []
        for i, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64), 40 + i, np.uint8), format="gray")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = time, SECOND
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode(None)]:
            packet.duration = last_ms if packet.pts == times[-1] else 40
            out.mux(packet)
    return path


# --- AVI: chunks without a picture ------------------------------------------------------------------------------------

DROPPED = [0, 3, 4, 5, 9, 10, 11, 12, 13, 20]


def save_avi(path: Path, codec: str = "mjpeg") -> Path:
    """FFmpeg's AVI writer fills gaps in time with empty chunks, as capture programs do for frames that they missed."""
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    return save_film(path, DROPPED, codec, pix_fmt, Fraction(1, 25), full_range=codec == "mjpeg")


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4"])
def test_an_empty_chunk_of_avi_is_the_frame_before(tmp_path: Path, codec: str) -> None:
    film, survey = surveyed(save_avi(tmp_path / "capture.avi", codec))
    assert film.expected_frames > len(DROPPED)
    assert (survey.pts, survey.trouble, survey.held, survey.bad) == (DROPPED, "", 0, [])


@pytest.mark.parametrize("damage", ["cut", "zeros"])
def test_an_avi_that_lacks_data_is_truncated(tmp_path: Path, damage: str) -> None:
    path = save_avi(tmp_path / "capture.avi")
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + (bytes(len(content) - half) if damage == "zeros" else b""))
    _, survey = surveyed(path)
    assert survey.trouble.startswith("truncated")


def test_a_file_says_whether_it_is_all_there(tmp_path: Path) -> None:
    avi = save_avi(tmp_path / "a.avi")
    mkv = save_packets(tmp_path / "a.mkv", [0, 40, 80], 40)
    mp4 = save_packets(tmp_path / "a.mp4", [0, 40, 80], 40)
    assert [has_all_bytes(path) for path in (avi, mkv, mp4)] == [True, True, False]
    avi.write_bytes(avi.read_bytes() + b"an end that nobody knows")
    mkv.write_bytes(mkv.read_bytes()[:-1])
    assert [has_all_bytes(path) for path in (avi, mkv)] == [True, False]
    for name, content in {"empty": b"", "short": b"RIFF", "ebml": b"\x1a\x45\xdf\xa3\xff", "zeros": bytes(99)}.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert not has_all_bytes(path)


# --- a last frame that stays ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [list(range(0, 480, 40)), [0]])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_last_frame_that_stays_is_no_missing_end(tmp_path: Path, suffix: str, times: list[int]) -> None:
    film, survey = surveyed(save_packets(tmp_path / f"title{suffix}", times, 3000))
    assert survey.trouble == ""
    assert (survey.end(film) - survey.pts[0]) * film.time_base == Fraction(times[-1] + 3000, 1000)


def test_a_fragmented_film_has_no_index_and_keeps_its_last_frame(tmp_path: Path) -> None:
    path = save_packets(tmp_path / "title.mp4", list(range(0, 480, 40)), 3000, movflags="frag_keyframe+empty_moov")
    film, survey = surveyed(path)
    assert not film.has_index
    assert (survey.trouble, survey.held) == ("", 3000)


def test_a_film_that_is_cut_off_does_not_hold_its_last_frame(tmp_path: Path) -> None:
    path = save_film(tmp_path / "reel.mkv", list(range(0, 4000, 40)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _, survey = surveyed(path)
    assert survey.trouble.startswith("truncated")
    assert survey.held == 0


# --- edit lists -------------------------------------------------------------------------------------------------------


def edit(path: Path, change: Callable[[int, int], tuple[int, int]]) -> None:
    """Rewrites the one entry of the only edit list: (segment duration, media time) -> the same."""
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 4
    assert content[at] == 0, "version 0"
    assert struct.unpack_from(">I", content, at + 4)[0] == 1
    duration, start = struct.unpack_from(">II", content, at + 8)
    struct.pack_into(">II", content, at + 8, *change(duration, start))
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda duration, start: (duration // 2, start), 12),
        (lambda duration, start: (duration // 2, start + 240), 12),
    ],
    ids=["the end is cut", "the beginning is cut"],
)
def test_an_edit_list_that_trims_a_film_is_no_damage(tmp_path: Path, change: Any, expected: int) -> None:
    path = save_film(tmp_path / "reel.mp4")  # 24 frames of 20 ticks
    edit(path, change)
    _, survey = surveyed(path)
    assert survey.trouble == ""
    assert survey.held == 0
    assert abs(len(survey.pts) - expected) <= 1
    assert survey.pts[0] == 0
