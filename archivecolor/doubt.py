"""How sure a colouring is, as far as that can be told without the truth.

Two networks that were built and taught differently agree on what a picture shows, grass and skin, and fall apart where
they guess: doubt is the mean distance of their answers. `archivecolor evaluate --confidence` measures how well this and
other signs rank photographs by their true error, and the README says what it printed. It sorts a review; it does not
judge a single picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

ORDINARY = 5.2
"""Lab units: the median doubt of `lite` and `resnet18` over 100 validation photographs, as `archivecolor evaluate
--confidence` prints it; the confidence is 0.5 there."""


def apart(one: Floats, other: Floats) -> Floats:
    """Doubt: the mean distance in ab of each of N pairs of colour maps (N, 2, H, W), in the unit of the maps: (N,)."""
    return np.asarray(np.hypot(*np.moveaxis(np.asarray(one) - np.asarray(other), 1, 0)).mean(axis=(1, 2)), np.float64)


def confidence(doubted: float) -> float:
    """Doubt, Lab units -> 0 to 1: 1 for none, 0.5 for that of an ordinary photograph, 0 for a boundless one."""
    return 1 / (1 + doubted / ORDINARY)
