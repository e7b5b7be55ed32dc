"""How sure a colouring is, as far as that can be told without the truth.

A scene and its mirror image have the same colours. A network that knows what it sees answers both alike, one that
guesses does not: doubt is the mean distance of the two answers. It is set against the contrast of the picture, for
where there is little to see, little holds the answers apart. `archivecolor evaluate --confidence` measures how well
this and other signs rank photographs by their true error, and the README says what it printed. It sorts a review; it
does not judge a single picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from archivecolor.imaging.arrays import AnyFloatArray

USUAL_MEDIAN = 0.1376
"""The median doubt of a photograph, at which the confidence is 0.5, of weights whose card does not tell theirs: that of
`lite` over 100 validation photographs, as `archivecolor evaluate --confidence` prints it."""
LEAST_CONTRAST = 1.0
"""L*: a picture of less counts as one of so much."""


def mean_difference(one: AnyFloatArray, other: AnyFloatArray) -> AnyFloatArray:
    """The mean distance in ab of each of N pairs of colour maps (N, 2, H, W), in the unit of the maps: (N,)."""
    return np.asarray(np.hypot(*np.moveaxis(np.asarray(one) - np.asarray(other), 1, 0)).mean(axis=(1, 2)), np.float64)


def mirror_disagreement(ab: AnyFloatArray, mirrored: AnyFloatArray, lightness: AnyFloatArray) -> AnyFloatArray:
    """Doubt of N pictures, (N,): ab per L*, from 0 up.

    Args:
        ab: what the network answers to them, (N, 2, H, W), Lab units.
        mirrored: what it answers to their mirror images, turned back.
        lightness: L* (N, H, W).
    """
    return mean_difference(ab, mirrored) / np.maximum(lightness.std(axis=(1, 2)), LEAST_CONTRAST)


def median_disagreement(numbers: dict[str, Any]) -> float:
    """The median doubt by the numbers of a weights card, where `evaluate --confidence --write-card` left it; networks
    differ in it several times over."""
    measured = numbers.get("confidence")
    median = measured.get("median_doubt") if isinstance(measured, dict) else None
    return median if isinstance(median, float) and median > 0 else USUAL_MEDIAN


def confidence_from(doubted: float, median: float) -> float:
    """Doubt -> 0 to 1: 1 for none, 0.5 for that of an ordinary photograph, 0 for a boundless one."""
    return 1 / (1 + doubted / median)
