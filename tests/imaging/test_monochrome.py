"""Monochrome photographs with colour on the sheet, and colour photographs."""

from __future__ import annotations

import numpy as np
import pytest

from archivecolor.imaging import mount
from archivecolor.imaging.monochrome import find_colour
from tests.imaging.test_luminance import COLOUR as PLAIN_COLOUR
from tests.imaging.test_luminance import MONOCHROME as PLAIN_MONOCHROME
from tests.support import monochrome_table, paths
from tests.support.monochrome_sheets import BOARDS, COLOUR, MONOCHROME, scanned

SCENE = (250, 330)


def scene(seed: int = 0) -> np.ndarray:
    """Overlapping things in several colours, with shading, float RGB (h, w, 3)."""
    rng = np.random.default_rng(seed)
    height, width = SCENE
    y, x = np.mgrid[:height, :width]
    picture = np.ones((height, width, 3)) * rng.uniform(90, 200, 3)
    for _ in range(40):
        inside = ((x - rng.uniform(0, width)) / rng.uniform(15, 60)) ** 2 + (
            (y - rng.uniform(0, height)) / rng.uniform(15, 60)
        ) ** 2 < 1
        picture[inside] = rng.uniform(20, 235, 3)
    return np.clip(picture * (0.75 + 0.5 * x / width)[..., None], 0, 255)


@pytest.mark.parametrize("kind", MONOCHROME)
def test_a_monochrome_photograph_stays_one_with_colour_on_its_sheet(kind: str) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        assert find_colour(scanned(MONOCHROME[kind](scene(seed), rng), rng)).is_monochrome


@pytest.mark.parametrize("kind", COLOUR)
def test_a_photograph_in_colour_is_none(kind: str) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        assert not find_colour(scanned(COLOUR[kind](scene(seed), rng), rng)).is_monochrome


@pytest.mark.parametrize("name", PLAIN_MONOCHROME)
def test_plain_tints_are_monochrome(name: str) -> None:
    assert find_colour(PLAIN_MONOCHROME[name]).is_monochrome


@pytest.mark.parametrize("name", PLAIN_COLOUR)
def test_plain_colours_are_not(name: str) -> None:
    assert not find_colour(PLAIN_COLOUR[name]).is_monochrome


@pytest.mark.parametrize(("kind", "words"), [("stamp", "small marks"), ("colour target", "bottom edge")])
def test_the_words_say_where_the_colour_is(kind: str, words: str) -> None:
    rng = np.random.default_rng(1)
    text = find_colour(scanned(MONOCHROME[kind](scene(), rng), rng)).words()
    assert text.startswith("colour on ") and words in text


def test_the_share_is_that_of_the_coloured_part() -> None:
    sheet = np.repeat(scene().mean(axis=2, keepdims=True), 3, axis=2)
    sheet[-25:] = (200, 30, 40)  # a tenth
    found = find_colour(sheet.astype(np.uint8))
    assert found.is_monochrome and found.share == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("board", BOARDS)
def test_photographs_are_found_on_a_mount(board: tuple[int, int, int]) -> None:
    planes = np.full((1, 120, 160), 0.38 * sum(board) / 3, np.float32)
    pattern = np.random.default_rng(0).uniform(0, 100, (60, 50)).astype(np.float32)
    planes[0, 30:90, 20:70] = planes[0, 30:90, 90:140] = pattern
    labels = mount.find_photographs(planes)
    assert labels is not None and labels.max() == 2
    inside = np.zeros((120, 160), bool)
    inside[30:90, 20:70] = inside[30:90, 90:140] = True
    assert ((labels > 0) == inside).mean() > 0.98


def test_specks_of_a_sheet_hide_no_photograph() -> None:
    planes = np.full((1, 240, 160), 80, np.float32)
    pattern = np.random.default_rng(0).uniform(0, 60, (50, 100)).astype(np.float32)
    planes[0, 10:60, 30:130] = planes[0, 180:230, 30:130] = pattern
    planes[0, 66:174:5, 10:150:5] = 20  # 616 between the two
    labels = mount.find_photographs(planes)
    assert labels is not None and labels.max() == 2


def test_a_sky_and_a_backdrop_are_no_mount() -> None:
    sky = np.full((1, 120, 160), 85, np.float32)
    sky[0, 70:] = np.random.default_rng(0).uniform(0, 60, (50, 160))
    assert mount.find_photographs(sky) is None
    y, x = np.mgrid[:120, :160]
    backdrop = np.full((1, 120, 160), 85, np.float32)
    backdrop[0][((x - 80) / 35) ** 2 + ((y - 75) / 45) ** 2 + (x - 80) * (y - 75) / 2500 < 1] = 20
    backdrop[0, 60:75, 20:140] = 30
    assert mount.find_photographs(backdrop) is None


@pytest.mark.skipif(not (paths.SHARED / "photos").is_dir(), reason="needs ../shared/photos: photographs in colour")
def test_real_photographs_are_told_apart() -> None:
    shares = monochrome_table.table(paths.SHARED / "photos/test", 3)
    assert min(shares[kind] for kind in ("print", "on a board", "stamp", "colour target")) == 1
    assert shares["colour"] == shares["colour on a board"] == shares["colour, target"] == 1
