"""Colours over time: a still stays what it is, flicker goes, moving things keep theirs, dirt has no say."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archivecolor.imaging import temporal

SIZE = (64, 80)


def texture(shift: float = 0.0, seed: int = 0) -> Any:
    """L* (h, w) with things to hold on to, moved to the right by `shift`."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    waves = sum(
        np.sin((x - shift) * fx + y * fy + p)
        for fx, fy, p in zip(draw.uniform(0.1, 0.7, 6), draw.uniform(-0.6, 0.6, 6), draw.uniform(0, 6, 6), strict=True)
    )
    return (50 + 6 * waves).astype(np.float32)


def even(a: float, b: float) -> Any:
    return np.stack([np.full(SIZE, a, np.float32), np.full(SIZE, b, np.float32)])


def links_of(lightness: list[Any]) -> list[temporal.FlowLink | None]:
    return [None, *(temporal.link_frames(one, other) for one, other in pairwise(lightness))]


def run(lightness: list[Any], ab: list[Any], strength: float = 1.0) -> list[Any]:
    return temporal.smooth_over_time(lightness, ab, links_of(lightness), strength)[0]


@settings(max_examples=20, deadline=None)
@given(st.floats(-100, 100), st.floats(-100, 100), st.integers(1, 6), st.floats(0, 3), st.floats(0, 1))
def test_one_colour_stays_that_colour_however_the_picture_moves(
    a: float, b: float, frames: int, speed: float, strength: float
) -> None:
    lightness = [texture(speed * i) for i in range(frames)]
    result = run(lightness, [even(a, b)] * frames, strength)
    assert np.abs(np.array(result) - even(a, b)).max() < 1e-2


def test_a_still_stays_the_still() -> None:
    draw = np.random.default_rng(1)
    ab = draw.normal(0, 30, (2, *SIZE)).astype(np.float32)
    result = run([texture()] * 5, [ab] * 5)
    inner = (slice(None), slice(2, -2), slice(2, -2))
    assert all(np.abs(frame - ab)[inner].max() < 1.0 for frame in result)


def test_flicker_goes_and_the_ends_are_as_good_as_the_middle() -> None:
    draw = np.random.default_rng(2)
    lightness = [texture(1.5 * i) for i in range(30)]
    ab = [even(20 + draw.normal(0, 5), -10 + draw.normal(0, 5)) for _ in range(30)]
    means = np.array([frame.mean(axis=(1, 2)) for frame in run(lightness, ab)])
    raw = np.array([frame.mean(axis=(1, 2)) for frame in ab])
    jumps, before = np.abs(np.diff(means, axis=0)), np.abs(np.diff(raw, axis=0))
    assert jumps.mean() < 0.1 * before.mean()
    assert jumps[[0, -1]].max() < 0.1 * before.mean()


def test_strength_nought_leaves_every_frame_as_it_is() -> None:
    ab = [even(i, -i) for i in range(4)]
    assert all(np.array_equal(one, other) for one, other in zip(run([texture()] * 4, ab, 0), ab, strict=True))


def test_a_moving_thing_keeps_its_colour_and_leaves_no_ghost() -> None:
    lightness, ab, where = [], [], []
    for i in range(16):
        square = (slice(24, 40), slice(6 + 3 * i, 22 + 3 * i))
        light, colours = texture(), even(0, 0)
        light[square] = texture(3 * i, seed=5)[square] + 30
        colours[0][square] = 60
        where.append(square)
        lightness.append(light)
        ab.append(colours)
    result = run(lightness, ab)
    middle = result[8][0]
    inside = middle[28:36, where[8][1].start + 4 : where[8][1].stop - 4]
    left = middle[24:40, : where[8][1].start - 4]  # where it was
    ahead = middle[24:40, where[8][1].stop + 4 :]
    assert inside.mean() > 50
    assert max(left.mean(), ahead.mean()) < 4


def test_a_speck_of_dirt_does_not_colour_the_picture() -> None:
    lightness, ab = [texture(0.5 * i) for i in range(9)], [even(10, 10) for _ in range(9)]
    lightness[4] = lightness[4].copy()
    lightness[4][30:36, 40:46] = 98
    ab[4] = ab[4].copy()
    ab[4][:, 30:36, 40:46] = -50
    result = run(lightness, ab)
    assert np.abs(result[4][:, 28:38, 38:48] - 10).mean() < 2
    assert np.abs(result[5][:, 28:38, 38:48] - 10).mean() < 2


def test_frames_without_colours_take_those_of_their_path() -> None:
    lightness = [texture(2 * i) for i in range(9)]
    pattern = [np.stack([texture(2 * i, seed=9) - 50, np.zeros(SIZE, np.float32)]) for i in range(9)]
    given_ab = [pattern[0], *[None] * 7, pattern[8]]
    result = run(lightness, given_ab)
    inner = (0, slice(4, -4), slice(20, -20))
    assert all(np.abs(r - p)[inner].mean() < 2 for r, p in zip(result, pattern, strict=True))
    assert all(np.isfinite(r).all() for r in result)


def test_what_is_done_in_two_pieces_is_what_is_done_in_one() -> None:
    draw = np.random.default_rng(3)
    lightness = [texture(i) for i in range(60)]
    ab = [even(float(draw.normal(0, 9)), 5) for _ in range(60)]
    links = links_of(lightness)
    whole, _ = temporal.smooth_over_time(lightness, ab, links, 1.0)
    first, left = temporal.smooth_over_time(lightness[:54], ab[:54], links[:54], 1.0, None, 20)
    second, _ = temporal.smooth_over_time(lightness[20:], ab[20:], links[20:], 1.0, left)
    apart = [np.abs(one - other).mean() for one, other in zip([*first, *second], whole, strict=True)]
    assert max(apart[20:]) < 1e-4
    assert max(apart[:20]) < 0.5  # the far end, 34 frames on, weighs little


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (17, 5)])
def test_small_and_odd_maps_pass(shape: tuple[int, int]) -> None:
    light = np.full(shape, 50, np.float32)
    ab = np.full((2, *shape), 7, np.float32)
    weightless = temporal.Accumulator(np.zeros((2, *shape), np.float32), np.zeros(shape, np.float32))
    assert np.isfinite(temporal.mean_chroma(weightless)).all()
    assert temporal.mean_chroma(temporal.accumulate_own(ab, np.ones_like(light))) == pytest.approx(7)
