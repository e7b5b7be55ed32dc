"""How sure a colouring is, as far as that can be told without the truth.

Two networks that were built and taught differently agree on what a picture shows, grass and skin, and fall apart where
they guess. Faint answers are guesses as well: a network that cannot know a colour answers with little of any. Doubt is
therefore the mean distance of the two answers, divided by their chroma. `archivecolor evaluate --confidence` measures
how well this ranks photographs by their true error, and the README says what it printed; this measure was chosen among
several on the validation photographs, and no others. It sorts a review; it does not judge a single picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

ORDINARY = 0.09
"""The median doubt over 240 validation photographs, of `lite` and `resnet18`; the confidence is 0.5 there."""
FAINT = 8.0
"""Lab units of chroma that are added to each answer's: between two that are all but grey, distances say little."""


def apart(one: Floats, other: Floats) -> Floats:
    """Mean distance in ab of each of N pairs of colour maps (N, 2, H, W): (N,), in the unit of the maps."""
    return np.asarray(np.hypot(*np.moveaxis(np.asarray(one) - np.asarray(other), 1, 0)).mean(axis=(1, 2)), np.float64)


def doubt(answer: Floats, second: Floats) -> Floats:
    """(N,): 0 where both answers agree, at most 1.

    Args:
        answer: ab (N, 2, H, W), Lab units.
        second: another network's, of the same pictures.
    """
    nothing = np.zeros_like(answer)
    return np.asarray(apart(answer, second) / (apart(answer, nothing) + apart(second, nothing) + 2 * FAINT))


def confidence(doubted: float) -> float:
    """Doubt -> 0 to 1: 1 for none, 0.5 for that of an ordinary photograph."""
    return 1 / (1 + doubted / ORDINARY)
