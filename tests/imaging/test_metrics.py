"""The metrics against published values, closed forms and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.linalg import sqrtm

from archivecolor.imaging import metrics
from archivecolor.imaging.metrics import Gaussian

# Sharma, Wu and Dalal (2005), table 1: pairs chosen to catch wrong hue averages and signs.
SHARMA = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 3.1571, -77.2803), (50.0, 0.0, -82.7485), 2.8615),
    ((50.0, 2.8361, -74.0200), (50.0, 0.0, -82.7485), 3.4412),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
    ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


def test_psnr_of_a_known_error():
    flat = np.full((8, 9, 3), 0.5)
    assert metrics.psnr(flat, flat + 0.1) == pytest.approx(20.0)
    assert metrics.psnr(flat, flat) == math.inf


def test_colourfulness_of_grey_and_of_one_colour():
    grey = np.repeat(np.random.default_rng(0).random((16, 16, 1)), 3, axis=2)
    assert metrics.colourfulness(grey) == pytest.approx(0, abs=1e-9)
    red = np.broadcast_to([1.0, 0.0, 0.0], (16, 16, 3))
    assert metrics.colourfulness(red) == pytest.approx(0.3 * math.hypot(255, 127.5))


def test_colourfulness_counts_spread_and_mean():
    halves = np.zeros((2, 2, 3))
    halves[0, :, 0], halves[1, :, 1] = 1.0, 1.0  # red and green: rg is ±255, yb is 127.5 everywhere
    assert metrics.colourfulness(halves) == pytest.approx(255 + 0.3 * 127.5)


@pytest.mark.parametrize(("one", "other", "expected"), SHARMA)
def test_ciede2000_gives_the_published_differences(one, other, expected):
    pictures = [np.tile(np.array(lab).reshape(1, 3, 1, 1), (2, 1, 4, 5)) for lab in (one, other)]
    assert metrics.ciede2000_from_lab(*pictures) == pytest.approx([expected] * 2, abs=2e-4)


def test_ciede2000_means_each_picture_by_itself():
    lab = np.zeros((2, 3, 4, 4))
    lab[:, 0] = 50
    moved = lab.copy()
    moved[1, 0] += 10
    same, far = metrics.ciede2000_from_lab(lab, moved)
    assert same == 0
    assert far > 5


def test_ciede2000_from_srgb_agrees_with_from_lab():
    from skimage.color import rgb2lab

    one, other = np.random.default_rng(1).random((2, 12, 10, 3))
    labs = [np.moveaxis(rgb2lab(rgb), -1, 0)[None] for rgb in (one, other)]
    assert metrics.ciede2000_from_lab(*labs)[0] == pytest.approx(metrics.ciede2000(one, other), rel=1e-4)


def sample(n: int, d: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=(n, d)) @ random.normal(size=(d, d)) + random.normal(size=d)


@pytest.mark.parametrize("n", [5, 40, 200])
def test_frechet_distance_to_itself_is_nothing(n):
    x = sample(n, 40, seed=n)
    assert metrics.frechet_distance(Gaussian(x), Gaussian(x)) == pytest.approx(0, abs=1e-8 * (x**2).sum())


@pytest.mark.parametrize(("n", "m"), [(60, 60), (60, 4), (4, 60), (4, 5)])
def test_frechet_distance_equals_the_one_by_sqrtm(n, m):
    one, other = sample(n, 6, seed=1), sample(m, 6, seed=2)
    c1, c2 = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = sqrtm(c1 @ c2).real
    gap = one.mean(axis=0) - other.mean(axis=0)
    expected = gap @ gap + np.trace(c1 + c2 - 2 * root)
    assert metrics.frechet_distance(Gaussian(one), Gaussian(other)) == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_in_one_dimension_is_that_of_means_and_deviations():
    one, other = sample(30, 1, seed=3), sample(50, 1, seed=4)
    expected = (one.mean() - other.mean()) ** 2 + (one.std(ddof=1) - other.std(ddof=1)) ** 2
    one, other = Gaussian(one), Gaussian(other)
    assert metrics.frechet_distance(one, other) == pytest.approx(expected)
    assert metrics.frechet_distance(one, other) == pytest.approx(metrics.frechet_distance(other, one))


def test_features_that_come_in_parts_are_those_that_come_at_once():
    x, y = sample(90, 8, seed=5), sample(40, 8, seed=6)
    parts = Gaussian()
    for start in range(0, 90, 7):
        parts.add(x[start : start + 7])
        assert sum(map(len, parts.rows)) <= 2 * 8
    assert (parts.count, len(parts.root())) == (90, 8)
    assert parts.mean == pytest.approx(x.mean(axis=0))
    assert parts.root().T @ parts.root() / 89 == pytest.approx(np.cov(x, rowvar=False))
    whole = metrics.frechet_distance(Gaussian(x), Gaussian(y))
    assert metrics.frechet_distance(parts, Gaussian(y)) == pytest.approx(whole, rel=1e-9)


def test_fine_chroma_contrast_is_that_of_small_things() -> None:
    """A checkerboard of single pixels is all detail; a flat field and a slow ramp have none."""
    height, width = 64, 96
    checks = np.where(np.indices((height, width)).sum(axis=0) % 2, 3.0, -3.0)
    assert metrics.fine_chroma_contrast(np.stack([checks, np.zeros_like(checks)])) == pytest.approx(3, abs=0.02)
    assert metrics.fine_chroma_contrast(np.full((2, height, width), 40.0)) == pytest.approx(0, abs=1e-9)
    ramp = np.tile(np.linspace(-20, 20, width), (height, 1))
    assert metrics.fine_chroma_contrast(np.stack([ramp, ramp])) < 0.5, "its ends alone"


def test_wild_pixels_are_strong_and_far_from_the_truth() -> None:
    truth = np.zeros((2, 10, 10))
    picture = np.zeros((2, 10, 10))
    picture[0, 0] = 30  # strong, and 30 from the truth
    picture[0, 1] = 22  # strong, but near
    truth[1, 2] = 60  # far, but pale
    assert metrics.wild_share(picture, truth) == pytest.approx(0.1)
