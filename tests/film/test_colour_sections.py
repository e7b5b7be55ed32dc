"""Which parts of a film are in colour: noise and tints are none, and a part begins with its first frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.doubles import colourful
from support.films import scene
from support.needs import av, package

from archivecolor.film.colour_sections import ColourDetector

SIZE = (144, 192)


def grey_rgb(index: int) -> Any:
    """A grey scene, float (H, W, 3) of 0 to 255."""
    return np.repeat(255 * scene(index, *SIZE)[..., None], 3, axis=2)


def sections(frames: list[Any], cuts: tuple[int, ...] = ()) -> list[tuple[int, int]]:
    package("av")
    detector = ColourDetector()
    for rgb in frames:
        codes = None if rgb is None else np.rint(rgb).clip(0, 255).astype(np.uint8)
        detector.add(None if codes is None else av.VideoFrame.from_ndarray(codes, format="rgb24"))
    return detector.sections(cuts)


def noise(seed: int, strength: float) -> Any:
    """Noise on colour differences, as of tape: the mean of R, G and B stays."""
    values = np.random.default_rng(seed).normal(0, strength, (SIZE[0] // 2, SIZE[1] // 2, 3))
    return np.repeat(np.repeat(values - values.mean(axis=2, keepdims=True), 2, axis=0), 2, axis=1)


@pytest.mark.parametrize("fixed", [False, True], ids=["from frame to frame", "in place"])
@pytest.mark.parametrize("strength", [0, 10, 25])
def test_noise_is_no_colour(strength: float, fixed: bool) -> None:
    assert sections([grey_rgb(i) + noise(0 if fixed else i, strength) for i in range(20)]) == []


def test_a_tint_that_changes_by_reel_is_no_colour() -> None:
    tints = np.array([[1, 0.8, 0.5], [0.6, 0.8, 1]])
    assert sections([grey_rgb(i) * tints[i // 12] + noise(i, 10) for i in range(24)]) == []


@pytest.mark.parametrize("strength", [0, 10])
@pytest.mark.parametrize("part", [(20, 37), (16, 32), (0, 17), (30, 50), (9, 18)])
def test_a_part_in_colour_is_found_to_the_frame(part: tuple[int, int], strength: float) -> None:
    colours = colourful(*SIZE).astype(np.float32)
    frames = [(colours if part[0] <= i < part[1] else grey_rgb(i)) + noise(i, strength) for i in range(50)]
    assert sections(frames) == [part]


def test_a_part_begins_at_a_cut_nearby() -> None:
    colours = colourful(*SIZE).astype(np.float32)
    frames = [colours if i >= 20 else grey_rgb(i) for i in range(40)]
    assert sections(frames, (5, 21)) == [(21, 40)]


def test_frames_without_a_picture_are_of_the_kind_before() -> None:
    colours = colourful(*SIZE).astype(np.float32)
    frames = [None] * 8 + [colours] * 8 + [None] * 8 + [grey_rgb(i) for i in range(9)]
    assert sections(frames) == [(8, 24)]
    assert sections([]) == []
