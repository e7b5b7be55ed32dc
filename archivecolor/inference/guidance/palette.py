"""Moves the colours of a map towards those of a reference, class of lightness by class of lightness.

Within a class, the colours' mean and covariance in ab are carried over by the linear Monge-Kantorovich map (Pitié and
Kokaram 2007, "The linear Monge-Kantorovitch linear colour mapping for example-based colour transfer"): of all linear
maps that do so, the one that moves colours least. A map whose statistics are the reference's own stays as it is.
"""

from __future__ import annotations

import numpy as np

from archivecolor.imaging.arrays import DoubleArray, FloatArray
from archivecolor.options import Palette

CENTRES = (10.0, 30.0, 50.0, 70.0, 90.0)
"""L* of the classes; between two centres a pixel belongs to both, in proportion."""
BORROWED = 0.02
"""Share of a picture's pixels for which its overall statistics count in each class, so that an empty class has some."""
GRAIN = 1.0
"""Variance in ab that counts as none: keeps a grey class from being stretched without bound."""
MOST = 3.0
"""No colour difference is stretched more than this."""


def memberships(lightness: FloatArray) -> DoubleArray:
    """L* (...) -> (K, ...): how much each pixel belongs to each class; they add up to 1."""
    step = CENTRES[1] - CENTRES[0]
    held = np.clip(np.asarray(lightness, np.float64), CENTRES[0], CENTRES[-1])
    return np.stack([np.maximum(0, 1 - np.abs(held - centre) / step) for centre in CENTRES])


def statistics(lightness: FloatArray, ab: FloatArray) -> tuple[tuple[float, ...], ...]:
    """Mean a, mean b, var a, cov ab, var b of each class of lightness, Lab units.

    Args:
        lightness: L* (h, w).
        ab: (2, h, w).
    """
    colours = np.asarray(ab, np.float64).reshape(2, -1)
    overall = np.full(colours.shape[1], BORROWED / colours.shape[1])
    members = memberships(lightness).reshape(len(CENTRES), -1) / colours.shape[1]
    rows = []
    for member in members:
        weight = (member + overall) / (member + overall).sum()
        mean = colours @ weight
        away = colours - mean[:, None]
        covariance = (away * weight) @ away.T
        rows.append((*mean.tolist(), covariance[0, 0].item(), covariance[0, 1].item(), covariance[1, 1].item()))
    return tuple(rows)


def moved(lightness: FloatArray, ab: FloatArray, palette: Palette) -> FloatArray:
    """The map (2, h, w) moved towards the palette by its strength."""
    members = memberships(lightness)
    own = statistics(lightness, ab)
    colours = np.asarray(ab, np.float64)
    result = np.zeros_like(colours)
    for member, mine, theirs in zip(members, own, palette.classes, strict=True):
        linear = _transport(_covariance(mine), _covariance(theirs))
        away = colours - np.array(mine[:2])[:, None, None]
        result += member * (np.einsum("ij,jhw->ihw", linear, away) + np.array(theirs[:2])[:, None, None])
    return np.asarray(colours + palette.strength * (result - colours), np.float32)


def _covariance(row: tuple[float, ...]) -> DoubleArray:
    _, _, aa, ab, bb = row
    return np.array([[aa, ab], [ab, bb]]) + GRAIN * np.eye(2)


def _transport(source: DoubleArray, target: DoubleArray) -> DoubleArray:
    """The symmetric 2 x 2 map T with T source T = target, its stretch held below `MOST`."""
    root = _root(source)
    inverse = np.linalg.inv(root)
    linear = inverse @ _root(root @ target @ root) @ inverse
    stretch, axes = np.linalg.eigh((linear + linear.T) / 2)
    return np.asarray((axes * np.clip(stretch, 0, MOST)) @ axes.T)


def _root(matrix: DoubleArray) -> DoubleArray:
    """The square root of a symmetric matrix without negative eigenvalues."""
    values, axes = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((axes * np.sqrt(np.maximum(values, 0))) @ axes.T)
