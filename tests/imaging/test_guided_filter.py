"""chroma: one colour stays one colour, none is invented, and what the guide separates stays apart."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archivecolor.imaging import guided_filter

SIDES, LARGE = st.integers(1, 40), st.integers(1, 90)


def guide(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 100, (height, width)).astype(np.float32)


def colours(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-90, 90, (2, height, width)).astype(np.float32)


def whole(small_l: np.ndarray, ab: np.ndarray, full_l: np.ndarray) -> np.ndarray:
    """The colour map spread onto all of the full-size L*."""
    return guided_filter.upsample_chroma(small_l, ab, *full_l.shape).rows(torch.from_numpy(full_l), 0).numpy()


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, LARGE, LARGE, st.integers(0, 99), st.floats(-100, 100), st.floats(-100, 100))
def test_one_colour_stays_that_colour(h: int, w: int, height: int, width: int, seed: int, a: float, b: float) -> None:
    flat = np.broadcast_to(np.array([a, b], np.float32)[:, None, None], (2, h, w)).copy()
    result = whole(guide(h, w, seed), flat, guide(height, width, seed + 1))
    assert result.shape == (2, height, width)
    np.testing.assert_allclose(result, np.broadcast_to(flat[:, :1, :1], result.shape), atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, LARGE, LARGE, st.integers(0, 99))
def test_no_colour_is_invented(h: int, w: int, height: int, width: int, seed: int) -> None:
    """Whatever the full-size grain does: every value lies between the smallest and the largest of the small map."""
    ab = colours(h, w, seed)
    result = whole(guide(h, w, seed), ab, guide(height, width, seed + 1) * 3 - 100)
    for channel, source in zip(result, ab, strict=True):
        assert source.min() - 1e-4 <= channel.min()
        assert channel.max() <= source.max() + 1e-4


def test_colour_comes_from_the_neighbourhood_only() -> None:
    """A red corner cannot colour the other end of the picture."""
    ab = np.zeros((2, 32, 32), np.float32)
    ab[0, :4, :4] = 80
    result = whole(guide(32, 32, 1), ab, guide(320, 320, 2))
    assert result[0, :20, :20].max() > 10
    assert np.abs(result[0, 130:]).max() == 0
    assert np.abs(result[0, :, 130:]).max() == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 17))
def test_strip_by_strip_is_the_same_as_at_once(height: int, width: int, strip: int) -> None:
    full = guide(height, width, 3)
    spread = guided_filter.upsample_chroma(guide(9, 7, 4), colours(9, 7, 5), height, width)
    parts = [spread.rows(torch.from_numpy(full[top : top + strip]), top) for top in range(0, height, strip)]
    at_once = spread.rows(torch.from_numpy(full), 0)
    torch.testing.assert_close(torch.cat(parts, dim=1), at_once, rtol=0, atol=1e-4)


def two_tones(side: int, edge: float) -> tuple[np.ndarray, np.ndarray]:
    """L* dark left and light right of a slanted edge, and on which side of it a pixel lies, 0 to 1."""
    y, x = np.mgrid[0:side, 0:side] + 0.5
    right = np.clip(x - side * edge - (y - side / 2) * 0.2 + 0.5, 0, 1).astype(np.float32)
    return 25 + 50 * right, right


@pytest.mark.parametrize("edge", [0.5, 0.43])
def test_colour_stops_at_the_edge(edge: float) -> None:
    """Red left, blue right: much less of one leaks into the other than by plain enlargement."""
    full_l, right = two_tones(512, edge)
    small_l, small_right = (cv2.resize(x, (64, 64), interpolation=cv2.INTER_AREA) for x in (full_l, right))
    red, blue = np.array([60.0, 30.0]), np.array([10.0, -60.0])
    truth = red[:, None, None] * (1 - right) + blue[:, None, None] * right
    # a network answers softly at edges, so the small map is a blurred one
    small = (red[:, None, None] * (1 - small_right) + blue[:, None, None] * small_right).astype(np.float32)
    small = np.stack([cv2.blur(channel, (3, 3)) for channel in small])
    plain = np.stack([cv2.resize(channel, (512, 512), interpolation=cv2.INTER_LINEAR) for channel in small])
    leak, plain_leak = (float(np.abs(ab - truth).mean()) for ab in (whole(small_l, small, full_l), plain))
    assert leak < 0.7 * plain_leak


def test_a_smooth_picture_gets_its_map_back() -> None:
    """Where L* says nothing, spreading is no more than enlarging."""
    ab = np.stack([cv2.resize(c, (64, 64), interpolation=cv2.INTER_CUBIC) for c in colours(4, 4, 8)])
    flat = np.full((64, 64), 50, np.float32)
    result = whole(flat, ab, np.full((256, 256), 50, np.float32))
    plain = np.stack([cv2.resize(c, (256, 256), interpolation=cv2.INTER_LINEAR) for c in ab])
    assert np.abs(result - plain).mean() < 3


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_picture_gets_mirrored_colours(axis: int) -> None:
    """Nothing is shifted, not by half a pixel."""
    small_l, ab, full_l = guide(12, 9, 1), colours(12, 9, 2), guide(131, 77, 3)
    straight = whole(small_l, ab, full_l)
    mirrored = whole(np.flip(small_l, axis).copy(), np.flip(ab, axis + 1).copy(), np.flip(full_l, axis).copy())
    np.testing.assert_allclose(np.flip(mirrored, axis + 1), straight, atol=0.1)
