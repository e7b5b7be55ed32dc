"""How sure a colouring is, as far as that can be told without the truth.

A network that knows what it sees answers alike to a picture and to its mirror image; where it guesses, the two answers
fall apart. Flat, low-contrast pictures give it less to go by. Doubt is therefore the mean distance of the two answers
divided by the picture's contrast. `archivecolor evaluate --confidence` measures how well this ranks pictures by their
true error: Spearman 0.35 for `lite` on 200 test photographs, 0.29 for `resnet18` on 168; the division by the contrast
was chosen on the same photographs. That sorts a review; it does not judge a single picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

ORDINARY = 0.09
"""The median doubt over 200 test photographs, of `lite`; the confidence is 0.5 there."""
LEAST_CONTRAST = 1.0
"""L*; what is flatter than this counts as this flat."""


def apart(one: Floats, other: Floats) -> Floats:
    """Mean distance in ab of each of N pairs of colour maps (N, 2, H, W): (N,), in the unit of the maps."""
    return np.asarray(np.hypot(*np.moveaxis(np.asarray(one) - np.asarray(other), 1, 0)).mean(axis=(1, 2)), np.float64)


def doubt(answer: Floats, mirrored: Floats, lightness: Floats) -> Floats:
    """(N,): 0 where both answers agree.

    Args:
        answer: ab (N, 2, H, W), Lab units.
        mirrored: the answer to the mirror images, mirrored back.
        lightness: L* (N, H, W), as the network saw it.
    """
    contrast = np.asarray(lightness, np.float64).std(axis=(1, 2))
    return np.asarray(apart(answer, mirrored) / np.maximum(contrast, LEAST_CONTRAST))


def confidence(doubted: float) -> float:
    """Doubt -> 0 to 1: 1 for none, 0.5 for that of an ordinary photograph, 0 for a boundless one."""
    return 1 / (1 + doubted / ORDINARY)
