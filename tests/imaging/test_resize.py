"""Resizing: what fits stays as it is, the long side is met, the mean stays."""

from __future__ import annotations

import numpy as np
import pytest

from archivecolor.imaging.resize import resize, resize_to_long_side


@pytest.mark.parametrize(
    ("shape", "long_side", "expected"),
    [((40, 80, 3), 20, (10, 20, 3)), ((80, 40), 20, (20, 10)), ((1, 500), 50, (1, 50)), ((30, 20, 3), 30, (30, 20, 3))],
)
def test_the_long_side_is_at_most_what_is_asked(
    shape: tuple[int, ...], long_side: int, expected: tuple[int, ...]
) -> None:
    assert resize_to_long_side(np.zeros(shape, np.uint8), long_side).shape == expected


def test_a_picture_that_fits_is_not_touched() -> None:
    picture = np.arange(12, dtype=np.uint16).reshape(3, 4)
    assert resize_to_long_side(picture, 4) is picture
    assert resize(picture, 3, 4) is picture


def test_the_mean_stays_when_it_shrinks() -> None:
    picture = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    assert resize_to_long_side(picture, 16).mean() == pytest.approx(picture.mean(), abs=1e-5)
