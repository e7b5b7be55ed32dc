"""Colour hints spread from their places while lightness is even, and stop at edges.

After Yatziv and Sapiro (2006), "Fast image and video colorization using chrominance blending". The share of a hint in a
pixel depends on the geodesic distance between them: the least change of lightness on any path. In their method all
colour comes from hints; here the network's prediction stays wherever no hint reaches. Steps are squared, so that a soft
shadow of 20 L* over many pixels costs far less than an outline of 20 L* over one or two.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from archivecolor.imaging import lab
from archivecolor.imaging.arrays import DoubleArray, FloatArray

STEP_L = 6.0
"""A step of this many L* between neighbours is a distance of 1, where a hint has fallen to 1/e."""
ORDINARY_RANGE = 40.0
"""L* between the 1st and 99th percentile. In a picture with less (a faded one), edges count for more."""
REACH = 600.0
"""This many pixels of perfectly even tone are a distance of 1 too, on a map of `MAP_SIDE`²: a sky is coloured whole."""
MAP_SIDE = 256.0
MAX_DISTANCE = 3.0
"""Beyond this distance a hint has no effect (e^-9); the search ends there."""


def ab_of(colour: str) -> tuple[float, float]:
    """`#rrggbb` -> a and b, Lab units. Its lightness does not matter: the picture keeps its own."""
    rgb = torch.tensor([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    _, a, b = lab.lab_from_srgb(rgb.view(3, 1, 1)).flatten().tolist()
    return a, b


def apply_hints(
    lightness: FloatArray, ab: FloatArray, places: Sequence[tuple[int, int]], colours: Sequence[tuple[float, float]]
) -> FloatArray:
    """ab (2, h, w) with the hints' colours spread from their places.

    Args:
        lightness: L* (h, w).
        ab: (2, h, w), Lab units.
        places: (row, column) of each hint.
        colours: (a, b) of each hint.
    """
    hinted, hold = spread_hints(lightness, places, colours)
    return np.asarray(ab + hold * (hinted - ab), np.float32)


def spread_hints(
    lightness: FloatArray, places: Sequence[tuple[int, int]], colours: Sequence[tuple[float, float]]
) -> tuple[DoubleArray, DoubleArray]:
    """The hints' colours (2, h, w), and how far each pixel takes them on (h, w), 0 to 1; arguments as in
    `apply_hints`."""
    distance = distances(lightness, places)
    share = 1 / (distance + 1e-3) ** 2
    hinted = np.einsum("nc,nhw->chw", np.asarray(colours), share / share.sum(axis=0))
    nearest = distance.min(axis=0)
    hold = np.where(nearest < MAX_DISTANCE, np.exp(-(nearest**2)), 0)  # flat near the hint, steep at an edge
    return hinted, hold


def distances(lightness: FloatArray, places: Sequence[tuple[int, int]]) -> DoubleArray:
    """Geodesic distance of every pixel from each place: (N, h, w), at most `MAX_DISTANCE`."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    h, w = lightness.shape
    scale = float(np.sqrt(h * w)) / MAP_SIDE  # a finer map spreads the same edge over more steps
    # Grain is not an edge: the bilateral filter removes it and keeps the outlines.
    low, high = np.percentile(lightness, (1, 99))
    step = STEP_L * min(1.0, max(float(high - low), 5.0) / ORDINARY_RANGE)
    smooth = cv2.bilateralFilter(np.ascontiguousarray(lightness, np.float32), 5, step, 2.0)
    number = np.arange(h * w).reshape(h, w)
    ends, costs = [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = (slice(0, h - down), slice(max(0, -right), w - max(0, right)))
        there = (slice(down, h), slice(max(0, right), w - max(0, -right)))
        length = float(np.hypot(down, right))
        steep = (smooth[there] - smooth[here]).astype(np.float64) / step
        ends.append(np.stack([number[here].ravel(), number[there].ravel()]))
        costs.append((scale * steep**2 / length + length / (REACH * scale)).ravel())
    (one, other), cost = np.concatenate(ends, axis=1), np.concatenate(costs)
    graph = coo_array((cost, (one, other)), shape=(h * w, h * w)).tocsr()
    result = dijkstra(graph, directed=False, indices=[number[p] for p in places], limit=MAX_DISTANCE)
    return np.minimum(result, MAX_DISTANCE).reshape(len(places), h, w)
