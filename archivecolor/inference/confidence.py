"""How sure a colouring is, estimated without the truth.

A scene and its mirror image have the same colours. A network that recognises the scene predicts the same for both; one
that guesses does not. The mirror disagreement is the mean distance between the two predictions, divided by the contrast
of the picture: where there is little to see, the predictions differ little. `archivecolor evaluate --confidence`
measures how well this and other signs rank photographs by their true error; the README quotes it. Use it to sort a
review, not to judge a single picture.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from archivecolor.imaging.arrays import AnyFloatArray

USUAL_MEDIAN = 0.1376
"""The median mirror disagreement of a photograph, at which the confidence is 0.5, for weights whose card has none: that
of `lite` over 100 validation photographs, printed by `archivecolor evaluate --confidence`."""
LEAST_CONTRAST = 1.0
"""L*, standard deviation. A lower contrast counts as this one."""


def mean_difference(one: AnyFloatArray, other: AnyFloatArray) -> AnyFloatArray:
    """The mean distance in ab of each of N pairs of colour maps (N, 2, H, W), in the unit of the maps: (N,)."""
    return np.asarray(np.hypot(*np.moveaxis(np.asarray(one) - np.asarray(other), 1, 0)).mean(axis=(1, 2)), np.float64)


def mirror_disagreement(ab: AnyFloatArray, mirrored: AnyFloatArray, lightness: AnyFloatArray) -> AnyFloatArray:
    """The mirror disagreement of N pictures, (N,), 0 or more, in units of ab per L*.

    Args:
        ab: the predictions for them, (N, 2, H, W), Lab units.
        mirrored: the predictions for their mirror images, mirrored back.
        lightness: L* (N, H, W).
    """
    return mean_difference(ab, mirrored) / np.maximum(lightness.std(axis=(1, 2)), LEAST_CONTRAST)


def median_disagreement(numbers: Mapping[str, object]) -> float:
    """The median disagreement from the numbers of a weights card, written by `evaluate --confidence --write-card`.
    Networks differ in it several times over."""
    measured = numbers.get("confidence")
    median = measured.get("median_doubt") if isinstance(measured, dict) else None
    return median if isinstance(median, float) and median > 0 else USUAL_MEDIAN


def confidence_from(disagreement: float, median: float) -> float:
    """Mirror disagreement -> confidence: 1 for none, 0.5 at the median, towards 0 without bound."""
    return 1 / (1 + disagreement / median)
