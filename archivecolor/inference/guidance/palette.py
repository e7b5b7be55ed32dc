"""Colour transfer: moves the colours of a map towards those of a reference, one class of lightness at a time.

Within a class, the linear Monge-Kantorovich map (Pitié and Kokaram 2007, "The linear Monge-Kantorovitch linear colour
mapping for example-based colour transfer") gives the colours the mean and covariance of the reference in ab. Of all
linear maps that do so, it moves colours least. A map that has the reference's statistics already stays unchanged.
"""

from __future__ import annotations

import numpy as np

from archivecolor.imaging.arrays import DoubleArray, FloatArray
from archivecolor.options import Palette

CENTRES = (10.0, 30.0, 50.0, 70.0, 90.0)
"""L* of the classes. Between two centres a pixel belongs to both, in proportion."""
PRIOR_SHARE = 0.02
"""The statistics of the whole picture are mixed into each class with this share of its pixels, for empty classes."""
MIN_VARIANCE = 1.0
"""Added to variances in ab, so that a grey class is not stretched without bound."""
MAX_STRETCH = 3.0
"""No colour difference is stretched more than this."""


def memberships(lightness: FloatArray) -> DoubleArray:
    """L* (...) -> (K, ...): how much each pixel belongs to each class; they add up to 1."""
    step = CENTRES[1] - CENTRES[0]
    clipped = np.clip(np.asarray(lightness, np.float64), CENTRES[0], CENTRES[-1])
    return np.stack([np.maximum(0, 1 - np.abs(clipped - centre) / step) for centre in CENTRES])


def statistics(lightness: FloatArray, ab: FloatArray) -> tuple[tuple[float, ...], ...]:
    """Mean a, mean b, var a, cov ab, var b of each class of lightness, Lab units.

    Args:
        lightness: L* (h, w).
        ab: (2, h, w).
    """
    colours = np.asarray(ab, np.float64).reshape(2, -1)
    overall = np.full(colours.shape[1], PRIOR_SHARE / colours.shape[1])
    members = memberships(lightness).reshape(len(CENTRES), -1) / colours.shape[1]
    rows = []
    for member in members:
        weight = (member + overall) / (member + overall).sum()
        mean = colours @ weight
        deviation = colours - mean[:, None]
        covariance = (deviation * weight) @ deviation.T
        rows.append((*mean.tolist(), covariance[0, 0].item(), covariance[0, 1].item(), covariance[1, 1].item()))
    return tuple(rows)


def transfer(lightness: FloatArray, ab: FloatArray, palette: Palette) -> FloatArray:
    """The map (2, h, w) moved towards the palette by its strength."""
    members = memberships(lightness)
    own = statistics(lightness, ab)
    colours = np.asarray(ab, np.float64)
    result = np.zeros_like(colours)
    for member, source, target in zip(members, own, palette.classes, strict=True):
        linear = _transport(_covariance(source), _covariance(target))
        deviation = colours - np.array(source[:2])[:, None, None]
        result += member * (np.einsum("ij,jhw->ihw", linear, deviation) + np.array(target[:2])[:, None, None])
    return np.asarray(colours + palette.strength * (result - colours), np.float32)


def _covariance(row: tuple[float, ...]) -> DoubleArray:
    _, _, aa, ab, bb = row
    return np.array([[aa, ab], [ab, bb]]) + MIN_VARIANCE * np.eye(2)


def _transport(source: DoubleArray, target: DoubleArray) -> DoubleArray:
    """The symmetric 2 x 2 map T with T source T = target, with its stretch at most `MAX_STRETCH`."""
    root = _root(source)
    inverse = np.linalg.inv(root)
    linear = inverse @ _root(root @ target @ root) @ inverse
    stretch, axes = np.linalg.eigh((linear + linear.T) / 2)
    return np.asarray((axes * np.clip(stretch, 0, MAX_STRETCH)) @ axes.T)


def _root(matrix: DoubleArray) -> DoubleArray:
    """The square root of a symmetric matrix without negative eigenvalues."""
    values, axes = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((axes * np.sqrt(np.maximum(values, 0))) @ axes.T)
