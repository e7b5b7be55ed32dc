"""The frames that stand for a film on the review page."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.films import facts, save_film, scene
from support.needs import av

from archivecolor.errors import PictureError, UnreadableError
from archivecolor.film import dpx, header, thumbnails
from archivecolor.film.thumbnails import COUNT, frames_at, representative_frames
from archivecolor.imaging import lab
from archivecolor.options import FilmOptions


@given(st.lists(st.integers(1, 400), min_size=1, max_size=30))
def test_first_frames_of_shots_come_first_and_gaps_are_filled(lengths: list[int]) -> None:
    ends = np.cumsum(lengths).tolist()
    shots = list(zip([0, *ends], ends, strict=False))
    chosen = representative_frames(shots)
    starts = [start for start, _ in shots]
    assert chosen == sorted(set(chosen)) and chosen[0] >= 0 and chosen[-1] < ends[-1]
    assert len(chosen) == min(COUNT, ends[-1])
    assert set(starts) <= set(chosen) if len(shots) <= COUNT else set(chosen) <= set(starts)


def test_a_single_shot_is_looked_at_all_along() -> None:
    chosen = representative_frames([(0, 900)])
    assert max(b - a for a, b in zip(chosen, [*chosen[1:], 900], strict=True)) <= 225


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("a.mkv", {"g": "250"}),
        ("a.mp4", {"g": "12", "bf": "3"}),
        ("a.avi", {"codec": "ffv1"}),
        ("a.mov", {"g": "1"}),
        ("a.ts", {"g": "250"}),
    ],
)
def test_each_still_is_the_frame_of_its_time(tmp_path: Path, name: str, encoding: dict[str, str]) -> None:
    """Whatever the container thinks of seeking, and however far its key frames lie apart."""
    base = Fraction(1, 30 if name.endswith("avi") else 600)
    pts = list(range(400)) if name.endswith("avi") else [20 * i + 7 * (i > 100) for i in range(400)]
    film = save_film(tmp_path / name, pts, time_base=base, **encoding)
    wanted = (0, 1, 57, 58, 200, 333, 399)
    pictures = frames_at(film, [float((pts[i] - pts[0]) * base) for i in wanted])
    assert len(pictures) == len(wanted)
    scenes = np.stack([scene(i) for i in range(400)]).reshape(400, -1)
    for i, picture in zip(wanted, pictures, strict=True):
        away = np.abs(scenes - picture[..., 1].reshape(-1) / 255).mean(axis=1)
        assert away[i] < min(0.006, 2 * away.min()), (name, i)  # the waves come round after 45 frames


def test_they_are_upright_with_square_pixels_and_true_tones(tmp_path: Path) -> None:
    film = save_film(tmp_path / "a.mp4", [0, 20, 40], rotation=90, sample_aspect=Fraction(2, 1))
    [picture] = frames_at(film, [0.0])
    assert picture.shape == (128, 48, 3)
    assert facts(film).rotation in (90, -270)
    seen = np.rot90(scene(0)).repeat(2, axis=0)
    assert np.abs(picture.mean(axis=2) / 255 - seen).mean() < 0.03
    assert np.ptp(picture.astype(int), axis=2).max() <= 3, "grey stays grey"


def test_a_time_beyond_the_end_is_the_last_frame_and_no_film_is_an_error(tmp_path: Path) -> None:
    film = save_film(tmp_path / "a.mkv", [0, 20, 40])
    last, beyond = frames_at(film, [40 / 600, 99.0])
    assert (last == beyond).all()
    (tmp_path / "b.mkv").write_bytes(b"\x1a\x45\xdf\xa3 no film")
    with pytest.raises(PictureError):
        frames_at(tmp_path / "b.mkv", [0.0])


def test_a_damaged_film_gives_what_it_has(tmp_path: Path) -> None:
    film = save_film(tmp_path / "a.mkv", g="4")
    data = film.read_bytes()
    film.write_bytes(data[: len(data) * 2 // 3])
    first, last = frames_at(film, [0.0, 23 * 20 / 600])
    assert np.abs(first.mean(axis=2) / 255 - scene(0)).mean() < 0.03
    assert last.shape == first.shape


def test_numbered_files_are_found_by_their_times(tmp_path: Path) -> None:
    """A gap and a damaged file show the frame before, which stays; the first shows the next, as there is none."""
    for number in (10, 11, 12, 15, 16):
        Image.fromarray(np.full((30, 40), number, np.uint8)).save(tmp_path / f"f_{number:04d}.png")
    pattern, options = tmp_path / "f_%04d.png", FilmOptions(fps="24000/1001")

    def seen(*numbers: float) -> list[int]:
        return [int(p[5, 5, 0]) for p in frames_at(pattern, [(n - 10) * 1001 / 24000 for n in numbers], options)]

    assert seen(10, 11, 12, 13, 14, 15, 16, 99) == [10, 11, 12, 12, 12, 15, 16, 16]
    assert seen(10.4, 10.6, 15.4) == [10, 11, 15], "the nearest, as times are rounded"
    for number in (10, 15):
        (tmp_path / f"f_{number:04d}.png").write_bytes(b"\x89PNG damaged")
    assert seen(10, 11, 12, 15, 16) == [11, 11, 12, 12, 16]
    for path in tmp_path.iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(PictureError):
        frames_at(pattern, [0.0], options)


def test_numbered_files_are_upright_with_square_pixels_and_their_curves(tmp_path: Path) -> None:
    side = np.full((30, 40), 90, np.uint8)
    side[:, 20:] = 200
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(side).save(tmp_path / "f_1.tif", exif=exif)
    [picture] = frames_at(tmp_path / "f_%d.tif", [0.0])
    assert picture.shape == (40, 30, 3) and (picture[0, 0, 0], picture[-1, 0, 0]) == (90, 200)
    for curve in ("log", "linear", "video"):
        header = dpx.new_header(40, 30, 10, 0)
        head = bytearray(header.head)
        struct.pack_into(">II", head, 1628, 2, 1)
        codes = (
            dpx.light_encoder(header, curve)(lab.linear_from_srgb(torch.from_numpy(side / 255)))
            .numpy()
            .astype(np.uint16)
        )
        dpx.write(tmp_path / "f_1.dpx", replace(header, head=bytes(head)), np.dstack([codes] * 3), curve, "me")
        content = bytearray((tmp_path / "f_1.dpx").read_bytes())
        content[801] = 0  # it does not say its curve
        (tmp_path / "f_1.dpx").write_bytes(content)
        for path in (tmp_path / "f_1.dpx", tmp_path / "f_%d.dpx"):
            [picture] = frames_at(path, [0.0], FilmOptions(dpx_curve=curve))
            assert picture.shape == (30, 80, 3)
            assert np.abs(picture[:, [0, 79], 0].astype(int) - (90, 200)).max() <= 2, curve


def test_a_container_that_fails_at_its_first_packet_is_an_error_of_the_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that fails: the header was read, and nothing after it can be."""
    film = save_film(tmp_path / "a.mkv", [0, 20, 40])

    class FailingContainer:
        def __init__(self, container: Any) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

        def demux(self, *_: Any) -> Iterator[Any]:
            raise av.error.OSError(5, "Input/output error")
            yield

    @contextmanager
    def opened(path: Path) -> Iterator[Any]:
        with header.opened(path) as container:
            yield FailingContainer(container)

    monkeypatch.setattr(thumbnails, "opened", opened)
    with pytest.raises(UnreadableError, match="no frame in it can be decoded"):
        frames_at(film, [0.0])
