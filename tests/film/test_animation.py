"""Animated WebP and PNG are films; sequences of unknown kinds say so."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.doubles import grey
from support.needs import package

from archivecolor.errors import SourceReadError, UnsupportedError
from archivecolor.film import is_film
from archivecolor.film.header import open_film
from archivecolor.film.image_sequence import open_sequence
from archivecolor.film.survey import survey_frames


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_an_animation_is_a_film_with_its_own_times(tmp_path: Path, suffix: str) -> None:
    package("av")
    frames = [Image.fromarray(grey(64, 96, seed=i)).convert("RGB") for i in range(5)]
    options = {"lossless": True} if suffix == ".webp" else {}
    moving, still = tmp_path / f"wave{suffix}", tmp_path / f"still{suffix}"
    frames[0].save(moving, save_all=True, append_images=frames[1:], duration=[40, 80, 40, 40, 500], **options)
    frames[0].save(still)
    assert [is_film(path) for path in (moving, still)] == [True, False]
    film = open_film(moving)
    survey = survey_frames(film, [], "repeat")
    assert survey is not None
    assert survey.trouble == ""
    times = [(pts - survey.pts[0]) * film.time_base for pts in survey.pts]
    assert times == [Fraction(ms, 1000) for ms in (0, 40, 120, 160, 200)]
    if suffix == ".webp":
        assert survey.end(film) * film.time_base == Fraction(700, 1000)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_no_room_for_an_animation_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package("av")
    frames = [Image.fromarray(grey(64, 96, seed=i)).convert("RGB") for i in range(3)]
    frames[0].save(tmp_path / "wave.webp", save_all=True, append_images=frames[1:], lossless=True)
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(Path("/dev/full").open, "r+b"))
    with pytest.raises(SourceReadError, match=r"no room in .* for its frames"):
        open_film(tmp_path / "wave.webp")


@pytest.mark.parametrize("length", range(12, 31))
def test_a_webp_that_is_cut_in_its_header_is_no_film(tmp_path: Path, length: int) -> None:
    whole = b"RIFF" + (100).to_bytes(4, "little") + b"WEBPVP8X" + (10).to_bytes(4, "little") + bytes([2]) + bytes(9)
    (tmp_path / "a.webp").write_bytes(whole[:length])
    assert not is_film(tmp_path / "a.webp")


def test_a_sequence_of_an_unknown_kind_is_not_called_damaged(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"f_{i:04d}.exr").write_bytes(b"\x76\x2f\x31\x01" + np.arange(600, dtype=np.uint16).tobytes())
        Image.fromarray(grey(32, 48, seed=i)).save(tmp_path / f"g_{i:04d}.sgi")
    with pytest.raises(UnsupportedError, match=r"EXR files are not read.*DPX, TIFF"):
        open_sequence(tmp_path / "f_%04d.exr", "24", "auto")
    assert open_sequence(tmp_path / "g_%04d.sgi", "24", "auto").width == 48
