"""Cuts: found, or read from a list."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.coloured_films import colour_film
from support.doubles import colour, grey
from support.films import save_film, scene
from support.needs import needs

from archivecolor.errors import UsageError
from archivecolor.film import shots
from archivecolor.options import FilmOptions

# --- shots ------------------------------------------------------------------------------------------------------------


@needs("scenedetect")
def test_cuts_are_found_where_they_are(tmp_path: Path) -> None:
    detector = shots.ShotDetector(Fraction(24))
    for i in range(60):
        shot = (i >= 20) + (i >= 41)
        detector.add(i, np.rint(255 * scene(i, shot=shot)).astype(np.uint8))
    assert detector.cuts == [20, 41]


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


def test_cuts_of_ones_own_are_used(src: Path, out: Path, ink: Path, tmp_path: Path) -> None:
    (tmp_path / "cuts.txt").write_text("5 9")
    save_film(src / "reel.mp4")
    row = colour_film(src / "reel.mp4", out, ink, film=FilmOptions(cuts=tmp_path / "cuts.txt"))
    assert row.film["shots"] == 3
