"""A picture finds its place on its frame, and what does not agree is masked out."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from support.pans import lab_of_frame, wide_picture

from archivecolor.imaging import registration


@pytest.fixture(scope="module")
def large() -> Any:
    """L* (H, W), four times the frame."""
    return lab_of_frame(cv2.resize(wide_picture(176, 132), (704, 528), interpolation=cv2.INTER_CUBIC))[0]


@pytest.fixture(scope="module")
def frame(large: Any) -> Any:
    return cv2.resize(large, (176, 132), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize(
    ("top", "bottom", "left", "right", "gain", "offset"),
    [(0, 528, 0, 704, 1.0, 0.0), (20, 500, 30, 690, 1.0, 0.0), (60, 528, 0, 610, 0.85, 9.0)],
)
def test_a_crop_in_another_size_and_tone_is_placed_to_half_a_pixel(
    large: Any, frame: Any, top: int, bottom: int, left: int, right: int, gain: float, offset: float
) -> None:
    crop = cv2.resize(large[top:bottom, left:right] * gain + offset, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    result = registration.register(crop, frame)
    assert result.correlation > 0.97
    middle = result.matrix @ np.array([87.5, 65.5, 1])
    expected = [(4 * 87.5 + 1.5 - left + 0.5) * 0.8 - 0.5, (4 * 65.5 + 1.5 - top + 0.5) * 0.8 - 0.5]
    assert np.abs(middle - expected).max() < 2  # of 3.2 pixels of the picture to one of the frame
    covered = (bottom - top) * (right - left) / (528 * 704)
    assert result.agreeing_share == pytest.approx(covered, abs=0.06)


def test_what_was_painted_over_does_not_agree(large: Any, frame: Any) -> None:
    painted = large.copy()
    painted[200:300, 300:450] = 95
    agreement = registration.register(painted, frame).agreement
    assert agreement[55:70, 82:106].max() < 0.3
    assert agreement[:40].min() > 0.9


def test_another_picture_does_not_fit(frame: Any) -> None:
    other = lab_of_frame(wide_picture(176, 132, seed=5))[0]
    assert registration.register(other, frame).correlation < 0.7


def test_maps_come_to_lie_on_the_frame(large: Any, frame: Any) -> None:
    crop = large[40:480, 60:660]
    matrix = registration.register(crop, frame).matrix
    [placed] = registration.place_on_frame(crop[None], matrix, *frame.shape)
    assert np.abs(placed - frame)[20:-20, 24:-24].mean() < 1.5
